"""Restoration networks, chosen by name: timm encoders with pixel decoders, and peers to compare with.

Every network maps (B, 3, H, W) in [0, 1] to the same shape and range, for any H and W. Its ``image_size`` is the
side in pixels of the views that it was trained on.
"""

from collections.abc import Mapping
from typing import Any

from manuscript_restore import plugins
from manuscript_restore.errors import UserError, check_keys
from manuscript_restore.models.decoders import ProgressiveDecoder, ReferenceDecoder
from manuscript_restore.models.encoder import Encoder
from manuscript_restore.models.nafnet import NAFNet
from manuscript_restore.models.network import RestorationNetwork
from manuscript_restore.models.restormer import Restormer
from manuscript_restore.models.unet import UNet
from manuscript_restore.models.vit_restorer import DECODERS, ViTRestorer

__all__ = [
    "DECODERS",
    "MODELS",
    "Encoder",
    "NAFNet",
    "ProgressiveDecoder",
    "ReferenceDecoder",
    "RestorationNetwork",
    "Restormer",
    "UNet",
    "ViTRestorer",
    "build_model",
]

MODELS: dict[str, type[RestorationNetwork]] = {
    "vit": ViTRestorer,
    "unet": UNet,
    "nafnet": NAFNet,
    "restormer": Restormer,
}
"""``model.name`` → class."""


def build_model(options: Mapping[str, Any]) -> RestorationNetwork:
    """The network that the config section ``model`` describes: ``name`` (default ``vit``) and its arguments.

    The name is one of `MODELS`, or one that another package adds (`plugins`).

    Raises:
        UserError: An unknown name or argument.
    """
    arguments = dict(options)
    name = arguments.pop("name", "vit")
    kind = MODELS.get(name) or plugins.find("models", name, RestorationNetwork)
    if kind is None:
        raise UserError(f"model.name={name}: unknown; use one of {', '.join([*MODELS, *plugins.names('models')])}")
    check_keys(kind, arguments, "model")
    return kind(**arguments)
