"""Imported first by the commands that train, generate, evaluate and export: without their extra they end here."""

import sys
from importlib.util import find_spec

_PACKAGES = ("torch", "lightning", "hydra", "albumentations", "kornia")

if _missing := [name for name in _PACKAGES if find_spec(name) is None]:
    sys.exit(f"error: this needs more ({_missing[0]} is missing): pip install 'manuscript-restore[train]'")
