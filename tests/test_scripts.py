"""The scripts and the notebook, run as a user runs them."""

import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manuscript_restore.images import read, write
from manuscript_restore.synthesis import generate_page

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """Run a script as a user does, in this process: ``script("gallery", "--size", 48)``."""

    def run(name: str, *arguments: object) -> Done:
        path = ROOT / "scripts" / f"{name}.py"
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        returncode = 0
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as exit_:
            if isinstance(exit_.code, str):
                print(exit_.code, file=sys.stderr)
            returncode = 1 if isinstance(exit_.code, str) else int(exit_.code or 0)
        return Done(returncode, *capsys.readouterr())

    return run


@pytest.mark.slow
def test_training_flow_from_a_checkpoint(train, script, tmp_path):
    train("experiment=smoke", "trainer.max_epochs=1", "test=false", "loss.perceptual.weight=0")
    checkpoint = tmp_path / "run" / "checkpoints" / "best.ckpt"
    write(generate_page(5, 0, height=90, width=150), tmp_path / "page.png")
    done = script("visualize_training_flow", "--checkpoint", checkpoint, "--page", "page.png", "--size", 128)
    assert done.returncode == 0, done.stderr
    assert "restored (epoch 1)" in done.stdout
    folder = tmp_path / "outputs" / "training_flow"
    sizes = {}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            sizes[path.name] = picture.size
    comparison = sizes.pop("training_flow_comparison.jpg")
    assert sizes == dict.fromkeys(
        ["1_clean_original.jpg", "2_degraded_input.jpg", "3_restored_output.jpg"], (128, 128)
    )
    assert min(comparison) > 2 * 256


@pytest.mark.slow
def test_training_flow_without_a_checkpoint_says_untrained(script):
    done = script("visualize_training_flow", "--size", 64, "--degradation", "light")
    assert done.returncode == 0, done.stderr
    assert "untrained" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoint", "none.ckpt"), "no such file"),
        (("--degradation", "storm"), "use one of"),
        (("--page", "none.jpg"), "none.jpg"),
    ],
)
def test_training_flow_explains_mistakes(script, arguments, message):
    done = script("visualize_training_flow", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_notebook_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbmake", "-p", "no:cacheprovider", str(ROOT / "notebooks")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_gallery_draws_every_transform_and_preset(script, tmp_path):
    done = script("gallery", "--size", 48, "--docs", "small")
    assert done.returncode == 0, done.stderr
    names = {path.stem for path in (tmp_path / "outputs" / "gallery").iterdir()}
    assert names >= {"Foxing", "JPEG", "preset_reference", "preset_palm_leaf"}
    small = list((tmp_path / "small").iterdir())
    assert {path.stem for path in small} == {path.stem for path in (ROOT / "docs/images/degradation").iterdir()}
    assert all(path.stat().st_size <= 120_000 for path in small)


@pytest.mark.slow
def test_calibration_compares_and_proposes(script, tmp_path):
    for i in range(3):
        page = generate_page(2, i, height=240, width=300)
        for folder in ("clean", "real"):
            (tmp_path / folder).mkdir(exist_ok=True)
        write(page, tmp_path / "clean" / f"{i}.png")
        write(page // 2, tmp_path / "real" / f"{i}.png")
    arguments = ("--real", "real", "--clean", "clean", "--tiles", 1, "--preset")
    done = script("calibrate_degradation", *arguments, "none", "--propose")
    assert done.returncode == 0, done.stderr
    rows = {line.split("|")[1].strip(): line.split("|") for line in done.stdout.splitlines() if "±" in line}
    assert rows["support L*"][2] != rows["support L*"][3]
    assert rows["support L*"][3] == rows["support L*"][4]  # nothing was degraded


@pytest.mark.slow
def test_demo_restores_its_samples_and_names_the_next_command(script, tmp_path):
    done = script("demo")
    assert done.returncode == 0, done.stderr
    samples = {path.name for path in (ROOT / "scripts" / "samples").glob("*.jpg")}
    assert len(samples) == 3
    restored = {path.name for path in (tmp_path / "outputs" / "demo" / "restored").iterdir()}
    assert restored == {f"{name}{end}" for name in samples for end in ("", ".comparison.png", ".change.png")}
    program, *arguments = done.stdout.splitlines()[-1].split()
    write(generate_page(3, 0, height=96, width=128), tmp_path / "page.png")
    arguments[arguments.index("PAGE.jpg")] = "page.png"
    subprocess.run([tmp_path / program, *arguments], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "restored" / "page.png.comparison.png").is_file()


@pytest.mark.slow
def test_the_showcase_cuts_out_the_same_part_before_and_after(script, tmp_path):
    page = generate_page(3, 0, height=600, width=300)
    (tmp_path / "pages").mkdir()
    write(page, tmp_path / "pages" / "la_vlo41_02.jpg")
    done = script("showcase", "--pages", "pages", "--out", "small", "--only", "la_vlo41_02")
    assert done.returncode == 0, done.stderr
    picture = read(tmp_path / "small" / "la_vlo41_02.jpg").astype(float)
    before, after = picture[:, :240], picture[:, -240:]  # of 300; above and below, too, a part is cut off
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.95
    assert np.corrcoef(before.ravel(), page[168:360, 45:285].ravel())[0, 1] > 0.95
    done = script("showcase", "--pages", "nowhere", "--only", "la_vlo41_02")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
