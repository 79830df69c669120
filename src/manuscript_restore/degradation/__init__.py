"""Synthetic damage, as batched Kornia augmentations."""

from manuscript_restore.degradation.ageing import Dirt, EdgeBrowning, Yellowing
from manuscript_restore.degradation.base import Degradation
from manuscript_restore.degradation.biology import Foxing, InsectTracks, Mould, Wormholes
from manuscript_restore.degradation.bleed import BleedThrough, ShowThrough
from manuscript_restore.degradation.blur import GaussianBlur
from manuscript_restore.degradation.camera import Defocus, LowResolution, MotionBlur, SensorNoise
from manuscript_restore.degradation.compression import JPEG
from manuscript_restore.degradation.ink import InkFading, InkFlaking, InkSpread
from manuscript_restore.degradation.leaf import LeafFibres, StringHole
from manuscript_restore.degradation.light import CastShadow, ColourCast, Glare, UnevenIllumination, Vignetting
from manuscript_restore.degradation.liquids import OilSpots, WaterStains
from manuscript_restore.degradation.mechanics import Cracks, Creases, FoldShadow, Scratches
from manuscript_restore.degradation.missing import MissingCorners, RepairPatch, Tape, TornEdges
from manuscript_restore.degradation.mixture import Mixture
from manuscript_restore.degradation.noise import GaussianNoise, SaltAndPepper
from manuscript_restore.degradation.pipeline import DegradationPipeline
from manuscript_restore.degradation.record import params_from_json, params_to_json
from manuscript_restore.degradation.reproduction import Binarised, Halftone, Microfilm, Photocopy
from manuscript_restore.degradation.stains import Stains
from manuscript_restore.degradation.tone import Fading, YellowTint

__all__ = [
    "JPEG",
    "Binarised",
    "BleedThrough",
    "CastShadow",
    "ColourCast",
    "Cracks",
    "Creases",
    "Defocus",
    "Degradation",
    "DegradationPipeline",
    "Dirt",
    "EdgeBrowning",
    "Fading",
    "FoldShadow",
    "Foxing",
    "GaussianBlur",
    "GaussianNoise",
    "Glare",
    "Halftone",
    "InkFading",
    "InkFlaking",
    "InkSpread",
    "InsectTracks",
    "LeafFibres",
    "LowResolution",
    "Microfilm",
    "MissingCorners",
    "Mixture",
    "MotionBlur",
    "Mould",
    "OilSpots",
    "Photocopy",
    "RepairPatch",
    "SaltAndPepper",
    "Scratches",
    "SensorNoise",
    "ShowThrough",
    "Stains",
    "StringHole",
    "Tape",
    "TornEdges",
    "UnevenIllumination",
    "Vignetting",
    "WaterStains",
    "Wormholes",
    "YellowTint",
    "Yellowing",
    "params_from_json",
    "params_to_json",
]
