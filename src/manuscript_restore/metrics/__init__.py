"""Scores of restored pictures and ink masks, and the means that training logs."""

from manuscript_restore.metrics.means import MeanMSE, MeanPSNR, MeanSSIM, RestorationMetrics
from manuscript_restore.metrics.pictures import (
    PSNR_CAP_DB,
    delta_e,
    fit_colours,
    ms_ssim,
    mse,
    psnr,
    psnr_after_colour_fit,
    ssim,
    ssim_of_crops,
)

__all__ = [
    "PSNR_CAP_DB",
    "MeanMSE",
    "MeanPSNR",
    "MeanSSIM",
    "RestorationMetrics",
    "delta_e",
    "fit_colours",
    "ms_ssim",
    "mse",
    "psnr",
    "psnr_after_colour_fit",
    "ssim",
    "ssim_of_crops",
]
