"""Restoring pages: tiles, backends, evidence, and the batch job."""

from manuscript_restore.inference.backends import Backend, TorchBackend
from manuscript_restore.inference.look import Look
from manuscript_restore.inference.restorer import Restored, Restorer, Settings

__all__ = ["Backend", "Look", "Restored", "Restorer", "Settings", "TorchBackend"]
