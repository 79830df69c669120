"""From config values to the pages of each split."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from manuscript_restore.data.remote import open_pages
from manuscript_restore.data.sources import GeneratedSource, Generator, PageSource, split_by_name
from manuscript_restore.errors import UserError

NUM_GENERATED = {"train": 32, "val": 8, "test": 8}
FIRST_GENERATED = {"train": 0, "val": 1_000_000_000, "test": 2_000_000_000}
"""Number of each split's first generated page: no training comes near the next."""


@dataclass(frozen=True)
class Splits:
    """Which pages train, validate and test.

    Args:
        folders: Of ``train``, ``val`` and ``test``: a folder of images, their address, or None.
        val_fraction: Part of the training folder that validates when there is no other.
        index_dir: Where indexes of large folders are kept.
        generator: Draws pages.
        generated_share: Of the items of an epoch: 0: folders only; 1: generated pages only, for all splits.
        num_generated: Pages of each split.
        fresh_pages: Generated training pages that each epoch exchanges.
        seed: Of generated training pages.
        val_seed: Of generated validation and test pages.
    """

    folders: Mapping[str, str | None]
    val_fraction: float
    index_dir: str | None
    generator: Generator | None
    generated_share: float
    num_generated: Mapping[str, int]
    fresh_pages: int
    seed: int
    val_seed: int

    def __post_init__(self) -> None:
        if unknown := self.num_generated.keys() - NUM_GENERATED.keys():
            raise UserError(f"data.num_generated.{min(unknown)}: unknown key; known keys: test, train, val")
        for split, number in self.num_generated.items():
            check_number(f"num_generated.{split}", number, at_least=1)
        for name in ("fresh_pages", "seed", "val_seed"):
            check_number(name, getattr(self, name), at_least=0)
        if not (isinstance(self.val_fraction, float) and 0 < self.val_fraction < 1):
            raise UserError(f"data.val_fraction={self.val_fraction}: must lie between 0 and 1")
        share = self.generated_share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UserError(f"data.generated_share={share}: must be between 0 and 1")
        if share and self.generator is None:
            raise UserError("data.generator: is not set; use data=generated or data=mixed")
        if self.fresh_pages > self.num_generated["train"]:
            raise UserError(
                f"data.fresh_pages={self.fresh_pages}: must be at most data.num_generated.train="
                f"{self.num_generated['train']}"
            )
        given = [split for split, folder in self.folders.items() if folder]
        if share == 1 and given:
            raise UserError(
                f"data.{given[0]}_dir={self.folders[given[0]]}: data=generated reads no folder; use data=pages "
                "for folders alone, data=mixed for both"
            )

    def alias(self, split: str) -> str:
        """The split whose pages it has: without test pages of their own, the validation pages are tested."""
        return "val" if split == "test" and self.generated_share < 1 and not self.folders["test"] else split

    def sources(self, split: str) -> dict[str, PageSource]:
        """Open the split's pages: ``real``, ``generated``, or both; only training mixes them.

        Raises:
            UserError: There are none.
        """
        real = self.generated_share < 1
        generated = self.generated_share == 1 or (split == "train" and self.generated_share > 0)
        return ({"real": self._real(split)} if real else {}) | (
            {"generated": self._drawn(split)} if generated else {}
        )

    def _drawn(self, split: str) -> PageSource:
        assert self.generator is not None
        training = split == "train"
        return GeneratedSource(
            self.generator,
            self.num_generated[split],
            self.seed if training else self.val_seed,
            FIRST_GENERATED[split],
            fresh=self.fresh_pages if training else 0,
        )

    def _real(self, split: str) -> PageSource:
        if split != "test" and self.folders["train"] and not self.folders["val"]:
            return self._halves[split]
        return self._open(split)

    @cached_property
    def _halves(self) -> dict[str, PageSource]:
        source = self._open("train")
        if len(source) < 2:
            raise UserError(
                f"data.train_dir={self.folders['train']}: one page cannot both train and validate; "
                "add pages or set data.val_dir"
            )
        train, val = split_by_name(source, self.val_fraction)
        return {"train": train, "val": val}

    def _open(self, split: str) -> PageSource:
        key, folder = f"data.{split}_dir", self.folders[split]
        if not folder:
            raise UserError(f"{key}: is not set; give a folder of clean pages, or data=generated to draw them")
        return open_pages(folder, key=key, index_dir=self.index_dir)


def check_number(name: str, value: object, *, at_least: int, fraction: bool = False) -> None:
    """Check a value of the group ``data``.

    Raises:
        UserError: It is no whole number (``fraction``: no number), or too small.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float) if fraction else int):
        raise UserError(f"data.{name}={value}: must be a {'number' if fraction else 'whole number'}")
    if value < at_least:
        raise UserError(f"data.{name}={value}: must be at least {at_least}")
