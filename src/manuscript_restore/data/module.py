"""The LightningDataModule: from config values to batches of damaged and clean pages."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch import Tensor, nn
from torch.utils.data import DataLoader

from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.damage import DamagedBatch
from manuscript_restore.data.datasets import FixedPairs, MixedPages, TrainingPages, training_items
from manuscript_restore.data.manuscripts import ByManuscript, compile_pattern
from manuscript_restore.data.sampler import EpochSampler
from manuscript_restore.data.sources import (
    Generator,
    PageSource,
    check_readable,
    warn_of_shared_pages,
)
from manuscript_restore.data.splits import NUM_GENERATED, Splits, check_number
from manuscript_restore.data.views import Augment, View
from manuscript_restore.data.workers import init_worker
from manuscript_restore.errors import UserError, check_keys
from manuscript_restore.images.tensors import to_float

Batch = dict[str, Any]


class PagesDataModule(L.LightningDataModule):
    """Batches of ``degraded`` and ``clean``, float (B, 3, S, S) in [0, 1]; in training ``ink`` too, (B, 1, S, S).

    Training damage is drawn anew for every batch, in the process that read its pages; validation and test pages
    have one damage each, for good.

    Args:
        degradation: Of training pages: ``degradation(clean, seed=int) -> degraded``, both (B, 3, S, S) in [0, 1].
        val_degradation: Of validation and test pages.
        train_dir: Folder of clean pages, searched with its subfolders, or their address: ``s3://…``.
        val_dir: None: a part of ``train_dir`` that never trains.
        test_dir: None: the validation pages.
        index_dir: Where the indexes of large folders are kept; None: the user's cache directory.
        generator: Draws pages.
        generated_share: Of the training items: 0: folders only; 1: generated pages only, for all splits; between:
            both, validated on the folders.
        num_generated: Generated pages of each split; of those that train, the number in use at a time.
        fresh_pages: Generated pages that each epoch exchanges for new ones; 0: the same for good.
        val_fraction: Part of ``train_dir`` that validates when ``val_dir`` is None.
        manuscript: Regular expression; its first group, searched in a page's name, names the manuscript: training
            then draws manuscripts, and of each its pages in turn. None: it draws pages.
        surround: Share of the training views that show an edge of the page and what lies beyond it.
        view: ``"resize"`` (the whole page) or ``"crop"`` (a square at the scan's resolution).
        image_size: S.
        augment: Fields of `Augment`.
        views_per_page: Items that an epoch takes from each training page: more than 1 for crops of large pages.
            (Mixed, the generated pages share what ``generated_share`` leaves them.)
        val_views_per_page: Fixed pairs of each validation and test page.
        batch_size: Of training, per device.
        val_batch_size: Of validation and test, per device.
        num_workers: Processes that read and damage the training pages; for a GPU, as many as there are cores.
        cache_gb: Room for decoded training pages, 0: none.
        cache_dir: Folder that keeps them between runs; None: a temporary one.
        strict: Decode every page before the first step and refuse a folder with unreadable ones, which are
            else left out with a warning.
        seed: Of order, views and damage in training.
        val_seed: Of the views and damage of the fixed pairs, so that runs with other seeds share them.
        max_val_pages: Validate on so many pages only.
    """

    def __init__(
        self,
        *,
        degradation: nn.Module,
        val_degradation: nn.Module,
        train_dir: str | None = None,
        val_dir: str | None = None,
        test_dir: str | None = None,
        index_dir: str | None = None,
        generator: Generator | None = None,
        generated_share: float = 0.0,
        num_generated: dict[str, int] | None = None,
        fresh_pages: int = 0,
        val_fraction: float = 0.1,
        manuscript: str | None = None,
        surround: float = 0.0,
        view: str = "resize",
        image_size: int = 256,
        augment: dict[str, Any] | None = None,
        views_per_page: int = 1,
        val_views_per_page: int = 1,
        batch_size: int = 16,
        val_batch_size: int = 16,
        num_workers: int = 2,
        cache_gb: float = 4.0,
        cache_dir: str | None = None,
        strict: bool = False,
        seed: int = 0,
        val_seed: int = 0,
        max_val_pages: int | None = None,
    ) -> None:
        super().__init__()
        check_number("image_size", image_size, at_least=1)
        check_number("batch_size", batch_size, at_least=1)
        check_number("val_batch_size", val_batch_size, at_least=1)
        check_number("views_per_page", views_per_page, at_least=1)
        check_number("val_views_per_page", val_views_per_page, at_least=1)
        check_number("num_workers", num_workers, at_least=0)
        check_number("cache_gb", cache_gb, at_least=0, fraction=True)
        if isinstance(surround, bool) or not isinstance(surround, int | float) or not 0 <= surround <= 1:
            raise UserError(f"data.surround={surround}: must be between 0 and 1")
        if max_val_pages is not None:
            check_number("max_val_pages", max_val_pages, at_least=1)
        if generator is not None and not hasattr(generator, "page"):
            raise UserError(
                f"data.generator={generator}: must be a section of keys, not a value; to choose one by its name: "
                f"generator@data.generator={generator}"
            )
        check_keys(Augment, augment or {}, "data.augment")
        self.view = View(view, image_size, Augment(**(augment or {})))
        self.degradation, self.val_degradation = degradation, val_degradation
        self.splits = Splits(
            folders={"train": train_dir, "val": val_dir, "test": test_dir},
            val_fraction=val_fraction,
            index_dir=index_dir,
            generator=generator,
            generated_share=generated_share,
            num_generated=NUM_GENERATED | (num_generated or {}),
            fresh_pages=fresh_pages,
            seed=seed,
            val_seed=val_seed,
        )
        self.manuscript = compile_pattern(manuscript, key="data.manuscript")
        self.surround = surround
        self.max_val_pages = max_val_pages
        self.batch_size, self.val_batch_size, self.num_workers = batch_size, val_batch_size, num_workers
        self.views_per_page, self.val_views_per_page = views_per_page, val_views_per_page
        self.cache_gb, self.cache_dir = cache_gb, cache_dir
        self.strict, self.seed, self.val_seed = strict, seed, val_seed
        self.sources: dict[str, dict[str, PageSource]] = {}
        self._position = {"next_epoch": 0, "batches_done": 0}
        self._train: TrainingPages | MixedPages | None = None
        self._real_training_source: PageSource | None = None
        self._pairs: dict[str, FixedPairs] = {}

    def setup(self, stage: str | None = None) -> None:
        """Find the pages of the stage and make its fixed pairs; what an earlier stage made is kept.

        Raises:
            UserError: A folder is missing, empty, or has no readable page (``strict``: an unreadable one).
        """
        needed = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        splits = {self.splits.alias(split) for split in needed.get(stage or "", ("train", "val", "test"))}
        missing = sorted(split for split in splits if not self._is_ready(split))
        sources = {split: self.splits.sources(split) for split in missing}
        if self.strict:
            check_readable(source["real"] for source in sources.values() if "real" in source)
        self.sources |= sources  # by split, then by kind
        for split, source in sources.items():
            if split == "train":
                self._train = self._training_pages(source)
            else:
                (pages,) = source.values()
                self._pairs[split] = self._fixed_pairs(pages, split)
                warn_of_shared_pages(self._real_training_source, pages, key=f"data.{split}_dir")

    def train_dataloader(self) -> DataLoader[Batch]:
        """Augmented clean pages in an order drawn from (seed, epoch); the last batch may be smaller."""
        assert self._train is not None
        world_size, rank = self._world()
        if len(self._train) < world_size:
            raise UserError(f"train: {len(self._train)} pages for {world_size} devices; use fewer devices")
        sampler = EpochSampler(self._train, world_size, rank, seed=self.seed)
        # Lightning sets the epoch too, but on resume only after its first iterator has sent the workers ahead.
        sampler.set_epoch(self._position["next_epoch"])
        sampler.go_on(self._position["next_epoch"], num_done=self._position["batches_done"] * self.batch_size)
        return DataLoader(
            self._train,
            self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=DamagedBatch(self.degradation, surround=self.surround),
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=init_worker,
        )

    def state_dict(self) -> dict[str, int]:
        """For the checkpoint: the first epoch that is not finished, and its batches that are."""
        if self.trainer is None:
            return self._position
        epoch = self.trainer.fit_loop.epoch_progress.current
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        processed: int = epoch.processed  # type: ignore[attr-defined]
        if epoch.ready and (processed < epoch.ready or done < self.trainer.num_training_batches):
            return {"next_epoch": epoch.ready - 1, "batches_done": done}
        return {"next_epoch": processed, "batches_done": 0}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """From the checkpoint, before a resumed run asks for its loader."""
        self._position |= state_dict

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation pairs, each on one device only."""
        return self._fixed_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test pairs, each on one device only."""
        return self._fixed_loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """On the device: uint8 to float."""
        return {part: to_float(value) if isinstance(value, Tensor) else value for part, value in batch.items()}

    @property
    def has_test_pages(self) -> bool:
        """Whether the test pages are others than the validation pages."""
        return self.splits.alias("test") == "test"

    @property
    def val_names(self) -> list[str]:
        """Names of the validation pages in the order of the loader, once set up."""
        return self._pairs["val"].names

    def _is_ready(self, split: str) -> bool:
        return self._train is not None if split == "train" else split in self._pairs

    def _training_pages(self, sources: dict[str, PageSource]) -> TrainingPages | MixedPages:
        real = self._real_training_source = sources.get("real")
        if real is not None and self.manuscript:
            sources = {**sources, "real": ByManuscript(real, self.manuscript)}
        options: dict[str, Any] = {"max_gb": self.cache_gb / len(sources), "folder": self.cache_dir}
        caches = {kind: self._cache(source, **options) for kind, source in sources.items()}
        # Stops at the first readable page.
        if real is not None and all(caches["real"].read(index) is None for index in range(len(real))):
            raise UserError(f"data.train_dir: none of its {len(real)} pages can be read; see the warnings")
        return training_items(
            caches,
            self.view,
            seed=self.seed,
            views_per_page=self.views_per_page,
            generated_share=self.splits.generated_share,
        )

    def _cache(self, source: PageSource, **options: Any) -> PageCache:
        return PageCache(source, self.view.prepare, tag=self.view.tag, **options)

    def _fixed_pairs(self, source: PageSource, split: str) -> FixedPairs:
        return FixedPairs(
            self._cache(source),
            self.view,
            self.val_degradation,
            seed=self.val_seed,
            key=f"data.{split}_dir",
            max_pages=self.max_val_pages if split == "val" else None,
            views_per_page=self.val_views_per_page,
        )

    def _fixed_loader(self, split: str) -> DataLoader[Batch]:
        pairs = self._pairs[self.splits.alias(split)]
        world_size, rank = self._world()
        if len(pairs) < world_size:
            raise UserError(f"{split}: {len(pairs)} pages for {world_size} devices; use fewer devices")
        # Lightning would shard a plain loader by a sampler that repeats pages to fill up the last device.
        sampler = UnrepeatedDistributedSampler(pairs, world_size, rank, shuffle=False)
        # The pairs lie in memory: workers would only copy them.
        return DataLoader(pairs, self.val_batch_size, sampler=sampler)

    def _world(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer is not None else (1, 0)
