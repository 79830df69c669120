"""Restoring pages: tiles, engines, evidence, and the batch job. Imports PyTorch only where that is the engine."""

from manuscript_restore.inference.backends import Backend
from manuscript_restore.inference.look import Look
from manuscript_restore.inference.restorer import Restored, Restorer, Settings

__all__ = ["Backend", "Look", "Restored", "Restorer", "Settings"]
