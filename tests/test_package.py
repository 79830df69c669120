"""The built wheel, installed away from the repository, restores and trains; a user's own configs are found."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_wheel_trains_from_an_empty_folder(tmp_path):
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=tmp_path,
    )
    # The dependencies are those of this environment, seen through a .pth file; the package itself is the wheel's.
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
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
