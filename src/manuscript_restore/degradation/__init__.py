"""Synthetic damage, as batched Kornia augmentations."""

from manuscript_restore.degradation.ageing import Dirt, EdgeBrowning, Yellowing
from manuscript_restore.degradation.base import Degradation
from manuscript_restore.degradation.biology import Foxing, InsectTracks, Mould, Wormholes
from manuscript_restore.degradation.bleed import BleedThrough, ShowThrough
from manuscript_restore.degradation.blur import GaussianBlur
from manuscript_restore.degradation.camera import Defocus, LowResolution, MotionBlur, SensorNoise
from manuscript_restore.degradation.compression import JPEG
from manuscript_restore.degradation.ink import InkFading, InkFlaking, InkSpread, LetterpressWear, LowInkLines
from manuscript_restore.degradation.leaf import LeafFibres, StringHole
from manuscript_restore.degradation.light import (
    CastShadow,
    ColourCast,
    Glare,
    NearLamp,
    UnevenIllumination,
    Vignetting,
)
from manuscript_restore.degradation.liquids import OilSpots, WaterStains
from manuscript_restore.degradation.mechanics import Cracks, Creases, FoldShadow, Scratches
from manuscript_restore.degradation.missing import MissingCorners, RepairPatch, Tape, TornEdges
from manuscript_restore.degradation.mixture import Mixture
from manuscript_restore.degradation.noise import GaussianNoise, SaltAndPepper
from manuscript_restore.degradation.pipeline import DegradationPipeline
from manuscript_restore.degradation.printing import Misregistration, Moire, RollerStreaks, TonerBlotches
from manuscript_restore.degradation.record import params_from_json, params_to_json
from manuscript_restore.degradation.reproduction import Binarised, Halftone, Microfilm, Photocopy
from manuscript_restore.degradation.stains import Stains
from manuscript_restore.degradation.tone import ColouredPaper, Fading, YellowTint

__all__ = [
    "JPEG",
    "Binarised",
    "BleedThrough",
    "CastShadow",
    "ColourCast",
    "ColouredPaper",
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
    "LetterpressWear",
    "LowInkLines",
    "LowResolution",
    "Microfilm",
    "Misregistration",
    "MissingCorners",
    "Mixture",
    "Moire",
    "MotionBlur",
    "Mould",
    "NearLamp",
    "OilSpots",
    "Photocopy",
    "RepairPatch",
    "RollerStreaks",
    "SaltAndPepper",
    "Scratches",
    "SensorNoise",
    "ShowThrough",
    "Stains",
    "StringHole",
    "Tape",
    "TonerBlotches",
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
