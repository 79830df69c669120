"""Shards: writing them, reading them at random, their order on many devices, resume, and what mistakes get."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from manuscript_restore import images
from manuscript_restore.data import PagesDataModule
from manuscript_restore.data.sampler import EpochSampler
from manuscript_restore.data.shards import INDEX, PAGES, ShardSource, open_pages
from manuscript_restore.data.sources import FolderSource, check_readable
from manuscript_restore.errors import UserError
from manuscript_restore.prepare import main, prepare

pytest.importorskip("litdata")
NUM_PAGES = 26


class Unchanged(nn.Module):
    def forward(self, clean, *, seed):
        return clean


def write_pages(folder: Path, num_pages=NUM_PAGES) -> Path:
    """Pages of noise, about 300 kB each, in two folders and several formats."""
    for i in range(num_pages):
        path = folder / f"codex_{i % 2}" / f"page_{i}{('.png', '.tif')[i % 3 == 0]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        page = np.random.default_rng(i).integers(0, 256, (300 + i, 340, 3), dtype=np.uint8)
        images.write(page, path)
    return folder


def write_shards(pages, out, **options):
    defaults = {"overwrite": False, "max_side": None, "chunk_mb": 1, "num_workers": 0, "n": 1, "seed": 0}
    prepare(pages=str(pages), out=str(out), generator=None, **(defaults | options))
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_pages(tmp_path_factory.mktemp("folder"))


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory) -> Path:
    return write_shards(folder, tmp_path_factory.mktemp("streaming") / "shards")


def data_module(**options):
    defaults = {"image_size": 32, "batch_size": 4, "num_workers": 0, "cache_gb": 0, "view": "crop"}
    return PagesDataModule(degradation=Unchanged(), val_degradation=Unchanged(), **(defaults | options))


# pages


def test_shards_hold_the_pages_of_the_folder(folder, shards):
    source, straight = ShardSource(str(shards)), FolderSource(folder)
    assert len(source) == len(straight) == NUM_PAGES
    assert len(source.shards) - 1 == len(list(shards.glob("chunk-*.bin"))) > 5
    for index in np.random.default_rng(0).permutation(NUM_PAGES):
        assert source.name(index) == straight.name(index)
        np.testing.assert_array_equal(source.read(int(index)), straight.read(index))


def test_the_shards_are_the_same_for_every_number_of_workers(folder, shards, tmp_path):
    again = write_shards(folder, tmp_path / "shards", num_workers=2)
    for chunk in shards.glob("chunk-*.bin"):
        assert (again / chunk.name).read_bytes() == chunk.read_bytes()


def test_litdata_reads_the_same_bytes(folder, shards):
    import litdata

    data = litdata.StreamingDataset(str(shards))
    straight = FolderSource(folder)
    assert [bytes(data[i]) for i in range(NUM_PAGES)] == [straight.path(i).read_bytes() for i in range(NUM_PAGES)]


def test_shards_from_an_object_store(folder, shards):
    # LitData's "local:" goes the way of s3:// up to the download itself.
    source = open_pages(f"local:{shards}", key="data.train_dir")
    for index in (NUM_PAGES - 1, 0, 7):
        np.testing.assert_array_equal(source.read(index), FolderSource(folder).read(index))


def test_max_side_shrinks_the_larger_pages(folder, tmp_path):
    small = ShardSource(str(write_shards(folder, tmp_path / "shards", max_side=100)))
    assert small.read(0).shape in {(100, round(340 / 3), 3), (88, 100, 3), (89, 100, 3)}
    assert all(max(small.read(i).shape) == 100 for i in range(NUM_PAGES))


def test_generated_pages_in_shards(tmp_path):
    generator = OmegaConf.create({"_target_": "tests.test_data.Painter"})
    prepare(
        pages="generated",
        out=str(tmp_path / "shards"),
        overwrite=False,
        max_side=None,
        chunk_mb=1,
        num_workers=0,
        n=3,
        seed=5,
        generator=generator,
    )
    source = ShardSource(str(tmp_path / "shards"))
    assert [source.name(i) for i in range(3)] == [f"generated/5/{i}" for i in range(3)]
    assert np.abs(source.read(2).astype(int) - (5, 0, 2)).max() < 4  # JPEG


def test_a_damaged_page_is_named(shards, tmp_path):
    broken = tmp_path / "shards"
    broken.mkdir()
    for path in shards.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    first = broken / "chunk-0-0.bin"
    content = bytearray(first.read_bytes())
    content[200:] = bytes(len(content) - 200)
    first.write_bytes(content)
    source = ShardSource(str(broken))
    with pytest.raises(UserError, match=r"shards: page codex_0/page_0\.tif"):
        source.read(0)


# order


def orders(num_items, shards, world_size, epoch=0, window=2):
    samplers = [
        EpochSampler(range(num_items), world_size, rank, seed=0, shards=shards, window=window)
        for rank in range(world_size)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    return [[index for _, index in sampler] for sampler in samplers]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_devices_share_the_pages_out(world_size):
    bounds = np.array([0, 10, 25, 30, 48, 60])
    parts = orders(60, bounds, world_size)
    assert sorted(index for part in parts for index in part) == list(range(60))
    assert {len(part) for part in parts} == {60 // world_size}
    assert orders(60, bounds, world_size) == parts
    assert orders(60, bounds, world_size, epoch=1) != parts


def test_few_shards_are_open_at_a_time():
    bounds = np.arange(0, 1001, 10)
    (order,) = orders(1000, bounds, 1, window=4)
    shard = np.array(order) // 10
    opened = [np.flatnonzero(shard == number) for number in range(100)]
    assert max(positions[-1] - positions[0] for positions in opened) < 2 * 4 * 10
    assert np.abs(np.diff(order)).mean() > 50  # and yet shuffled


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_same_items_for_every_number_of_workers(shards, num_workers):
    sequences = []
    for workers in (0, num_workers):
        module = data_module(train_dir=str(shards), num_workers=workers)
        module.setup("fit")
        sequences.append(torch.cat([batch["clean"] for batch in module.train_dataloader()]))
    assert torch.equal(*sequences)


def test_devices_read_other_pages(shards, folder):
    module = data_module(train_dir=str(shards), val_dir=str(folder), max_val_pages=1, views_per_page=2)
    module.setup("fit")
    seen = []
    for rank in range(2):
        module._world = lambda rank=rank: (2, rank)
        seen.append([index for _, index in module.train_dataloader().sampler])
    assert sorted(seen[0] + seen[1]) == list(range(2 * NUM_PAGES))


def test_validation_pages_are_those_of_the_folder(shards, folder):
    pairs = []
    for train_dir in (shards, folder):
        module = data_module(train_dir=str(train_dir), val_fraction=0.3)
        module.setup("fit")
        pairs.append(module._pairs["val"])
    assert pairs[0].names == pairs[1].names
    for one, other in zip(*pairs, strict=True):
        assert torch.equal(one["clean"], other["clean"])


def test_strict_reads_shards_in_threads(shards):
    check_readable([ShardSource(str(shards))] * 3)


# a whole training


QUICK = ("experiment=smoke", "data=streaming", "loss.perceptual.weight=0", "test=false", "data.view=crop")


@pytest.mark.slow
def test_resume_is_exact(train, tmp_path, shards):
    options = (*QUICK, f"data.train_dir={shards}", "data.num_workers=2", "trainer.max_epochs=2")
    train(*options, folder=tmp_path / "straight")
    stop = "+callbacks.stop={_target_: tests.test_train.StopAfter, epoch: 1}"
    train(*options, stop, folder=tmp_path / "halves")
    checkpoint = tmp_path / "halves" / "checkpoints" / "last.ckpt"
    train(*options, f"ckpt_path={checkpoint}", folder=tmp_path / "halves")
    straight, resumed = (
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)
        for run in ("straight", "halves")
    )
    assert straight["global_step"] == resumed["global_step"] == 2 * 6
    for name, value in straight["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name


# mistakes


def copy_shards(shards, target):
    target.mkdir()
    for path in shards.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_incomplete_shards(shards, tmp_path):
    half = copy_shards(shards, tmp_path / "half")
    chunk = half / "chunk-0-1.bin"
    chunk.write_bytes(chunk.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"data\.train_dir=.*half: chunk-0-1\.bin is missing or incomplete"):
        open_pages(str(half), key="data.train_dir")
    (half / PAGES).unlink()
    with pytest.raises(UserError, match=r"shards without pages\.index, unfinished .* manuscript_restore\.prepare"):
        open_pages(str(half), key="data.train_dir")


def test_damaged_indexes(shards, tmp_path):
    for name in (INDEX, PAGES):
        broken = copy_shards(shards, tmp_path / name)
        (broken / name).write_bytes(b"{}" + (broken / name).read_bytes()[10:])
        with pytest.raises(UserError, match="its index is damaged"):
            open_pages(str(broken), key="data.train_dir")


def test_shards_are_never_unpickled(shards, tmp_path):
    evil = copy_shards(shards, tmp_path / "evil")
    index = json.loads((evil / INDEX).read_text())
    index["config"]["data_format"] = ["pickle"]
    (evil / INDEX).write_text(json.dumps(index))
    with pytest.raises(UserError, match="holds other things than image files"):
        open_pages(str(evil), key="data.train_dir")


def test_litdata_is_an_extra(shards, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "litdata", None)
    monkeypatch.setitem(sys.modules, "litdata.streaming", None)
    for mistake in (lambda: ShardSource(str(shards)), lambda: write_shards(folder, tmp_path / "shards")):
        with pytest.raises(UserError, match=r"pip install 'manuscript-restore\[streaming\]'"):
            mistake()


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Call ``command(*overrides)``: run the entry point; returns exit status and output."""

    def run(*overrides: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["prepare", *overrides])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code
        printed = "".join(capfd.readouterr())
        assert "Traceback" not in printed
        return code, printed

    return run


def test_prepare_leaves_bad_pages_out_and_says_so(command, tmp_path):
    write_pages(tmp_path / "pages", num_pages=3)
    (tmp_path / "pages" / "empty.png").touch()
    code, printed = command("pages=pages", "out=shards")
    assert code == 2
    assert "3 pages in 1 shards: shards" in printed
    assert "1 pages left out:\npages/empty.png: is empty" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"pages", "shards"}
    code, printed = command("pages=pages", "out=shards")
    assert (code, "out=shards: holds shards already" in printed) == (1, True)
    (tmp_path / "pages" / "empty.png").unlink()
    code, printed = command("pages=pages", "out=shards", "overwrite=true", "max_side=32", "num_workers=0")
    assert (code, "3 pages" in printed) == (0, True)
    assert {path.name for path in tmp_path.iterdir()} == {"pages", "shards"}
    assert ShardSource(str(tmp_path / "shards")).read(0).shape[1] <= 32


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("pages=nowhere out=shards", "pages=nowhere: no such folder"),
        ("pages=pages out=pages overwrite=true", "out=pages: holds other things than shards"),
        ("pages=pages out=shards chunk_mb=0", "chunk_mb=0: must be a whole number, at least 1"),
        ("pages=pages out=shards chunk_mb=9999", "chunk_mb=9999: must be at most 2048"),
        ("pages=pages out=shards max_side=big", "max_side=big: must be a whole number"),
        ("pages=bad out=shards", "pages=bad: none of its 1 pages can be read"),
        ("pages=pages out=pages/codex_1/page_1.png/x", "out=pages/codex_1/page_1.png/x: cannot be made"),
    ],
)
def test_mistakes(command, tmp_path, overrides, message):
    write_pages(tmp_path / "pages", num_pages=2)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.png").write_text("no picture")
    code, printed = command(*overrides.split())
    assert code == 1
    assert message in printed
    assert not (tmp_path / "shards").exists()
