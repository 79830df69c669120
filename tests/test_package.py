"""The built wheel, installed away from the repository, restores and trains; a user's own configs are found."""

import json
import subprocess
import sys
import venv
from collections.abc import Iterable
from email.parser import BytesParser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from manuscript_restore.images import write
from manuscript_restore.synthesis import generate_page

ROOT = Path(__file__).resolve().parents[1]

EXPERIMENT = """\
# @package _global_
defaults:
  - smoke
  - _self_
name: mine
trainer: {max_epochs: 1}
test: false
"""


def call(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


def install(wheel: Path, folder: Path) -> tuple[Path, Path]:
    """The wheel alone in an empty environment: (its Python, its site-packages)."""
    venv.create(folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index")
    call(*pip, wheel, cwd=folder)
    site = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    return python, Path(site)


def needed(requirements: Iterable[str]) -> dict[str, Distribution]:
    """The distributions that these ask for without extras, and what they ask for, as installed here."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        requirement = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if canonicalize_name(requirement.name) not in found:
            found[canonicalize_name(requirement.name)] = distribution(requirement.name)
            waiting += map(Requirement, distribution(requirement.name).requires or [])
    return found


@pytest.mark.slow
def test_the_wheel_and_what_it_asks_for_restore_a_page(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own that has nothing else: no PyTorch above all."""
    python, site = install(wheel, tmp_path / "venv")
    (metadata,) = site.glob("manuscript_restore-*.dist-info/METADATA")
    asked = BytesParser().parsebytes(metadata.read_bytes()).get_all("Requires-Dist")
    distributions = needed(asked)
    assert "torch" not in distributions
    assert len(distributions) < 30
    for each in distributions.values():
        for name in {file.parts[0] for file in each.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / name).exists():
                (site / name).symlink_to(each.locate_file(name))

    empty = tmp_path / "empty"
    empty.mkdir()
    write(generate_page(3, 0, height=96, width=300), empty / "page.png")
    command = (python.with_name("manuscript-restore"),)
    assert "1 page: 1 " in call(*command, "restore", "page.png", "-o", "out", "--sidecar", "--ink", cwd=empty)
    record = json.loads((empty / "out" / "page.png.json").read_text())
    assert record["backend"].startswith("onnxruntime ")
    assert "torch" not in record["versions"]
    (empty / "my.ckpt").write_bytes(b"")
    restore = ["restore", "page.png", "-o", "x"]
    for arguments in (
        ["train"],
        ["evaluate"],
        ["generate"],
        ["onnx", "default"],
        ["export", "my.ckpt", "folder", "--name", "mine"],
        [*restore, "--model", "my.ckpt"],
        [*restore, "--engine", "torch"],
        [*restore, "--device", "cuda"],
    ):
        done = subprocess.run([*command, *arguments], cwd=empty, capture_output=True, text=True, check=False)
        assert done.returncode == 1, arguments
        assert "pip install 'manuscript-restore[train]'" in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.slow
def test_wheel_trains_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    python, site = install(wheel, tmp_path / "venv")
    # The dependencies are those of this environment, seen through a .pth file; the package itself is the wheel's.
    ours = Path(sys.executable).parent.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (site / "dependencies.pth").write_text(f"{ours / 'site-packages'}\n")

    empty = tmp_path / "empty"
    (empty / "configs" / "experiment").mkdir(parents=True)
    (empty / "configs" / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    where = call(python, "-c", "import manuscript_restore as m; print(m.__file__)", cwd=empty)
    assert str(tmp_path / "venv") in where

    write(generate_page(3, 0, height=96, width=128), empty / "page.png")
    call(python, "-m", "manuscript_restore.restore", "page.png", "-o", "restored", cwd=empty)
    assert (empty / "restored" / "page.png").is_file()

    train = (python, "-m", "manuscript_restore.train")
    call(*train, "--config-dir", "configs", "experiment=mine", cwd=empty)
    summaries = {path.parent.parent.name: path for path in empty.glob("outputs/train/*/*/summary.json")}
    assert set(summaries) == {"mine"}  # which is experiment=smoke with other settings
    assert json.loads(summaries["mine"].read_text())["epochs"] == 1
