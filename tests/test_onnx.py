"""Networks as ONNX files, and the engine that runs them: the same as PyTorch, for any size and kind of network."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from manuscript_restore import cli
from manuscript_restore.checkpoint import export, load_model, write_onnx
from manuscript_restore.errors import UserError
from manuscript_restore.images import write
from manuscript_restore.inference import Restorer
from manuscript_restore.inference.engines import open_backend
from manuscript_restore.inference.torch_engine import TorchBackend
from manuscript_restore.models import build_model
from manuscript_restore.models.onnx import _bicubic, to_onnx
from manuscript_restore.released import ONNX, ONNX_LOOK, WEIGHTS, find_released
from manuscript_restore.synthesis import generate_page

SHAPES = [(1, 64, 64), (3, 64, 48), (2, 70, 41), (1, 1, 5), (1, 17, 200)]
"""(tiles, height, width): also such as are no multiples of the patch, and smaller than one."""
MAPS = {
    "encoder": "test_vit", "image_size": 64, "colour_head": True,
    "decoder": {"name": "progressive", "maps": True},
}  # fmt: skip
PLAIN = {"name": "unet", "widths": [8, 16]}
WITH_OPENVINO = "TEST_OPENVINO" in os.environ
"""Its libraries and PyTorch's do not always get on in one process, which then hangs or ends much later."""
OPENVINO = pytest.param(
    "openvino",
    marks=pytest.mark.skipif(not WITH_OPENVINO, reason="runs in a process of its own"),
)
ENGINES = ["onnx", OPENVINO]


def save(options: dict, path: Path) -> Path:
    """A checkpoint of a random network in which every layer does something."""
    torch.manual_seed(0)
    model = build_model(options)
    for values in model.parameters():
        if not values.any():  # layers that begin as the identity
            torch.nn.init.normal_(values, std=0.02)
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"model": options}}, path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of exported networks, with and without maps."""
    folder = tmp_path_factory.mktemp("models")
    for name, options in (("maps", MAPS), ("plain", PLAIN)):
        export(save(options, folder / f"{name}.ckpt"), folder / name, name=name)
    return {name: folder / name for name in ("maps", "plain")}


def tiles(number: int, height: int, width: int) -> np.ndarray:
    """Of a generated page, half of them with grain."""
    whole = generate_page(7, 0, height=max(32, height), width=max(32, width * number))
    page = whole[:height, : width * number].transpose(2, 0, 1) / np.float32(255)
    half = page.shape[-1] // 2
    page[..., half:] += 0.1 * np.random.default_rng(0).standard_normal(page[..., half:].shape)
    return np.stack(np.split(page.clip(0, 1), number, axis=2)).astype(np.float32)


def assert_same(found: np.ndarray, expected: np.ndarray, limit: float = 1 / 255) -> None:
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    assert np.abs(found - expected).max() < limit


def logit(value: float) -> np.ndarray:
    """What is said of a page as a whole."""
    return np.full((1, 1), value, np.float32)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["maps", "plain"])
def test_all_engines_say_the_same(
    models: dict[str, Path], name: str, shape: tuple[int, int, int], engine: str
) -> None:
    onnx, reference = (open_backend(models[name], engine=each, device="cpu") for each in (engine, "torch"))
    seen = tiles(*shape)
    assert onnx.has_maps == reference.has_maps == (name == "maps")
    assert_same(onnx(seen), reference(seen), 1e-4)
    if name == "maps":
        assert_same(onnx.look(seen), reference.look(seen), 1e-4)
        for said in (-3.0, 0.0, 30.0):
            looked = logit(said)
            assert_same(onnx(seen, looked), reference(seen, looked), 1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_sound_stays_to_the_bit(models: dict[str, Path], engine: str) -> None:
    onnx, seen = open_backend(models["maps"], engine=engine), tiles(2, 64, 64)
    restored = onnx(seen, logit(-1000))
    assert restored[:, 3].max() == 0
    assert np.array_equal(restored[:, :3], seen)
    assert not np.array_equal(onnx(seen, logit(1000))[:, :3], seen)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "vit", "encoder": "test_vit", "image_size": 64, "decoder": {"name": "reference"}},
        {"name": "nafnet", "width": 8, "encoder_blocks": [1, 1], "decoder_blocks": [1, 1]},
        {"name": "restormer", "width": 8, "num_blocks": [1, 1], "num_heads": [1, 2]},
    ],
    ids=lambda options: options["name"],
)
@pytest.mark.slow
def test_peers_are_exported_too(options: dict, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export(save(options, tmp_path / "best.ckpt"), folder, name="peer")
    seen = tiles(2, 70, 41)
    reference = open_backend(folder, engine="torch", device="cpu")(seen)
    for engine in ("onnx", *(["openvino"] if WITH_OPENVINO else [])):
        assert_same(open_backend(folder, engine=engine)(seen), reference, 1e-4)


@pytest.mark.parametrize("size", [(3, 4), (12, 7), (16, 20), (1, 1), (30, 5)])
def test_positions_are_resampled_as_pytorch_does(size: tuple[int, int]) -> None:
    positions = torch.randn(1, 3, 12, 7, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(positions, size, mode="bicubic", antialias=True)
    torch.testing.assert_close(_bicubic(positions, list(size)), expected, atol=1e-5, rtol=0)


def test_auto_takes_onnx_where_it_can(models: dict[str, Path], tmp_path: Path) -> None:
    def engine(path: Path, **options: object) -> str:
        return Restorer.from_checkpoint(path, device="cpu", **options).backend.description.split()[0]

    without = tmp_path / "without"
    shutil.copytree(models["plain"], without, ignore=shutil.ignore_patterns("*.onnx"))
    assert engine(models["plain"]) == engine(models["plain"], engine="onnx") == "onnxruntime"
    assert engine(models["plain"], engine="torch") == engine(models["plain"], compile=True) == "torch"
    assert engine(without) == engine(models["plain"].with_suffix(".ckpt")) == "torch"
    with pytest.raises(UserError, match=r"model\.onnx: no such file; write it with `manuscript-restore onnx "):
        engine(without, engine="onnx")
    write_onnx(without)
    assert engine(without) == "onnxruntime"


@pytest.mark.parametrize("engine", [*ENGINES, "torch"])
def test_the_record_names_the_engine(models: dict[str, Path], tmp_path: Path, engine: str) -> None:
    write(generate_page(1, 0, height=90, width=120), tmp_path / "page.png")
    options = ["-o", tmp_path / "out", "-m", models["maps"], "--engine", engine, "--device", "cpu", "--sidecar"]
    done = CliRunner().invoke(cli.app, ["restore", str(tmp_path / "page.png"), *map(str, options)])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out" / "page.png.json").read_text())
    assert record["backend"].startswith(f"{engine}runtime " if engine == "onnx" else f"{engine} ")


@pytest.mark.parametrize(("model", "message"), [("nonesuch", "none of that name"), ("page.txt", "not the folder")])
def test_the_command_names_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.txt").write_text("hello")
    done = CliRunner().invoke(cli.app, ["onnx", model])
    assert done.exit_code == 1
    assert message in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tensorflow"}, "engine=tensorflow: must be one of auto, onnx, openvino, torch"),
        ({"engine": "onnx", "device": "cuda"}, "engine=onnx with device=cuda"),
        ({"engine": "onnx", "precision": "bf16"}, "engine=onnx with precision=bf16"),
        ({"engine": "openvino", "compile": True}, "engine=openvino with compile=True"),
    ],
)
def test_engines_name_mistakes(models: dict[str, Path], options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_backend(models["plain"], **options)


def test_a_checkpoint_has_no_onnx(models: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="is a training checkpoint"):
        open_backend(models["plain"].with_suffix(".ckpt"), engine="onnx")


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_files_are_named(models: dict[str, Path], tmp_path: Path, engine: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models["maps"], folder)
    whole = (folder / ONNX).read_bytes()
    for content in (b"", b"hello", whole[:1000], whole[: len(whole) // 2]):
        (folder / ONNX).write_bytes(content)
        with pytest.raises(UserError, match=r"model\.onnx: damaged"):
            open_backend(folder, engine=engine)
    for file, other in ((ONNX, ONNX_LOOK), (ONNX_LOOK, ONNX)):  # each in the other's place
        (folder / ONNX).write_bytes(whole)
        shutil.copy(models["maps"] / other, folder / file)
        with pytest.raises(UserError, match=rf"{file}: damaged"):
            open_backend(folder, engine=engine)
    (folder / ONNX_LOOK).unlink()
    with pytest.raises(UserError, match=r"look\.onnx: no such file"):
        open_backend(folder, engine=engine)
    shutil.copy(models["plain"] / ONNX, folder / ONNX)
    with pytest.raises(UserError, match=r"model\.onnx: of other weights"):
        open_backend(folder, engine=engine)


def test_an_engine_that_is_missing_is_named(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "manuscript_restore.inference.openvino_engine", None)
    with pytest.raises(UserError, match=r"engine=openvino needs more: pip install 'manuscript-restore\[openvino"):
        open_backend(models["plain"], engine="openvino")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("maps", {"engine": "torch"}, r"needed \(engine=torch\): pip install 'manuscript-restore\[train"),
        ("maps", {"device": "cuda"}, r"needed \(device=cuda\)"),
        ("maps", {"precision": "bf16", "compile": True}, r"needed \(precision=bf16, compile=True\)"),
        ("maps.ckpt", {}, r"needed \(no model\.onnx in its folder\)"),
        ("nonesuch.ckpt", {}, "no such file or folder"),
    ],
)
def test_without_pytorch_it_says_what_needs_it(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, model: str, options: dict, message: str
) -> None:
    monkeypatch.setattr("manuscript_restore.inference.engines._has_torch", lambda: False)
    with pytest.raises(UserError, match=message):
        open_backend(models["maps"].parent / model, **options)


@pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="OpenVINO is not installed")
def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    program = """
import sys
import manuscript_restore.inference.openvino_engine
reporter = [name for name in sys.modules if name.startswith("openvino_telemetry")]
assert not reporter, reporter
import openvino.tools  # nothing stays blocked
assert "openvino.tools.ovc" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir()), "left an identity in the home folder"


def test_weights_are_stored_in_16_bits(models: dict[str, Path]) -> None:
    weights, onnx = (models["maps"] / file for file in (WEIGHTS, ONNX))
    assert onnx.stat().st_size < 1.1 * weights.stat().st_size
    assert b"/manuscript_restore/" not in onnx.read_bytes(), "holds where the source lay"


def test_a_graph_that_differs_is_not_written(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(models["plain"])
    look = model.restore
    # What exporting sees is not what runs afterwards.
    monkeypatch.setattr(model, "restore", lambda page: look(page) + 0.1 * (not torch.compiler.is_exporting()))
    with pytest.raises(UserError, match=r"differs from itself by 0\.1 \(limit 1/255\)"):
        to_onnx(model, weights_sha256="")


@pytest.mark.parametrize("engine", ENGINES)
def test_several_threads_may_ask_at_once(models: dict[str, Path], engine: str) -> None:
    onnx = open_backend(models["maps"], engine=engine)
    batches = [np.roll(tiles(2, 64, 48), i, axis=3) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(onnx, batches))
    assert all(np.array_equal(found, onnx(batch)) for found, batch in zip(at_once, batches, strict=True))


@pytest.mark.skipif(
    not (find_released("default") / ONNX).is_file(), reason="the model in the box has no ONNX file"
)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_model_in_the_box_is_the_same_in_all(engine: str) -> None:
    folder = find_released("default")
    assert (folder / ONNX).stat().st_size <= 16 * 2**20
    onnx = open_backend(folder, engine=engine)
    reference = TorchBackend(load_model(folder), device="cpu")
    seen = tiles(2, 256, 256)
    assert_same(onnx(seen), reference(seen))
    looked = reference.look(seen).mean(axis=0, keepdims=True)
    assert_same(onnx(seen, looked), reference(seen, looked))
    sound = onnx(seen, looked)[:, 3:4] == 0
    assert np.array_equal(onnx(seen, looked)[:, :3] * sound, seen * sound)


@pytest.mark.slow
@pytest.mark.skipif(WITH_OPENVINO or not importlib.util.find_spec("openvino"), reason="OpenVINO is not installed")
def test_openvino_in_a_process_of_its_own() -> None:
    files = [str(Path(__file__).with_name(name)) for name in ("test_onnx.py", "test_golden.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "openvino or peers", *files]
    done = subprocess.run(command, env=os.environ | {"TEST_OPENVINO": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
