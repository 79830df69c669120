"""Restore damaged manuscript pages with Vision Transformers trained on synthetic damage.

``Restorer`` restores pictures from Python; everything else is in the modules.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manuscript_restore.inference import Restorer

__all__ = ["Restorer"]


def __getattr__(name: str) -> Any:  # on first use: PyTorch takes seconds to import
    if name == "Restorer":
        from manuscript_restore.inference import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
