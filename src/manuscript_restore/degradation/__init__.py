"""Synthetic damage, as batched Kornia augmentations."""

from manuscript_restore.degradation.base import Degradation
from manuscript_restore.degradation.blur import GaussianBlur
from manuscript_restore.degradation.noise import GaussianNoise, SaltAndPepper
from manuscript_restore.degradation.pipeline import DegradationPipeline
from manuscript_restore.degradation.stains import Stains
from manuscript_restore.degradation.tone import Fading, YellowTint

__all__ = [
    "Degradation",
    "DegradationPipeline",
    "Fading",
    "GaussianBlur",
    "GaussianNoise",
    "SaltAndPepper",
    "Stains",
    "YellowTint",
]
