"""LPIPS and DISTS, if the weights of their networks are on this machine: nothing is ever downloaded."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.image import DeepImageStructureAndTextureSimilarity, LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights

from manuscript_restore.errors import UserError

Score = Callable[[Tensor, Tensor], Tensor]
WEIGHTS = {"alex": AlexNet_Weights, "squeeze": SqueezeNet1_1_Weights, "vgg": VGG16_Weights}
"""Network → the file that torchvision keeps of it."""


def learned_score(name: str) -> Score:
    """A score of two (1, 3, H, W) pictures in [0, 1] as a tensor of shape (1,), lower is better.

    Sources: LPIPS, Zhang et al. 2018; DISTS, Ding et al. 2022; both as torchmetrics has them.

    Args:
        name: ``lpips-alex``, ``lpips-vgg``, ``lpips-squeeze`` or ``dists``.

    Raises:
        UserError: An unknown name, or the weights are not on this machine.
    """
    known = [*(f"lpips-{network}" for network in WEIGHTS), "dists"]
    if name not in known:
        raise UserError(f"learned_scores: {name} is unknown; use some of {', '.join(known)}")
    network = "vgg" if name == "dists" else name.removeprefix("lpips-")
    url = str(WEIGHTS[network].DEFAULT.url)
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not path.is_file():
        raise UserError(
            f"learned_scores: {name} needs ImageNet weights, and {path} does not exist; nothing is downloaded "
            f"here. Put torchvision's file there ({url}), or leave {name} out"
        )
    metric: Metric
    if name == "dists":
        metric = DeepImageStructureAndTextureSimilarity()
    else:
        metric = LearnedPerceptualImagePatchSimilarity(net_type=network, normalize=True)  # type: ignore[arg-type]

    def score(restored: Tensor, clean: Tensor) -> Tensor:
        value: Tensor = metric(restored, clean)
        return value.reshape(1)

    return score
