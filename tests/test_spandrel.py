"""Exported models opened by spandrel, as ComfyUI and chaiNNer open them."""

from pathlib import Path

import pytest
import torch

from manuscript_restore.checkpoint import export, load_model
from manuscript_restore.errors import UserError
from manuscript_restore.inference import Restorer
from manuscript_restore.released import WEIGHTS, find_released
from tests.test_onnx import MAPS, PLAIN, save, tiles

spandrel = pytest.importorskip("spandrel", reason="spandrel is not installed")

from manuscript_restore.spandrel import register  # noqa: E402  # needs it


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, options in (("maps", MAPS), ("plain", PLAIN)):
        export(save(options, folder / f"{name}.ckpt"), folder / name, name=name, onnx=False)
    register(folder / "maps", folder / "plain")
    register(folder / "plain")  # again
    return [folder / "maps", folder / "plain"]


@pytest.mark.parametrize("which", [0, 1])
def test_it_is_known_for_what_it_is(models: list[Path], which: int) -> None:
    opened = spandrel.ModelLoader().load_from_file(models[which] / WEIGHTS)
    assert opened.architecture.name == models[which].name
    assert (opened.purpose, opened.scale) == ("Restoration", 1)
    assert (opened.input_channels, opened.output_channels) == (3, 3)


def test_a_tile_comes_out_as_of_the_network(models: list[Path]) -> None:
    plain = models[1]  # with maps, colours are held
    opened = spandrel.ModelLoader().load_from_file(plain / WEIGHTS)
    seen = torch.from_numpy(tiles(1, 70, 41))  # no multiple of the patch
    with torch.inference_mode():
        expected = load_model(plain)(seen)
    assert (expected - seen).abs().max() > 0.01
    torch.testing.assert_close(opened(seen), expected, atol=1e-5, rtol=0)


def test_a_page_comes_out_as_restored(models: list[Path]) -> None:
    page = torch.from_numpy(tiles(1, 280, 300))
    opened = spandrel.ModelLoader().load_from_file(models[0] / WEIGHTS)
    assert opened.tiling == spandrel.ModelTiling.INTERNAL
    expected = Restorer.from_checkpoint(models[0], device="cpu", engine="torch").restore(page[0])
    torch.testing.assert_close(opened(page)[0], expected, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("models")
def test_the_model_in_the_package_is_known() -> None:
    opened = spandrel.ModelLoader().load_from_file(find_released("default") / WEIGHTS)
    assert opened.architecture.name.startswith("default")


def test_other_weights_are_not_taken_for_it(models: list[Path]) -> None:
    state = load_model(models[1]).state_dict()
    key = next(iter(state))
    with pytest.raises(spandrel.UnsupportedModelError):
        spandrel.ModelLoader().load_from_state_dict(state | {key: state[key] + 1})


def test_checkpoints_are_refused(models: list[Path]) -> None:
    with pytest.raises(UserError, match=r"plain\.ckpt: not the folder of a model"):
        register(models[1].with_suffix(".ckpt"))
