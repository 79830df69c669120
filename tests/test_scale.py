"""The index of large folders: order, what a change reads again, damage, and memory that stays flat."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from natsort import natsorted, ns

from manuscript_restore import images
from manuscript_restore.data import index as indexing
from manuscript_restore.data.index import PathIndex, find_pages
from manuscript_restore.data.sources import FolderSource
from manuscript_restore.errors import UserError

NAMES = [
    "page_10.jpg",
    "page_2.JPG",
    "1.png",
    "01.png",
    "ॐ_२.tif",
    "ms_2/b.png",
    "ms_10/a.webp",
    "ms_2/deep/er/c.jp2",
]
LEFT_OUT = [".hidden.jpg", "ms_2/.git/d.png", "notes.txt", "ms_2/picture.png.txt", "directory.png/x.txt"]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def settle(root: Path) -> None:
    """Let every directory's last change be long ago."""
    for path in (root, *(path for path in root.rglob("*") if path.is_dir())):
        os.utime(path, (1e9 + len(path.name), 1e9 + len(path.name)))


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Keep the index of small folders too, and count the directories that are read."""
    monkeypatch.setattr(indexing, "MIN_KEPT", 1)
    read = []
    read_directory = indexing._read_directory

    def counted(root, path, mtime_ns):
        read.append(path)
        return read_directory(root, path, mtime_ns)

    monkeypatch.setattr(indexing, "_read_directory", counted)
    return {"key": "data.train_dir", "index_dir": str(tmp_path / "indexes")}, read


def paths(index):
    return [index[row] for row in range(len(index))]


def test_finds_what_find_images_finds(tmp_path):
    root = touch(tmp_path / "pages", *NAMES, *LEFT_OUT)
    found = paths(find_pages(root, key="folder"))
    expected = [path.relative_to(root).as_posix() for path in images.find_images(root)]
    assert sorted(found) == sorted(expected) == sorted(NAMES)
    own = [name for name in found if "/" not in name]
    assert own == natsorted(sorted(own), alg=ns.PATH)
    assert found[-3:] == ["ms_2/b.png", "ms_2/deep/er/c.jp2", "ms_10/a.webp"]  # after the folder's own


def test_one_folder_has_the_order_of_find_images(tmp_path):
    root = touch(tmp_path, *(f"MS {i % 7}_{i:0{1 + i % 4}}{'rv'[i % 2]}.tif" for i in range(300)))
    assert paths(find_pages(root, key="folder")) == [path.name for path in images.find_images(root)]


def test_only_what_changed_is_read_again(tmp_path, options):
    options, read = options
    root = touch(tmp_path / "pages", *NAMES)
    settle(root)
    straight = paths(find_pages(root, **options))
    assert set(read) == {"", "ms_2", "ms_2/deep", "ms_2/deep/er", "ms_10"}
    read.clear()
    assert paths(find_pages(root, **options)) == straight
    assert read == []
    touch(root, "ms_2/deep/new.png")
    assert sorted(paths(find_pages(root, **options))) == sorted([*straight, "ms_2/deep/new.png"])
    assert read == ["ms_2/deep"]
    (root / "ms_10/a.webp").unlink()
    (root / "ms_10").rmdir()
    assert "ms_10/a.webp" not in paths(find_pages(root, **options))


def test_what_no_suffix_tells_is_looked_at_once(tmp_path, options, monkeypatch):
    options, _ = options
    root = touch(tmp_path / "pages", *NAMES, *LEFT_OUT)
    for name, head in {
        "scan.jfif": b"\xff\xd8\xff\xe0",
        "ms_2/a.heic": b"\0\0\0\x18ftypheic",
        "b.pdf": b"%PDF-",
    }.items():
        (root / name).write_bytes(head)
    settle(root)
    opened = []
    look = indexing.kinds.by_content
    monkeypatch.setattr(indexing.kinds, "by_content", lambda start: opened.append(start) or look(start))
    for times in (3, 0):  # the second time, what was found is kept
        opened.clear()
        with pytest.warns(
            UserWarning, match=r"data\.train_dir=.*cannot be read: 1 PDF, 1 HEIC; convert"
        ) as caught:
            assert sorted(paths(find_pages(root, **options))) == sorted([*NAMES, "scan.jfif"])
        assert (len(caught), len(opened)) == (1, times)


def test_a_fresh_change_is_not_trusted(tmp_path, options):
    options, read = options
    root = touch(tmp_path / "pages", *NAMES)
    find_pages(root, **options)
    read.clear()
    find_pages(root, **options)
    assert set(read) == {"", "ms_2", "ms_2/deep", "ms_2/deep/er", "ms_10"}


@pytest.mark.parametrize("content", [b"", b"x" * 10, b"\xff" * 64, bytes(24)])
def test_a_damaged_index_is_made_anew(tmp_path, options, content):
    options, _ = options
    root = touch(tmp_path / "pages", *NAMES)
    settle(root)
    straight = paths(find_pages(root, **options))
    (kept,) = (tmp_path / "indexes" / "indexes").iterdir()
    for damage in (content, kept.read_bytes()[:-5]):
        kept.write_bytes(damage)
        assert paths(find_pages(root, **options)) == straight


def test_where_nothing_can_be_kept(tmp_path, options):
    options, _ = options
    root = touch(tmp_path / "pages", *NAMES)
    (tmp_path / "indexes").touch()
    with pytest.warns(UserWarning, match=r"data\.index_dir: the index cannot be kept"):
        assert len(find_pages(root, **options)) == len(NAMES)


def test_small_folders_keep_nothing(tmp_path):
    root = touch(tmp_path / "pages", *NAMES)
    find_pages(root, key="folder", index_dir=str(tmp_path / "indexes"))
    assert not (tmp_path / "indexes").exists()


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match=r"data\.train_dir=.*nowhere: no such folder.*\.jpg"):
        find_pages(tmp_path / "nowhere", key="data.train_dir")
    with pytest.raises(UserError, match=r"data\.train_dir=.*: no images.*\.jp2"):
        find_pages(touch(tmp_path, *LEFT_OUT), key="data.train_dir")


def test_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"page_\xff.png")
    touch(tmp_path, name, "page_1.png")
    source = FolderSource(tmp_path)
    assert name in [source.name(i) for i in range(2)]
    assert source.path(1).exists()


def test_files_shared_with_another_folder(tmp_path):
    images.write(np.zeros((4, 4, 3), np.uint8), touch(tmp_path / "all", "a/1.png", "b/2.png") / "b/2.png")
    (tmp_path / "linked").symlink_to(tmp_path / "all" / "b")
    everything, linked = FolderSource(tmp_path / "all"), FolderSource(tmp_path / "linked")
    assert linked.shared_with(everything) == [tmp_path / "all" / "b" / "2.png"]
    assert everything.shared_with(linked) == [tmp_path / "all" / "b" / "2.png"]
    assert FolderSource(tmp_path / "all" / "a").shared_with(linked) == []


def test_join_and_take():
    index = PathIndex.join([PathIndex.of(["a", "bcd"]), PathIndex.of([]), PathIndex.of(["é/f"])])
    assert paths(index) == ["a", "bcd", "é/f"]
    assert paths(index.take(slice(1, 3))) == ["bcd", "é/f"]
    assert paths(PathIndex.join([index.take(slice(1, 2))])) == ["bcd"]


def test_an_unreadable_directory_is_named(tmp_path, monkeypatch):
    root = touch(tmp_path, *NAMES)
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "ms_10":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(find_pages(root, key="folder")) == len(NAMES) - 1
    assert "ms_10: left out, cannot be read (Permission denied)" in str(caught[0].message)


def test_a_link_in_a_circle_is_left_out_alone(tmp_path):
    touch(tmp_path, "1.png").joinpath("loop.png").symlink_to("loop.png")
    assert paths(find_pages(tmp_path, key="data.train_dir")) == ["1.png"]
