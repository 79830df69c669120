"""Restoration networks: timm encoders, pixel decoders and the restorer that joins them."""

from manuscript_restore.models.decoders import ProgressiveDecoder, ReferenceDecoder
from manuscript_restore.models.encoder import Encoder
from manuscript_restore.models.restorer import DECODERS, Restorer

__all__ = ["DECODERS", "Encoder", "ProgressiveDecoder", "ReferenceDecoder", "Restorer"]
