"""What runs the network. Another engine is another class with the same members."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Backend(Protocol):
    """Restores tiles; may be called from several threads at once."""

    @property
    def description(self) -> str:
        """Engine, device and precision, for the record: ``"torch 2.15.0, cpu, fp32"``."""

    @property
    def has_maps(self) -> bool:
        """Whether the network says what is damaged and what is ink."""

    @property
    def concurrency(self) -> int:
        """How many calls at once it gains from: the number of threads that call it."""

    def default_batch(self, tile: int) -> int:
        """How many tiles of that side it takes at once best."""

    def look(self, tiles: Floats) -> Floats:
        """(B, 3, h, w) → (B, 1): what the network says of each as a whole. Asked only where there are maps."""

    def __call__(self, tiles: Floats, looked: Floats | None = None) -> Floats:
        """(B, 3, h, w) float32 in [0, 1] → the same, for any h and w.

        With maps (B, 5, h, w): the colours, the damage, the ink. Where the damage is 0 the colours are those of
        the tile to the bit. ``looked`` (1, 1) is what is to be said of their page; None: each tile judges itself.
        """
