"""Networks of many kinds as ONNX files, and the one file for other programs."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from manuscript_restore import cli
from manuscript_restore.checkpoint import export, load_model
from manuscript_restore.errors import UserError
from manuscript_restore.models import RestorationNetwork, build_model
from manuscript_restore.models.onnx import to_onnx
from tests.test_onnx import MAPS, PLAIN, save, tiles


def single(folder: Path, options: dict) -> Path:
    """The one file of a random network, beside the folder ``model`` that it is of."""
    export(save(options, folder / "best.ckpt"), folder / "model", name="mine", onnx=False)
    done = CliRunner().invoke(cli.app, ["onnx", str(folder / "model"), "--single", str(folder / "mine.onnx")])
    assert done.exit_code == 0, done.output
    assert not list((folder / "model").glob("*.onnx"))
    return folder / "mine.onnx"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return single(tmp_path_factory.mktemp("plain"), PLAIN)


def check_single(file: Path) -> None:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [port.name for port in (*session.get_inputs(), *session.get_outputs())] == ["tiles", "restored"]
    seen = tiles(2, 64, 48)
    with torch.inference_mode():
        expected = load_model(file.parent / "model")(torch.from_numpy(seen)).numpy()
    assert np.abs(expected - seen).max() > 0.01
    np.testing.assert_allclose(session.run(None, {"tiles": seen})[0], expected, atol=1e-4)


def test_one_file_takes_a_picture_and_gives_one(plain: Path) -> None:
    check_single(plain)


@pytest.mark.slow
def test_maps_stay_inside_the_one_file(tmp_path: Path) -> None:
    check_single(single(tmp_path, MAPS))


def test_the_size_of_the_result_follows_from_the_graph(plain: Path) -> None:
    """As chaiNNer finds the scale of a model: a fixed input, and shapes inferred from it."""
    graph = onnx.load(plain)
    for axis, size in zip(graph.graph.input[0].type.tensor_type.shape.dim, (1, 3, 64, 64), strict=True):
        axis.dim_value = size
    for axis in graph.graph.output[0].type.tensor_type.shape.dim[2:]:
        axis.Clear()
    inferred = onnx.shape_inference.infer_shapes(graph).graph.output[0].type.tensor_type.shape.dim
    assert [axis.dim_value for axis in inferred] == [1, 3, 64, 64]


@pytest.mark.parametrize("file", ["mine.txt", "folder.onnx", "nowhere/mine.onnx"])
def test_the_command_names_mistakes(tmp_path: Path, file: str) -> None:
    (tmp_path / "folder.onnx").mkdir()
    done = CliRunner().invoke(cli.app, ["onnx", "default", "--single", str(tmp_path / file)])
    assert done.exit_code == 1
    assert "must be a file that ends in .onnx" in done.output or "no such folder" in done.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "patch"),
    [("vit_small_patch14_reg4_dinov2", 14), ("vit_small_patch16_dinov3", 16)],  # registers; rotary positions
)
def test_other_encoders_are_exported(encoder: str, patch: int) -> None:
    """`to_onnx` itself compares what it writes with the network, on tiles of other sizes than it traced."""
    torch.manual_seed(0)
    model = build_model({"encoder": encoder, "image_size": 4 * patch, "decoder": {"name": "reference"}}).eval()
    content, look = to_onnx(model, weights_sha256="")
    facts = {each.key: each.value for each in onnx.load_from_string(content).metadata_props}
    assert facts["multiple"] == str(patch)
    assert look is None


class LooksFirst(RestorationNetwork):
    """Decides by what it sees, which no graph can."""

    def __init__(self) -> None:
        super().__init__(multiple=8, image_size=64)

    def restore(self, padded: torch.Tensor) -> torch.Tensor:
        return padded * 2 if padded.mean() > 0.5 else padded


def test_what_cannot_be_exported_is_said_in_a_line() -> None:
    with pytest.raises(UserError, match="the network LooksFirst cannot be exported to ONNX") as refused:
        to_onnx(LooksFirst().eval(), weights_sha256="")
    assert len(str(refused.value).splitlines()) == 1
    assert str(refused.value).endswith("export it without (--no-onnx)")
