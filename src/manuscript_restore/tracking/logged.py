"""The names under which a training logs.

``scripts/wandb_dashboard.py`` draws them, and its test holds them against a run.
"""

PSNR = ("val/psnr", "val/input_psnr")
"""Of the restored pages; of the degraded ones, the baseline."""
SSIM = ("val/ssim", "val/input_ssim")
GAINS = ("val/psnr_gain", "val/ssim_gain")
TEST_GAINS = ("test/psnr_gain", "test/ssim_gain")
TRAIN_SCORES = ("train/psnr", "train/ssim")

LOSS = ("train/loss", "val/loss")
LOSS_TERMS = (
    *((f"train/loss_{term}", f"val/loss_{term}") for term in ("l1", "ssim", "perceptual")),
    *((f"train/loss_{term}", f"val/loss_{term}") for term in ("psnr", "colour_fit", "colours", "damage")),
    ("train/loss_ink",),  # known of training pages only
)
"""Unweighted; a term of weight zero is not logged."""

LEARNING_RATE = "lr-AdamW"
TIMES = tuple(f"time/{part}" for part in ("data", "forward", "loss", "backward", "optimizer", "step"))
"""Mean seconds of a step, by part."""

PICTURES = "val/pictures"
PAGES = "val/pages"
WORST_PAGES = "val/worst_pages"
WORST_PICTURES = "val/worst_pictures"

SYSTEM = {
    "GPU use (%)": ("system/gpu.0.gpu",),
    "GPU memory (%)": ("system/gpu.0.memoryAllocated",),
    "CPU use (%)": ("system/cpu",),
}
"""What W&B measures by itself, the first GPU where there is one; ``system/`` is how its panels call it."""
