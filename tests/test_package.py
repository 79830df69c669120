"""The built wheel, installed away from the repository, restores and trains; a user's own configs are found.

The wheel is built from the sdist, as it is for a release, and compared with one built from the checkout.
"""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
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
NOT_IN_SDIST = (".ci/", ".github/", ".pre-commit-config.yaml", "outputs/", "tests/desk_page/axe/")
"""What serves the repository alone, and a library of another licence that one test in a browser wants."""

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


def build(source: Path, folder: Path, *what: str) -> Path:
    call(sys.executable, "-m", "build", *what, "--no-isolation", "--outdir", folder, source, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that is built from it."""
    return build(ROOT, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_of_the_repository() -> set[str]:
    """All that Git has or would add."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = call("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


@pytest.mark.slow
def test_the_sdist_has_what_the_repository_has(built: Path) -> None:
    wanted = {name for name in files_of_the_repository() if not name.startswith(NOT_IN_SDIST)}
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        assert all(member.isfile() for member in archive)
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == wanted | {"PKG-INFO"}


@pytest.mark.slow
def test_the_wheel_has_the_package_and_the_configs(wheel: Path) -> None:
    names = {name.removeprefix("src/") for name in files_of_the_repository() if name.startswith("src/")}
    names |= {f"manuscript_restore/{name}" for name in files_of_the_repository() if name.startswith("configs/")}
    assert {name for name in contents(wheel) if ".dist-info/" not in name} == names


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel_as_the_checkout(wheel: Path, tmp_path: Path) -> None:
    assert contents(next(build(ROOT, tmp_path, "--wheel").glob("*.whl"))) == contents(wheel)


def test_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE) == [version]


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
