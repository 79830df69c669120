"""A stand-in for the generator of pages until it is there."""

from types import SimpleNamespace
from typing import Any

from manuscript_restore.synthesis import generate_page


class SimplePages:
    """`generate_page` as a generator."""

    def __init__(self, *, height: int = 768, width: int = 1152) -> None:
        self.height, self.width = height, width
        self.tag = f"simple-{height}x{width}"

    def page(self, seed: int, index: int) -> Any:
        """Draw a page."""
        return SimpleNamespace(image=generate_page(seed, index, height=self.height, width=self.width))
