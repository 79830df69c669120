import os
import warnings
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn
from torch.utils.data import DataLoader

from manuscript_restore import images
from manuscript_restore.config import build, config_dir
from manuscript_restore.data import PagesDataModule
from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.datasets import FixedPairs, TrainingPages, fixed_pair
from manuscript_restore.data.sampler import EpochSampler
from manuscript_restore.data.sources import FolderSource, GeneratedSource, PageSource, split_by_name, stable_hash
from manuscript_restore.data.views import Augment, View
from manuscript_restore.errors import UserError
from manuscript_restore.synthesis import PageGenerator


class Noise(nn.Module):
    """Stand-in for the degradation: what it does depends on the seed and the batch."""

    def forward(self, clean, *, seed):
        generator = torch.Generator().manual_seed(seed)
        return (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)


class Painter:
    """Stand-in for the generator: pages of one colour, which tells their number."""

    tag = "painter"

    def page(self, seed, index):
        return SimpleNamespace(image=np.full((40 + index % 3, 50, 3), (seed, index // 256, index % 256), np.uint8))


def make_folder(folder: Path, num_pages=6, height=60, width=90, bad=0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(num_pages):
        array = np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)
        images.write(array, folder / f"page_{i}.png")
    for i in range(bad):
        (folder / f"bad_{i}.jpg").write_bytes(b"" if i % 2 else b"not a picture")
    return folder


def training_pages(folder, view="crop", seed=0, max_gb=0.0, **augment):
    view = View(view, 32, Augment(**({"photometric": 0.5} | augment)))
    cache = PageCache(FolderSource(folder), view.prepare, tag=view.tag, max_gb=max_gb)
    return TrainingPages(cache, view, seed=seed)


def fixed_pairs(folder, view="crop", seed=0, **options):
    view = View(view, 32, Augment())
    cache = PageCache(FolderSource(folder), view.prepare, tag=view.tag)
    return FixedPairs(cache, view, Noise(), seed=seed, key="data.val_dir", **options)


def data_module(**options):
    defaults = {
        "degradation": Noise(),
        "val_degradation": Noise(),
        "image_size": 32,
        "batch_size": 4,
        "num_workers": 0,
        "cache_gb": 0.1,
    }
    return PagesDataModule(**(defaults | options))


def epoch_of(data, epoch, **loader):
    sampler = EpochSampler(data, 1, 0, seed=0)
    sampler.set_epoch(epoch)
    return list(DataLoader(data, 4, sampler=sampler, **loader))


def same(batches, others):
    return len(batches) == len(others) and all(
        torch.equal(a[name], b[name]) for a, b in zip(batches, others, strict=True) for name in ("clean", "seed")
    )


# sources


def test_folder_source(pages):
    source = FolderSource(pages)
    assert names(source) == {*(f"page_{i}.png" for i in range(4)), "page_2/page_4.png"}
    assert source.read(0).shape == (90, 120, 3)


def test_generated_source_is_a_window_of_one_sequence():
    whole = GeneratedSource(Painter(), 3, seed=1)
    part = GeneratedSource(Painter(), 1, seed=1, first=2)
    assert whole.name(2) == part.name(0)
    np.testing.assert_array_equal(whole.read(2), part.read(0))
    assert (whole.read(0) != whole.read(1)[:40]).any()


@pytest.mark.parametrize("fresh", [0, 1, 3, 5])
def test_the_window_slides(fresh):
    source = GeneratedSource(Painter(), 5, seed=0, fresh=fresh)
    before = None
    for epoch in range(7):
        slots = [source.at(epoch, slot) for slot in range(5)]
        assert sorted(slots) == list(range(epoch * fresh, epoch * fresh + 5))
        if before:
            changed = [(old, new) for old, new in zip(before, slots, strict=True) if old != new]
            assert len(changed) == fresh
            assert sorted(new for _, new in changed) == list(source.coming(epoch - 1))
            kept = {source.expired(new) for _, new in changed}
            assert kept.isdisjoint({*before, *slots})
        before = slots


def test_stable_hash_is_the_same_everywhere():
    assert stable_hash("damage", 0, "page.jpg") == 560108240153935593
    assert stable_hash("ab", "c") != stable_hash("a", "bc")


def names(source):
    return {source.name(i) for i in range(len(source))}


class Names(PageSource):
    """A source of names without pages."""

    def __init__(self, names):
        self.names = list(names)

    def __len__(self):
        return len(self.names)

    def name(self, index):
        return self.names[index]

    def key(self, index):
        raise NotImplementedError

    def read(self, index):
        raise NotImplementedError


def test_split_depends_on_the_name_alone():
    files = [f"page_{i}.jpg" for i in range(400)]
    train, val = split_by_name(Names(files), 0.1)
    assert names(train) | names(val) == set(files)
    assert not names(train) & names(val)
    assert 20 <= len(val) <= 60
    _, reversed_val = split_by_name(Names(files[::-1]), 0.1)
    _, fewer_val = split_by_name(Names(files[:300]), 0.1)
    assert names(reversed_val) == names(val)
    assert names(fewer_val) == names(val) & set(files[:300])


@pytest.mark.parametrize("fraction", [1e-9, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("num_pages", [2, 3, 10])
def test_split_gives_each_side_a_page(fraction, num_pages):
    train, val = split_by_name(Names(f"{i}.jpg" for i in range(num_pages)), fraction)
    assert len(train) >= 1
    assert len(val) >= 1
    assert len(train) + len(val) == num_pages


# views


@pytest.mark.parametrize("mode", ["resize", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (20_000, 50), (50, 20_000), (31, 32), (33, 200)])
def test_pages_of_any_shape(mode, shape):
    scale = (0.5, 2.0) if mode == "crop" else (1.0, 1.0)
    view = View(mode, 32, Augment(vflip=0.5, scale=scale, photometric=1.0))
    page = view.prepare(np.full((*shape, 3), 200, np.uint8))
    for picture in (view.train(page, (0, 0, 0)), view.fixed(page, (0,))):
        assert picture.shape == (32, 32, 3)
        assert picture.dtype == np.uint8
    assert (view.fixed(page, (0,)) == 200).all()  # no black border


def test_resize_averages_what_it_shrinks():
    page = np.zeros((64, 64, 3), np.uint8)
    page[::2] = 255
    view = View("resize", 32, Augment())
    assert np.abs(view.prepare(page).astype(int) - 127).max() <= 1


def test_crop_keeps_the_resolution_of_the_page():
    page = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    view = View("crop", 32, Augment(hflip=0))
    picture = view.train(page, (0, 0, 0))
    windows = np.lib.stride_tricks.sliding_window_view(page, (32, 32, 3)).reshape(-1, 32, 32, 3)
    assert (windows == picture).all(axis=(1, 2, 3)).sum() == 1


def test_scale_enlarges_the_crop():
    ramp = np.repeat(np.arange(250, dtype=np.uint8)[None, :, None], 200, axis=0).repeat(3, axis=2)
    for scale in (0.5, 1.0, 2.0):
        view = View("crop", 32, Augment(hflip=0, scale=(scale, scale)))
        row = view.train(ramp, (0, 0, 0))[16, :, 0].astype(float)
        assert (row[-4] - row[4]) / 23 == pytest.approx(1 / scale, rel=0.1)


def test_flips_and_photometric_strength():
    page = np.random.default_rng(0).integers(80, 160, (32, 32, 3), dtype=np.uint8)
    still = View("resize", 32, Augment(hflip=0))
    np.testing.assert_array_equal(still.train(page, (0, 0, 0)), page)
    flipped = View("resize", 32, Augment(hflip=1, vflip=1))
    np.testing.assert_array_equal(flipped.train(page, (0, 0, 0)), page[::-1, ::-1])

    def change(strength):
        view = View("resize", 32, Augment(hflip=0, photometric=strength))
        return np.mean([np.abs(view.train(page, (0, 0, i)).astype(float) - page).mean() for i in range(40)])

    assert 0 < change(0.1) < change(0.5) < change(1.0) < 40


def test_some_pages_keep_their_own_tone():
    page = np.random.default_rng(0).integers(80, 160, (32, 32, 3), dtype=np.uint8)
    view = View("resize", 32, Augment(hflip=0, photometric=1, photometric_p=0.5))
    kept = [np.array_equal(view.train(page, (0, 0, i)), page) for i in range(200)]
    assert 0.35 < np.mean(kept) < 0.65  # four standard deviations


def test_augmentations_of_one_sample_do_not_correlate():
    # Albumentations' own seeding gives every transform the same draws.
    page = np.random.default_rng(0).integers(0, 256, (200, 32, 3), dtype=np.uint8)
    page[:, :, 0] = np.arange(200)[:, None]
    view = View("crop", 32, Augment(hflip=0.5))
    pictures = [view.train(page, (0, 0, i)) for i in range(200)]
    rows = np.array([picture[0, 0, 0] for picture in pictures])
    flips = np.array(
        [not (picture == page[row : row + 32]).all() for picture, row in zip(pictures, rows, strict=True)]
    )
    assert 0.35 < flips.mean() < 0.65
    assert abs(np.corrcoef(rows, flips)[0, 1]) < 0.25  # 200 samples: three standard deviations are 0.21


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (
            {"hfilp": 0.5},
            "data.augment.hfilp: unknown key .did you mean hflip.*photometric, photometric_p, scale, vflip",
        ),
        ({"hflip": 2}, "data.augment.hflip=2: must be between 0 and 1"),
        ({"scale": [2.0, 1.0]}, r"data.augment.scale=\[2.0, 1.0\]"),
        ({"scale": "big"}, "data.augment.scale=big"),
        ({"scale": [0.5, 2.0]}, "data.augment.scale.*data.view=crop"),
    ],
)
def test_augment_values(augment, message):
    with pytest.raises(UserError, match=message):
        data_module(augment=augment)


# training items


def test_items_do_not_depend_on_workers_or_order(tmp_path):
    data = training_pages(make_folder(tmp_path), max_gb=0.1)
    straight = epoch_of(data, epoch=3)
    assert same(straight, epoch_of(data, epoch=3, num_workers=2))
    backwards = {i: data[3, i] for i in reversed(range(len(data)))}
    again = {i: data[3, i] for i in range(len(data))}
    assert all(torch.equal(backwards[i]["clean"], again[i]["clean"]) for i in again)


def test_epochs_and_seeds_differ(tmp_path):
    folder = make_folder(tmp_path)
    data, other = training_pages(folder), training_pages(folder, seed=1)
    items = [data[0, 0], data[1, 0], other[0, 0]]
    assert len({item["seed"] for item in items}) == 3
    assert all(0 <= item["seed"] < 2**63 for item in items)
    assert not torch.equal(items[0]["clean"], items[1]["clean"])
    assert not torch.equal(items[0]["clean"], items[2]["clean"])
    orders = [[index for _, index in EpochSampler(range(50), 1, 0, seed=seed)] for seed in (0, 1)]
    assert orders[0] != orders[1]


def test_workers_never_repeat_each_other(tmp_path):
    page = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for i in range(8):
        images.write(page, tmp_path / f"{i}.png")  # one page eight times: only the augmentation can differ
    data = training_pages(tmp_path)
    pictures = [
        picture.numpy().tobytes()
        for epoch in range(2)
        for batch in epoch_of(data, epoch, num_workers=2)
        for picture in batch["clean"]
    ]
    assert len(set(pictures)) == 16


@pytest.mark.filterwarnings("default:page left out")
def test_a_bad_page_is_replaced_by_the_next(tmp_path):
    data = training_pages(make_folder(tmp_path, num_pages=2, bad=2), view="resize", hflip=0, photometric=0)
    with pytest.warns(UserWarning, match=r"page left out: .*bad_\d\.jpg") as caught:
        first, second = data[0, 0], data[0, 1]
    assert len(caught) == 2
    assert torch.equal(first["clean"], data[0, 2]["clean"])
    assert torch.equal(second["clean"], data[0, 2]["clean"])
    assert first["seed"] != second["seed"]


@pytest.mark.parametrize("max_gb", [0, 0.1])
def test_one_warning_per_bad_file_over_workers_and_epochs(tmp_path, monkeypatch, capfd, max_gb):
    # pytest records warnings in memory, where those of the workers are lost: let them be printed.
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: os.write(2, f"{message}\n".encode()))
    warnings.simplefilter("always")
    data = training_pages(make_folder(tmp_path, num_pages=6, bad=3), max_gb=max_gb)
    for epoch in range(2):
        epoch_of(data, epoch, num_workers=2)
    printed = capfd.readouterr().err
    assert [printed.count(f"page left out: {tmp_path}/bad_{i}.jpg") for i in range(3)] == [1, 1, 1]


# the cache


class Counted(FolderSource):
    """A source that counts its reads."""

    def __init__(self, folder):
        super().__init__(folder)
        self.reads = []

    def read(self, index):
        self.reads.append(index)
        return super().read(index)


def cached(pages, *, tag="whole", **options):
    source = Counted(pages)
    return source, PageCache(source, lambda page: page, tag=tag, **options)


def stored_bytes(folder):
    return sum(path.stat().st_size for path in Path(folder).iterdir())


def test_a_page_is_decoded_once(tmp_path):
    source, cache = cached(make_folder(tmp_path), max_gb=1)
    for _ in range(3):
        np.testing.assert_array_equal(cache.read(2), images.read(tmp_path / "page_2.png"))
    assert source.reads == [2]


def test_the_cache_is_bounded(tmp_path):
    page_bytes = 60 * 90 * 3
    source, cache = cached(
        make_folder(tmp_path / "pages"), max_gb=2.5 * page_bytes / 1e9, folder=str(tmp_path / "cache")
    )
    for _ in range(2):
        for i in range(6):
            np.testing.assert_array_equal(cache.read(i), images.read(tmp_path / f"pages/page_{i}.png"))
    assert len(source.reads) == 2 + 4 * 2  # two fit, four are decoded every time
    assert stored_bytes(tmp_path / "cache") <= 2.5 * page_bytes


def test_a_full_cache_gives_up_what_no_run_needs_any_more(tmp_path):
    """Pages of an older version fill the folder, and something of the user's lies there."""
    pages, folder = make_folder(tmp_path / "pages"), tmp_path / "cache"
    page_bytes = images.read(tmp_path / "pages/page_0.png").nbytes
    options = {"max_gb": 2.5 * page_bytes / 1e9, "folder": str(folder)}
    _, old = cached(pages, tag="old", **options)
    old.read(0), old.read(1)
    (folder / "notes.npy").write_bytes(b"mine")
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    source, cache = cached(pages, **options)
    for _ in range(2):
        cache.read(0), cache.read(1), cache.read(2)
    assert (folder / "notes.npy").exists()
    assert len(list(folder.iterdir())) == 3  # two of the new run's: its own are not exchanged for its own
    assert source.reads == [0, 1, 2, 2]


def test_no_cache(tmp_path):
    source, cache = cached(make_folder(tmp_path / "pages"), max_gb=0, folder=str(tmp_path / "cache"))
    cache.read(0), cache.read(0)
    assert source.reads == [0, 0]
    assert stored_bytes(tmp_path / "cache") == 0


def test_a_persistent_cache_is_shared_and_notices_a_changed_page(tmp_path):
    folder = make_folder(tmp_path / "pages")
    options = {"max_gb": 1, "folder": str(tmp_path / "cache")}
    first, second = cached(folder, **options), cached(folder, **options)
    first[1].read(0)
    second[1].read(0)
    assert (first[0].reads, second[0].reads) == ([0], [])
    changed = np.zeros((5, 7, 3), np.uint8)
    images.write(changed, folder / "page_0.png")
    np.testing.assert_array_equal(second[1].read(0), changed)


def test_a_damaged_cache_file_is_made_anew(tmp_path):
    source, cache = cached(make_folder(tmp_path / "pages"), max_gb=1, folder=str(tmp_path / "cache"))
    cache.read(0)
    (stored,) = (tmp_path / "cache").iterdir()
    for content in (b"", stored.read_bytes()[:200], b"garbage"):
        stored.write_bytes(content)
        np.testing.assert_array_equal(cache.read(0), images.read(tmp_path / "pages/page_0.png"))
    assert source.reads == [0] * 4
    assert list((tmp_path / "cache").iterdir()) == [stored]


def test_resize_stores_small_pages_and_crop_whole_ones(tmp_path):
    make_folder(tmp_path / "pages", num_pages=1, height=200, width=300)
    for mode, num_bytes in (("resize", 32 * 32 * 3), ("crop", 200 * 300 * 3)):
        view = View(mode, 32, Augment())
        folder = tmp_path / mode
        PageCache(FolderSource(tmp_path / "pages"), view.prepare, tag=view.tag, max_gb=1, folder=str(folder)).read(
            0
        )
        assert num_bytes < stored_bytes(folder) < num_bytes + 1000


def test_the_temporary_folder_goes_with_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    _, cache = cached(make_folder(tmp_path / "pages"), max_gb=1)
    cache.read(0)
    assert list((tmp_path / "tmp").iterdir())
    if os.fork() == 0:  # a worker that ends, or loses its copy of the cache, must not take the folder along
        del cache
        os._exit(0)
    os.wait()
    assert list((tmp_path / "tmp").iterdir())
    del cache
    assert not list((tmp_path / "tmp").iterdir())


# fixed pairs


def pair_bytes(batches):
    return {
        name: clean.numpy().tobytes() + degraded.numpy().tobytes()
        for batch in batches
        for name, clean, degraded in zip(batch["name"], batch["clean"], batch["degraded"], strict=True)
    }


@pytest.mark.parametrize("view", ["resize", "crop"])
def test_fixed_pairs_are_fixed(tmp_path, view):
    folder = make_folder(tmp_path)
    pairs = fixed_pairs(folder, view)
    expected = pair_bytes(DataLoader(pairs, 1))
    assert len(expected) == len(set(expected.values())) == 6
    for options in ({"batch_size": 4}, {"batch_size": 4, "num_workers": 2}):
        assert pair_bytes(DataLoader(pairs, **options)) == expected
    make_folder(folder / "a", num_pages=1)
    more = pair_bytes(DataLoader(fixed_pairs(folder, view), 4))
    assert len(more) == 7
    assert {name: more[name] for name in expected} == expected
    assert pair_bytes(DataLoader(fixed_pairs(folder, view, seed=1), 4)) != expected | more


class Sometimes(nn.Module):
    """Damages a share of the pages."""

    def __init__(self, percent: int) -> None:
        super().__init__()
        self.percent = percent

    def forward(self, clean: torch.Tensor, *, seed: int) -> torch.Tensor:
        return 1 - clean if seed % 100 < self.percent else clean


def test_fixed_pairs_are_damaged_wherever_damage_can_be_drawn():
    page = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    view = View("crop", 32)
    for number in range(60):
        clean, degraded = fixed_pair(page, f"page{number}", view, Sometimes(60), seed=0)
        assert not torch.equal(clean, degraded)
    clean, degraded = fixed_pair(page, "page", view, Sometimes(0), seed=0)
    assert torch.equal(clean, degraded)


def test_fixed_pairs_leave_bad_pages_out(tmp_path):
    make_folder(tmp_path, num_pages=2, bad=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pairs = fixed_pairs(tmp_path)
    assert pairs.names == ["page_0.png", "page_1.png"]
    assert [sum(f"bad_{i}" in str(w.message) for w in caught) for i in range(2)] == [1, 1]


def test_max_pages(tmp_path):
    make_folder(tmp_path, num_pages=6)
    few = fixed_pairs(tmp_path, max_pages=3).names
    assert len(few) == 3
    assert set(few) < set(fixed_pairs(tmp_path, max_pages=4).names)


# the data module


def test_generated_pages():
    module = data_module(
        generator=Painter(), generated_share=1, num_generated={"train": 3, "val": 2, "test": 1}, val_batch_size=2
    )
    module.setup("fit")
    module.setup("test")
    (batch,) = module.train_dataloader()  # fewer pages than a batch holds: still one batch
    batch = module.on_after_batch_transfer(batch, 0)
    assert batch["clean"].shape == batch["degraded"].shape == (3, 3, 32, 32)
    for part in (batch["clean"], batch["degraded"]):
        assert part.dtype == torch.float32
        assert part.min() >= 0
        assert part.max() <= 1
    assert not torch.equal(batch["clean"], batch["degraded"])
    (val,) = module.val_dataloader()
    val = module.on_after_batch_transfer(val, 0)
    assert val["name"] == module.val_names
    assert val["clean"].dtype == val["degraded"].dtype == torch.float32
    (test,) = module.test_dataloader()
    assert not set(test["name"]) & set(val["name"])


def test_training_damage_is_keyed_to_the_batch(tmp_path):
    module = data_module(train_dir=str(make_folder(tmp_path)))
    module.setup("fit")
    batches = [next(iter(module.train_dataloader())) for _ in range(2)]
    damaged = [module.on_after_batch_transfer(batch, 0)["degraded"] for batch in batches]
    assert torch.equal(*damaged)


def test_a_split_of_one_folder(tmp_path):
    module = data_module(train_dir=str(make_folder(tmp_path, num_pages=20)), val_fraction=0.3)
    module.setup()
    trained = names(module._train.pages.source)
    assert trained.isdisjoint(module.val_names)
    assert len(trained) + len(module.val_names) == 20
    tested = [name for batch in module.test_dataloader() for name in batch["name"]]
    assert tested == module.val_names


def test_folders_of_their_own(tmp_path):
    folders = {
        f"{split}_dir": str(make_folder(tmp_path / split, num_pages=n))
        for split, n in {"train": 5, "val": 3, "test": 2}.items()
    }
    module = data_module(**folders, max_val_pages=2)
    module.setup()
    assert len(module.val_names) == 2
    assert sum(len(batch["name"]) for batch in module.test_dataloader()) == 2
    alone = data_module(test_dir=folders["test_dir"])
    alone.setup("test")
    with pytest.raises(UserError, match=r"data\.train_dir: is not set; give a folder .* or data=generated"):
        alone.setup("fit")


def page_numbers(module, epoch):
    """Number of the generated page in each item of an epoch; None for an item of a folder."""
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)
    colours = [clean[:, 16, 16].tolist() for batch in loader for clean in batch["clean"]]
    return [256 * green + blue if red == 7 else None for red, green, blue in colours]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_generated_pages_are_exchanged_and_their_files_too(tmp_path, num_workers):
    options = {"generator": Painter(), "generated_share": 1, "num_generated": {"train": 5}, "seed": 7}
    module = data_module(
        **options, fresh_pages=2, views_per_page=3, num_workers=num_workers, cache_dir=str(tmp_path / "cache")
    )
    module.setup("fit")
    for epoch in range(4):
        numbers = page_numbers(module, epoch)
        assert sorted(numbers) == sorted(3 * list(range(2 * epoch, 2 * epoch + 5)))
        assert len(list((tmp_path / "cache").iterdir())) == 5 + 2  # those of the next epoch are there already
    again = data_module(**options, fresh_pages=2, views_per_page=3)
    again.setup("fit")
    assert page_numbers(again, 3) == numbers


def test_every_generated_page_is_drawn_once():
    drawn = []

    class Counting(Painter):
        def page(self, seed, index):
            drawn.append(index)
            return super().page(seed, index)

    module = data_module(
        generator=Counting(),
        generated_share=1,
        num_generated={"train": 5},
        fresh_pages=2,
        views_per_page=3,
        seed=7,
    )
    module.setup("fit")
    drawn.clear()  # the fixed pages
    for epoch in range(4):
        page_numbers(module, epoch)
        assert sorted(drawn) == list(range(5 + 2 * (epoch + 1)))


def test_generated_pages_of_the_splits_are_others():
    module = data_module(generator=Painter(), generated_share=1, num_generated={"train": 3, "val": 3, "test": 3})
    pages = [module.splits.sources(split)["generated"] for split in ("train", "val", "test")]
    assert len(set.union(*map(names, pages))) == 9


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_mixed_pages(tmp_path, share):
    module = data_module(
        train_dir=str(make_folder(tmp_path / "train", num_pages=20)),
        val_dir=str(make_folder(tmp_path / "val", num_pages=2)),
        generator=Painter(),
        generated_share=share,
        num_generated={"train": 4},
        fresh_pages=1,
        views_per_page=3,
        seed=7,
    )
    module.setup("fit")
    for epoch in range(2):
        numbers = page_numbers(module, epoch)
        drawn = [number for number in numbers if number is not None]
        assert len(numbers) - len(drawn) == 60
        assert len(drawn) / len(numbers) == pytest.approx(share, abs=0.02)
        assert set(drawn) == set(range(epoch, epoch + 4))
    assert sorted(module.val_names) == ["page_0.png", "page_1.png"]
    assert not module.has_test_pages


def test_strict_lists_every_bad_file(tmp_path):
    folder = str(make_folder(tmp_path, num_pages=3, bad=3))
    with pytest.raises(UserError, match=r"(?s)3 pages cannot be read.*bad_0.*bad_1.*bad_2"):
        data_module(train_dir=folder, val_dir=folder, strict=True).setup("validate")
    good = str(make_folder(tmp_path / "good"))
    other = str(make_folder(tmp_path / "other"))
    data_module(train_dir=good, val_dir=other, strict=True).setup("fit")


@pytest.mark.filterwarnings("ignore:page left out")
def test_nothing_readable(tmp_path):
    good, bad = str(make_folder(tmp_path / "good")), str(make_folder(tmp_path / "bad", num_pages=0, bad=2))
    with pytest.raises(UserError, match=r"data\.train_dir: none of its 2 pages"):
        data_module(train_dir=bad, val_dir=good).setup("fit")
    with pytest.raises(UserError, match=r"data\.val_dir: none of its 2 pages"):
        data_module(train_dir=good, val_dir=bad).setup("fit")


def test_one_page_cannot_be_split(tmp_path):
    with pytest.raises(UserError, match=r"data\.train_dir.*set data\.val_dir"):
        data_module(train_dir=str(make_folder(tmp_path, num_pages=1))).setup("fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "data.batch_size=0: must be at least 1"),
        ({"batch_size": "many"}, "data.batch_size=many: must be a whole number"),
        ({"val_batch_size": -1}, "data.val_batch_size=-1"),
        ({"num_workers": -1}, "data.num_workers=-1: must be at least 0"),
        ({"image_size": 0}, "data.image_size=0"),
        ({"cache_gb": -0.5}, "data.cache_gb=-0.5: must be at least 0"),
        ({"seed": -1}, "data.seed=-1"),
        ({"max_val_pages": 0}, "data.max_val_pages=0"),
        ({"val_fraction": 1.0}, "data.val_fraction=1.0"),
        ({"view": "tile"}, "data.view=tile: must be resize or crop"),
        ({"num_generated": {"trian": 3}}, "data.num_generated.trian: unknown key"),
        ({"num_generated": {"train": 0}}, "data.num_generated.train=0"),
        ({"fresh_pages": -1}, "data.fresh_pages=-1: must be at least 0"),
        ({"fresh_pages": 33}, "data.fresh_pages=33: must be at most data.num_generated.train=32"),
        ({"generated_share": 1.5}, "data.generated_share=1.5: must be between 0 and 1"),
        ({"generated_share": 0.5}, "data.generator: is not set; use data=generated or data=mixed"),
        (
            {"generated_share": 1, "generator": Painter(), "val_dir": "pages"},
            "data.val_dir=pages: data=generated reads no folder; use data=pages .* data=mixed",
        ),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(UserError, match=message):
        data_module(**options)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_missing_folder(tmp_path, split):
    folders = dict.fromkeys(("train_dir", "val_dir", "test_dir"), str(make_folder(tmp_path)))
    with pytest.raises(UserError, match=rf"data\.{split}_dir=nowhere: no such folder"):
        data_module(**(folders | {f"{split}_dir": "nowhere"})).setup()


# under Lightning


class Recorder(L.LightningModule):
    """Remembers what it was fed."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.fed = {}

    def training_step(self, batch, _):
        self.fed.setdefault(self.current_epoch, []).append(batch["degraded"].clone())
        return self.layer(batch["clean"].mean().view(1, 1)).mean()

    def validation_step(self, batch, _):
        self.log("val", (batch["degraded"] - batch["clean"]).abs().mean(), batch_size=len(batch["name"]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(folder, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(accelerator="cpu", default_root_dir=folder, **(quiet | options))


def under_lightning(test):
    for message in (".*LeafSpec", ".*does not have many workers", "You requested to overfit"):
        test = pytest.mark.filterwarnings(f"ignore:{message}")(test)
    return test


@under_lightning
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_sees_what_the_straight_run_saw(tmp_path, num_workers):
    folder = str(make_folder(tmp_path / "pages", num_pages=9))

    def fit(max_epochs, ckpt_path=None):
        model = Recorder()
        runner = trainer(tmp_path, max_epochs=max_epochs, enable_checkpointing=False)
        runner.fit(model, datamodule=data_module(train_dir=folder, num_workers=num_workers), ckpt_path=ckpt_path)
        runner.save_checkpoint(tmp_path / "last.ckpt")
        return model.fed

    straight = fit(3)
    fit(1)
    resumed = fit(3, tmp_path / "last.ckpt")
    assert set(resumed) == {1, 2}
    for epoch in resumed:
        assert all(map(torch.equal, straight[epoch], resumed[epoch]))
    assert not torch.equal(straight[0][0], straight[1][0])
    assert not torch.equal(straight[1][0], straight[2][0])


@under_lightning
def test_overfit_batches_repeats_one_batch(tmp_path):
    model = Recorder()
    runner = trainer(tmp_path, max_epochs=2, overfit_batches=1, enable_checkpointing=False)
    folder = str(make_folder(tmp_path / "pages"))
    runner.fit(model, datamodule=data_module(train_dir=folder, test_dir="not needed yet"))
    assert torch.equal(model.fed[0][0], model.fed[1][0])


def test_an_epoch_that_was_interrupted_goes_on_with_the_rest(tmp_path):
    module = data_module(train_dir=str(make_folder(tmp_path, num_pages=11)), batch_size=2)
    module.setup("fit")
    orders = []
    for done in (0, 3):
        module.load_state_dict({"next_epoch": 4, "batches_done": done})
        loader = module.train_dataloader()
        orders.append(list(loader.sampler))
        batches = len(loader)
        loader.sampler.set_epoch(5)
        orders.append(list(loader.sampler))
    whole, next_whole, rest, next_rest = orders
    assert rest == whole[6:]
    assert next_rest == next_whole
    assert batches == -(-len(whole) // 2)  # as Lightning counts on


def test_devices_have_no_page_twice(tmp_path):
    module = data_module(train_dir=str(make_folder(tmp_path, num_pages=11)), val_fraction=0.5, batch_size=2)
    module.setup("fit")
    val, train = [], []
    for rank in range(2):
        module._world = lambda rank=rank: (2, rank)
        val += [name for batch in module.val_dataloader() for name in batch["name"]]
        train += [index for _, index in module.train_dataloader().sampler]
    assert sorted(val) == sorted(module.val_names)
    assert len(set(train)) == len(train) == len(module._train) // 2 * 2
    module._world = lambda: (100, 0)
    for loader in (module.train_dataloader, module.val_dataloader):
        with pytest.raises(UserError, match="for 100 devices"):
            loader()


# the configs


def composed(*overrides):
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return compose("train", [*overrides, "output_dir=out"]).data


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pages", "generated", "mixed", "streaming"])
@pytest.mark.parametrize("experiment", ["vit_base", "smoke", "crops", "release", "finetune"])
def test_every_kind_of_data_builds(kind, experiment):
    config = composed(f"experiment={experiment}", f"data={kind}")
    module = build(config, "data", seed=0, degradation=Noise(), val_degradation=Noise())
    assert (config.generator is None) == (module.splits.generated_share == 0)
    if kind != "generated":
        with pytest.raises(UserError, match=r"data\.train_dir: is not set; .* data=generated"):
            module.setup("fit")


def test_the_generator_has_its_own_group():
    config = composed("data=mixed", "generator@data.generator=printed", "data.generator.irregularity=0.5")
    assert (config.generator.style, config.generator.irregularity) == ("printed", 0.5)
    with pytest.raises(UserError, match=r"data\.generator\.sytle: unknown key \(did you mean style\?\)"):
        build(
            composed("data=generated", "+data.generator.sytle=x"), "data", degradation=None, val_degradation=None
        )


def test_the_real_generator_is_a_generator():
    source = GeneratedSource(PageGenerator(size=[64, 96]), 2, seed=3)
    drawn = PageGenerator(size=[64, 96]).page(3, 1)
    page = source.read(1)
    np.testing.assert_array_equal(page[..., :3], drawn.image)
    np.testing.assert_array_equal(page[..., 3], np.where(drawn.ink, 255, 0))
    assert source.key(0) != GeneratedSource(PageGenerator(size=[64, 64]), 2, seed=3).key(0)
