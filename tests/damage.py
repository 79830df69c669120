"""What the tests of the degradations share."""

import numpy as np
import torch

from manuscript_restore import degradation
from manuscript_restore.config import build, compose
from manuscript_restore.degradation import Degradation, DegradationPipeline
from manuscript_restore.degradation.base import Severity
from manuscript_restore.synthesis import generate_page

TRANSFORMS = [
    kind
    for kind in map(vars(degradation).get, degradation.__all__)
    if isinstance(kind, type) and issubclass(kind, Degradation) and kind is not Degradation
]


def generated_pages(num: int = 3, *, height: int = 64, width: int = 96) -> torch.Tensor:
    """Clean pages (num, 3, height, width) in [0, 1]."""
    stack = np.stack([generate_page(7, i, height=height, width=width) for i in range(num)])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float().div(255).contiguous()


def damaged(transform: Degradation, pages: torch.Tensor, seed: int, severity: Severity = 1.0) -> torch.Tensor:
    torch.manual_seed(seed)
    transform.severity = severity
    result: torch.Tensor = transform(pages)
    return result


def preset(name: str, *overrides: str) -> DegradationPipeline:
    config = compose("train", f"degradation={name}", *overrides)
    pipeline: DegradationPipeline = build(config.degradation, "degradation")
    return pipeline
