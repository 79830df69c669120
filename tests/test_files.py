"""Files that are there whole or not at all."""

import pytest

from manuscript_restore.errors import UserError
from manuscript_restore.files import unfinished_name, whole_file


def test_the_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "page.txt"
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        assert unfinished == tmp_path / ".page.txt.partial"
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path, error):
    with whole_file(path) as unfinished:
        unfinished.write_text("half")
        raise error


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "page.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(path, RuntimeError())
    with pytest.raises(UserError, match=r"page\.txt: cannot be written \(No space left on device\); check"):
        write_half(path, OSError(28, "No space left on device"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_run_leaves_nothing_to_the_next(tmp_path):
    path = tmp_path / "page.txt"
    unfinished_name(path).write_text("a much longer half of a file")
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "पृष्ठ" * 16 + ".png"])
def test_the_longest_names(tmp_path, name):
    with whole_file(tmp_path / name) as unfinished:
        unfinished.write_text("new")
    assert (tmp_path / name).read_text() == "new"


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="cannot be written"), whole_file(tmp_path / "none" / "page") as unfinished:
        unfinished.write_text("new")
