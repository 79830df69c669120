"""Which file goes where: folders mirrored, nothing twice, no input in danger."""

import errno
import os
from pathlib import Path

import pytest

from manuscript_restore.errors import UserError
from manuscript_restore.inference.plan import plan


@pytest.fixture(autouse=True)
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "scans/b/10.jpg",
        "scans/b/2.jpg",
        "scans/a.TIF",
        "scans/notes.txt",
        "scans/.hidden/c.jpg",
        "x.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def targets(inputs: list[str], out: str = "out", **options) -> dict[str, str]:
    return {task.source.as_posix(): task.target.as_posix() for task in plan(inputs, out, **options).tasks}


def test_a_folder_is_mirrored_in_reading_order() -> None:
    assert list(targets(["scans"]).items()) == [
        ("scans/a.TIF", "out/a.TIF"), ("scans/b/2.jpg", "out/b/2.jpg"), ("scans/b/10.jpg", "out/b/10.jpg"),
    ]  # fmt: skip
    assert targets(["scans"], suffix=".png")["scans/a.TIF"] == "out/a.png"


def test_patterns_are_mirrored_from_their_first_wildcard() -> None:
    assert targets(["scans/**/*.jpg"]) == {"scans/b/2.jpg": "out/b/2.jpg", "scans/b/10.jpg": "out/b/10.jpg"}
    assert targets(["scans/*"]) == {
        **targets(["scans"]),
    }
    assert targets(["sca*"]) == {f"scans/{p}": f"out/scans/{p}" for p in ("a.TIF", "b/2.jpg", "b/10.jpg")}


def test_files_are_put_into_the_folder() -> None:
    assert targets(["x.png", "scans/b/2.jpg"]) == {"x.png": "out/x.png", "scans/b/2.jpg": "out/2.jpg"}
    assert targets(["x.png"], out="restored.tif") == {"x.png": "restored.tif"}
    assert targets(["x.png"], out="restored.TIFF", suffix=".tif") == {"x.png": "restored.TIFF"}
    assert targets(["x.png", "x.png"]) == {"x.png": "out/x.png"}  # named twice, restored once
    assert targets(["gone.png"]) == {"gone.png": "out/gone.png"}  # reported when it is read


def test_results_that_the_shell_names_are_no_inputs(scans: Path) -> None:
    named = ["scans/a.TIF", "scans/b"]
    expected = targets(named, out="scans/restored")
    (scans / "scans/restored").mkdir()
    (scans / "scans/restored/a.TIF").write_bytes(b"x")
    assert targets([*named, "scans/restored"], out="scans/restored") == expected


def test_results_are_no_inputs(scans: Path) -> None:
    (scans / "scans/out").mkdir()
    (scans / "scans/out/a.TIF").write_bytes(b"x")
    for name in ("scans", "scans/*", "scans/**/*"):
        assert set(targets([name], out="scans/out")) == {"scans/a.TIF", "scans/b/2.jpg", "scans/b/10.jpg"}
    assert set(targets(["scans/b"], out=".")) == {"scans/b/2.jpg", "scans/b/10.jpg"}


def test_links_in_a_circle_end(scans: Path) -> None:
    (scans / "scans/b/up").symlink_to(scans / "scans", target_is_directory=True)
    assert set(targets(["scans"])) == {"scans/a.TIF", "scans/b/2.jpg", "scans/b/10.jpg"}


def test_images_under_other_suffixes_keep_them(scans: Path) -> None:
    for name in ("c.jfif", "d.JPE", "e.jpf", "f", "g.jpg~", "h.jpg_original", "i.ps", "k.txt", "l.bin"):
        head = {"i.ps": b"%!PS-Adobe", "e.jpf": b"\xff\x4f\xff\x51", "l.bin": b"\0"}.get(name, b"\xff\xd8\xff\xe0")
        (scans / "scans/b" / name).write_bytes(head + b" and so on")
    planned = plan(["scans/b"], "out")
    assert [(task.target.as_posix(), task.format) for task in planned.tasks] == [
        ("out/2.jpg", "JPEG"), ("out/10.jpg", "JPEG"), ("out/c.jfif", "JPEG"), ("out/d.JPE", "JPEG"),
        ("out/e.jpf", "JPEG2000"), ("out/f", "JPEG"),
    ]  # fmt: skip
    assert [(path.name, kind.name) for path, kind in planned.left_out] == [("i.ps", "PostScript")]
    (task,) = plan(["scans/b/c.jfif"], "out", suffix=".png").tasks
    assert (task.target, task.format) == (Path("out/c.png"), "PNG")
    assert targets(["scans/b/c.jfif"], out="restored.jfif") == {"scans/b/c.jfif": "restored.jfif"}
    with pytest.raises(UserError, match=r"i\.ps: is PostScript, which is not read; convert it .* Ghostscript"):
        plan(["scans/b/i.ps"], "out")


def test_folders_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "b":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    planned = plan(["scans"], "out")
    assert [task.source.as_posix() for task in planned.tasks] == ["scans/a.TIF"]
    ((folder, why),) = planned.left_out
    assert folder == Path("scans/b")
    assert (why.name, why.reason) == (
        "unreadable folder",
        "cannot be read (Permission denied); check its permissions",
    )
    with pytest.raises(UserError, match=r"^scans.b: cannot be read \(Permission denied\)"):
        plan(["scans/b"], "out")


def test_an_input_that_cannot_be_looked_at_is_named() -> None:
    with pytest.raises(UserError, match=r"^scans/x+: cannot be looked at \(File name too long\)"):
        plan([f"scans/{'x' * 300}"], "out")


def test_a_link_to_an_input_is_no_output(scans: Path) -> None:
    (scans / "out").mkdir()
    (scans / "out/x.png").symlink_to(scans / "x.png")
    with pytest.raises(UserError, match="inputs are never overwritten"):
        targets(["x.png"])
    (scans / "out/x.png").unlink()
    os.link(scans / "x.png", scans / "out/x.png")
    with pytest.raises(UserError, match="inputs are never overwritten"):
        targets(["x.png"])


@pytest.mark.parametrize(
    ("inputs", "out", "options", "message"),
    [
        (["scans"], "scans", {}, "inputs are never overwritten"),
        (["x.png"], ".", {}, "inputs are never overwritten"),
        (["x.png"], "x.png", {}, "inputs are never overwritten"),
        (["empty*"], "out", {}, "no images there"),
        (["scans/notes.txt"], "out", {}, "notes.txt: is not an image"),
        (["scans/nowhere"], "out", {}, "no such file"),
        (["scans/b/2.jpg", "other/2.jpg"], "out", {}, "would both be restored into"),
        (["x.png", "other/x.flagged.png"], "out", {}, r"into out.x\.flagged\.png"),
        (["x.png"], "y.tif", {"suffix": ".jpg"}, "is not the format"),
    ],
)
def test_mistakes_are_named(inputs: list[str], out: str, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        targets(inputs, out, **options)


@pytest.mark.parametrize("end", ["ink.tif", "2.ink.tif"])
def test_what_is_written_beside_a_page_is_no_other_page(scans: Path, end: str) -> None:
    (scans / "other").mkdir()
    (scans / f"other/x.png.{end}").write_bytes(b"x")
    inputs = ["x.png", f"other/x.png.{end}"]
    assert len(targets(inputs)) == 2
    assert len(targets(inputs, beside=["change.png"])) == 2
    for out, options in (("out", {}), ("other", {"suffix": ".png"})):  # another result, an input
        with pytest.raises(UserError, match=r"is what would be written beside x\.png"):
            targets(inputs, out, beside=["ink.tif"], **options)
    assert len(targets([f"other/x.png.{end}"], beside=["ink.tif"])) == 1
