"""The batch job, through the command: what is written, what is left alone, what is said."""

import errno
import fcntl
import hashlib
import json
import os
import signal
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from manuscript_restore import images
from manuscript_restore.archive import open_document
from manuscript_restore.cli import app
from manuscript_restore.images import tensors
from manuscript_restore.inference import Restorer
from manuscript_restore.inference import job as job_module
from manuscript_restore.inference.folders import alone_in
from manuscript_restore.inference.job import Job
from manuscript_restore.inference.output import Output
from manuscript_restore.inference.plan import plan
from manuscript_restore.models import build_model
from manuscript_restore.released import identify
from manuscript_restore.restore import main
from tests import stand_in
from tests.processes import start


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training checkpoint of an untrained network that changes pages visibly."""
    torch.manual_seed(0)
    options = {"encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}, "image_size": 64}
    network = build_model(options)
    torch.nn.init.normal_(network.decoder.to_residual.weight, std=0.05)
    path = tmp_path_factory.mktemp("model") / "best.ckpt"
    state = {f"model.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"model": options}}, path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three pages in a tree, of which one is no folder's business."""
    folder = tmp_path / "scans"
    for number, name in enumerate(("1.png", "leaves/2.png", "leaves/10.jpg")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.random.default_rng(number).integers(60, 200, (90 + number, 130, 3), dtype=np.uint8)
        Image.fromarray(array).resize((260, 180)).save(path)
    (folder / "catalogue.txt").write_text("shelf marks")
    return folder


def run(*arguments: object, model: Path) -> Result:
    return CliRunner().invoke(
        app, ["restore", *map(str, arguments), "-m", str(model), "--device", "cpu"], catch_exceptions=False
    )


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def digest(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files(folder)}


def test_a_folder_is_restored_and_mirrored(scans: Path, tmp_path: Path, model: Path) -> None:
    before = digest(scans)
    result = run(scans, "-o", tmp_path / "out", model=model)
    assert result.exit_code == 0
    assert "3 pages: 3 restored" in result.stdout
    assert files(tmp_path / "out") == ["1.png", "leaves/10.jpg", "leaves/2.png"]
    assert digest(scans) == before
    page = tensors.to_float(tensors.from_array(images.read(scans / "1.png")))
    expected = tensors.to_array(tensors.to_uint8(Restorer.from_checkpoint(model, device="cpu").restore(page)))
    np.testing.assert_allclose(images.read(tmp_path / "out/1.png").astype(int), expected, atol=1)


@pytest.mark.slow
def test_finished_pages_are_left_alone(scans: Path, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "out"
    run(scans, "-o", out, model=model)
    (out / "1.png").write_bytes(b"mine")
    (out / "leaves/2.png").unlink()
    result = run(scans, "-o", out, model=model)
    assert result.exit_code == 0
    assert "1 restored, 2 there already" in result.stdout
    assert (out / "1.png").read_bytes() == b"mine"
    assert "3 restored" in run(scans, "-o", out, "--overwrite", model=model).stdout
    assert (out / "1.png").read_bytes() != b"mine"


def test_evidence_of_an_earlier_restoration_goes_with_it(scans: Path, tmp_path: Path, model: Path) -> None:
    """A map or a record beside a page is of that page; what is not the tool's stays."""
    out, scan = tmp_path / "out", scans / "1.png"
    old = ("--change-map", "--comparison", "--sidecar", "--provenance", "premis")
    run(scan, "-o", out, *old, model=model)
    others = ["1.png.notes.png", "1.png.change.png.bak", "11.png.change.png"]
    for name in others:
        (out / name).touch()
    assert (
        "1 there already; --overwrite makes those anew that were there; 0.0 s\n"
        in run(scan, "-o", out, model=model).stdout
    )
    result = run(scan, "-o", out, "--overwrite", "--strength", 0.5, "--change-map", model=model)
    assert result.exit_code == 0
    assert files(out) == sorted(["1.png", "1.png.change.png", "1.png.json", "1.png.premis.xml", *others])
    record = json.loads((out / "1.png.json").read_text())
    assert record["settings"]["strength"] == 0.5
    assert record["output"]["sha256"] == hashlib.sha256((out / "1.png").read_bytes()).hexdigest()
    assert record["output"]["sha256"] in (out / "1.png.premis.xml").read_text()


def test_evidence_stands_beside_the_page(scans: Path, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "out"
    maps = ("--change-map", "--confidence-map", "--comparison", "--sidecar")
    assert run(scans / "1.png", "-o", out, *maps, "--strength", 0.5, model=model).exit_code == 0
    assert files(out) == [
        "1.png",
        *(f"1.png.{x}" for x in ("change.png", "comparison.png", "confidence.png", "json")),
    ]
    record = json.loads((out / "1.png.json").read_text())
    assert record["input"]["sha256"] == hashlib.sha256((scans / "1.png").read_bytes()).hexdigest()
    assert record["output"]["sha256"] == hashlib.sha256((out / "1.png").read_bytes()).hexdigest()
    assert record["model"] == {"name": "best.ckpt", "sha256": identify(model).sha256}
    assert record["settings"]["strength"] == 0.5
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    page = record["pages"][0]
    assert (page["width"], page["height"]) == (260, 180)
    change = np.asarray(Image.open(out / "1.png.change.png"))
    assert change.shape == (180, 260)
    assert change.mean() / 10 == pytest.approx(page["change_mean"], rel=0.1)
    confidence = np.asarray(Image.open(out / "1.png.confidence.png"))
    assert confidence.mean() / 255 == pytest.approx(page["confidence_mean"], abs=0.02)


def test_strength_zero_gives_the_page_back(scans: Path, tmp_path: Path, model: Path) -> None:
    run(scans, "-o", tmp_path / "out", "--strength", 0, model=model)
    np.testing.assert_array_equal(images.read(tmp_path / "out/1.png"), images.read(scans / "1.png"))


def test_a_page_that_changes_too_much_is_set_aside(scans: Path, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "out"
    result = run(scans / "1.png", "-o", out, "--max-change", 0.01, "--sidecar", model=model)
    assert result.exit_code == 1
    assert files(out) == ["1.flagged.png", "1.flagged.png.json"]
    assert "more than 0.01" in json.loads((out / "1.flagged.png.json").read_text())["flagged"]
    again = run(scans / "1.png", "-o", out, model=model)
    assert again.exit_code == 1
    assert "1 flagged" in again.stdout
    assert files(out) == ["1.flagged.png", "1.flagged.png.json"]


def test_a_tiff_of_several_pages_stays_one(tmp_path: Path, model: Path) -> None:
    rng = np.random.default_rng(0)
    pages = [rng.integers(0, 255, (70 + i, 100, 3), dtype=np.uint8) for i in range(3)]
    with tifffile.TiffWriter(tmp_path / "book.tif") as file:
        for page in pages:
            file.write(page, photometric="rgb", compression="lzw", resolution=(400, 400), resolutionunit="INCH")
    out = tmp_path / "out"
    assert run(tmp_path / "book.tif", "-o", out, "--change-map", model=model).exit_code == 0
    with tifffile.TiffFile(out / "book.tif") as file:
        assert [page.shape for page in file.pages] == [page.shape for page in pages]
    assert files(out) == ["book.tif", *(f"book.tif.{i}.change.png" for i in (1, 2, 3))]
    refused = run(tmp_path / "book.tif", "-o", tmp_path / "other", "--format", "jpg", model=model)
    assert refused.exit_code == 1
    assert files(tmp_path / "other") == []


def test_pages_are_let_go_one_by_one(tmp_path: Path, model: Path) -> None:
    tifffile.imwrite(
        tmp_path / "book.tif", np.zeros((4, 20, 30, 3), np.uint8), photometric="rgb", compression="lzw"
    )
    job = Job(Restorer.from_checkpoint(model, device="cpu"), Output())
    with open_document(tmp_path / "book.tif") as document, pytest.MonkeyPatch.context() as patch:
        patch.setattr("manuscript_restore.inference.job.open_document", lambda _, **__: nullcontext(document))
        (task,) = plan([str(tmp_path / "book.tif")], tmp_path / "out").tasks
        assert job.restore(task).status == "restored"
        assert not any(page._bands for page in document.pages)


def test_sixteen_bits_stay_sixteen(tmp_path: Path, model: Path) -> None:
    ramp = np.linspace(0, 65535, 120 * 150 * 3).reshape(120, 150, 3).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", ramp, photometric="rgb")
    run(tmp_path / "deep.tif", "-o", tmp_path / "same.tif", "--strength", 0, model=model)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "same.tif"), ramp)
    run(tmp_path / "deep.tif", "-o", tmp_path / "out.tif", model=model)
    restored = tifffile.imread(tmp_path / "out.tif")
    assert restored.dtype == np.uint16
    assert len(np.unique(restored)) > 10_000  # not 8 bits in a wider coat


def test_overwriting_leaves_no_page_under_two_names(scans: Path, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "out"
    for limit, expected in ((0.01, "1.flagged.png"), (100, "1.png"), (0.01, "1.flagged.png")):
        run(scans / "1.png", "-o", out, "--max-change", limit, "--overwrite", model=model)
        assert files(out) == [expected]


def test_a_fault_of_a_library_is_one_pages(
    scans: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = job_module.write_pages

    def broken(path: Path, *arguments, name: str, **options) -> list[str]:
        if name.endswith("10.jpg"):
            raise RuntimeError("can't allocate memory")
        return write(path, *arguments, name=name, **options)

    monkeypatch.setattr(job_module, "write_pages", broken)
    result = run(scans, "-o", tmp_path / "out", model=model)
    assert result.exit_code == 1
    assert "2 restored, 1 failed" in result.stdout
    assert "RuntimeError: can't allocate memory" in " ".join(result.stderr.split())
    assert files(tmp_path / "out") == ["1.png", "leaves/2.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes")
def test_names_that_are_not_utf8(scans: Path, tmp_path: Path, model: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (scans / "1.png").rename(scans / name)
    out, report = tmp_path / "out", tmp_path / "report.json"
    assert run(scans / name, "-o", out, "--sidecar", "--report", report, model=model).exit_code == 0
    assert json.loads((out / f"{name}.json").read_text())["input"]["file"] == name
    assert json.loads(report.read_text())[0]["input"] == str(scans / name)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "jp2", "webp"])
def test_another_format_on_request(scans: Path, tmp_path: Path, model: Path, suffix: str) -> None:
    out = tmp_path / "out"
    assert run(scans / "1.png", "-o", out, "--format", suffix, "--quality", 100, model=model).exit_code == 0
    run(scans / "1.png", "-o", tmp_path / "same", model=model)
    difference = images.read(out / f"1.{suffix}").astype(int) - images.read(tmp_path / "same/1.png")
    assert np.abs(difference).mean() < (3 if suffix == "jpg" else 1e-9)  # WebP of quality 100 is lossless


def test_the_report_tells_of_every_page(scans: Path, tmp_path: Path, model: Path) -> None:
    (scans / "broken.png").write_bytes(b"")
    result = run(scans, "-o", tmp_path / "out", "--report", tmp_path / "report.json", model=model)
    assert result.exit_code == 1
    report = {Path(page["input"]).name: page for page in json.loads((tmp_path / "report.json").read_text())}
    assert {name: page["status"] for name, page in report.items()} == {
        "1.png": "restored", "2.png": "restored", "10.jpg": "restored", "broken.png": "failed"
    }  # fmt: skip
    assert "0 bytes" in report["broken.png"]["reason"]


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("scans/1.png", "must be a file that ends in .json"),
        ("folder.json", "must be a file that ends in .json"),
        ("out/leaves/2.png.json", "is the record of a page"),
        ("scans/1.png/report.json", "its folder cannot be made"),
    ],
)
def test_a_report_replaces_nothing_else(
    report: str, message: str, scans: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.json").mkdir()
    before = digest(scans)
    result = run("scans", "-o", "out", "--report", report, model=model)
    assert (result.exit_code, Path("out").exists()) == (1, False)
    assert f"--report {report}: {message}" in result.stderr
    assert digest(scans) == before


def test_a_name_that_is_too_long_for_its_results_fails_alone(scans: Path, tmp_path: Path, model: Path) -> None:
    name = "x" * 248 + ".png"  # with .flagged in it: 260 bytes
    (scans / "1.png").rename(scans / name)
    result = run(scans, "-o", tmp_path / "out", model=model)
    assert "2 restored, 1 failed" in result.stdout
    assert "File name too long" in " ".join(result.stderr.split())
    assert files(tmp_path / "out") == ["leaves/10.jpg", "leaves/2.png"]


def test_pictures_that_cannot_be_read_are_named(scans: Path, tmp_path: Path, model: Path) -> None:
    (scans / "1.png").rename(scans / "1.jfif")  # a PNG, whatever it is called
    (scans / "leaves/2.png").unlink()
    (scans / "book.ps").write_bytes(b"%!PS-Adobe-3.0")
    (scans / "leaves/phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1")
    result = run(scans, "-o", tmp_path / "out", "--report", tmp_path / "report.json", model=model)
    assert result.exit_code == 0
    assert "2 pages: 2 restored; left out: 1 PostScript, 1 HEIC" in result.stdout
    assert files(tmp_path / "out") == ["1.jfif", "leaves/10.jpg"]
    with Image.open(tmp_path / "out/1.jfif") as image:
        assert image.format == "PNG"
    report = {Path(page["input"]).name: page for page in json.loads((tmp_path / "report.json").read_text())}
    assert list(report) == ["1.jfif", "book.ps", "10.jpg", "phone.heic"]
    assert (report["phone.heic"]["status"], report["phone.heic"]["output"]) == ("left out", None)
    assert "heif-convert" in report["phone.heic"]["reason"]


def test_two_jobs_do_not_write_into_one_folder(scans: Path, tmp_path: Path, model: Path) -> None:
    with alone_in(tmp_path / "out"):
        result = run(scans, "-o", tmp_path / "out", model=model)
    assert result.exit_code == 1
    assert "another job" in result.stderr


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL])
def test_a_folder_without_locks_is_written_with_one_warning(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with alone_in(tmp_path / "out"):
        (tmp_path / "out" / "page.png").touch()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {tmp_path}/out: cannot be locked here ({os.strerror(number)})")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strength", "2"], "strength=2.0"),
        (["--batch", "0"], "batch=0: must be at least 1"),
        (["--quality", "0"], "quality=0"),
        (["--format", "gif"], "format=gif"),
        (["--jobs", "0"], "jobs=0"),
        (["--tile", "5"], "tile=5"),
        (["--max-change", "0"], "max-change=0"),
        (["--device", "tpu"], "device=tpu"),
        (["-m", "nonesuch"], "nonesuch"),
    ],
)
def test_wrong_options_are_named(
    scans: Path, tmp_path: Path, model: Path, options: list[str], message: str
) -> None:
    arguments = ["restore", str(scans), "-o", str(tmp_path / "out"), "-m", str(model), *options]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists() or files(tmp_path / "out") == []


@pytest.mark.slow
def test_killed_at_twenty_moments_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    scans, out, said, num_pages = tmp_path / "scans", tmp_path / "out", tmp_path / "said", 80
    scans.mkdir()
    for number in range(num_pages):
        array = np.random.default_rng(number).integers(60, 200, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(array).save(scans / f"{number}.png")
    command = (partial(stand_in.main, 0.04), "restore", scans, "-o", out, "--sidecar")
    random = np.random.default_rng(0)
    made: dict[str, int] = {}
    for _ in range(20):
        process = start(*command, said=said)
        while len(list(out.glob("[0-9]*.png"))) == len(made) and process.is_alive():
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.1))
        assert process.is_alive()
        process.kill()
        process.join()
        now = {path.name: path.stat().st_mtime_ns for path in out.glob("[0-9]*.png")}
        assert made.items() < now.items()  # the very same files: none was made twice, none was lost
        made = now
    assert len(made) < num_pages
    finished = start(*command, said=said)
    finished.join()
    assert finished.exitcode == 0
    assert f"{num_pages - len(made)} restored, {len(made)} there already" in said.read_text()
    assert files(out) == sorted(f"{n}.png{suffix}" for n in range(num_pages) for suffix in ("", ".json"))
    for number in range(num_pages):
        result = out / f"{number}.png"
        expected = np.asarray(Image.open(scans / result.name)) * 0.9
        assert np.abs(np.asarray(Image.open(result)) - expected).max() <= 1
        record = json.loads(result.with_name(f"{result.name}.json").read_text())
        assert record["output"]["sha256"] == hashlib.sha256(result.read_bytes()).hexdigest()


@pytest.mark.slow
def test_interrupted_it_stops_cleanly(scans: Path, tmp_path: Path, model: Path) -> None:
    for number in range(40):
        os.link(scans / "1.png", scans / f"copy{number}.png")
    out = tmp_path / "out"
    process = start(main, scans, "-o", out, "-m", model, "--device", "cpu", said=tmp_path / "said")
    while not (out.is_dir() and any(out.glob("*.png"))) and process.is_alive():
        time.sleep(0.01)
    assert process.pid
    os.kill(process.pid, signal.SIGINT)
    process.join(timeout=60)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not [name for name in files(out) if name.endswith(".partial")]
