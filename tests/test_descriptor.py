"""What a model says of itself: written, read, shown, and true."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from manuscript_restore import cli
from manuscript_restore.checkpoint import load_model
from manuscript_restore.degradation import DegradationPipeline, Fading, Mixture, YellowTint
from manuscript_restore.descriptor import Descriptor, Port
from manuscript_restore.errors import UserError
from manuscript_restore.inference import Settings
from manuscript_restore.released import CONFIG, WEIGHTS, find_released
from tests.test_onnx import MAPS, PLAIN, save

ROOT = Path(__file__).resolve().parents[1]
CARD = " ".join((ROOT / "docs" / "reference" / "model_card.md").read_text("utf-8").split())
WHOLE = {
    "format": 1,
    "name": "mine",
    "purpose": "Birch bark",
    "inputs": [
        {"name": "tiles", "channels": [0, 1, 2], "range": [0, 1], "meaning": "RGB", "layout": "NCHW",
         "dtype": "float32"}
    ],
    "multiple": 16,
    "letters_px": [8.5, 20],
    "damages": ["foxing"],
    "sources": ["Bhaṭṭikāvya"],
    "later": "a key that this version does not know",
    "model": {"name": "unet"},
}  # fmt: skip


def run(*words: object) -> str:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_what_is_read() -> None:
    found = Descriptor.of(WHOLE, where="config.json")
    assert (found.name, found.purpose, found.multiple, found.licence) == ("mine", "Birch bark", 16, None)
    assert found.letters_px == (8.5, 20)
    assert found.damages == ("foxing",)
    assert found.inputs == (Port("tiles", (0, 1, 2), (0, 1), "RGB", "NCHW", "float32"),)
    assert json.loads(found.to_json()) == {key: value for key, value in WHOLE.items() if key != "later"}


def test_a_file_of_before_is_read(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text('{"name": "old", "model": {"name": "unet"}}')
    found = Descriptor.read(tmp_path / CONFIG)
    assert (found.name, dict(found.model), found.outputs) == ("old", {"name": "unet"}, None)
    shown = run("describe", tmp_path)
    assert re.search(r"^name: +old$", shown, re.MULTILINE)
    assert re.search(r"^not recorded: +purpose, licence, sources, ", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2, "written_by": "x 9"}, r"format=2, and this version reads 1 \(written by x 9\); update"),
        ({"name": None}, "name: missing"),
        ({"model": []}, r"model: \[\]: must be the options"),
        ({"multiple": -8}, "multiple: -8: must be a whole number"),
        ({"multiple": True}, "multiple: true: must be a whole number"),
        ({"letters_px": [30, 8]}, r"letters_px: \[30, 8\]: must be two numbers"),
        ({"letters_px": [30]}, r"letters_px: \[30\]: must be two numbers"),
        ({"damages": "foxing"}, 'damages: "foxing": must be a list of texts'),
        ({"licence": 3}, "licence: 3: must be text"),
        ({"outputs": [{"name": "colours"}]}, "outputs: .* must be a list of {name, channels"),
        ({"outputs": 3}, "outputs: 3: must be a list of {name, channels"),
    ],
)
def test_what_is_wrong_is_named(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=f"^mine/config.json: {message}"):
        Descriptor.of(WHOLE | change, where="mine/config.json")


@pytest.mark.parametrize("content", [b"[1]", b"{", b"\xff", b"[" * 100_000, None])
def test_files_that_are_none_are_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(UserError, match=rf"{CONFIG}: "):
        Descriptor.read(tmp_path / CONFIG)


@pytest.mark.parametrize(("options", "planes"), [(MAPS, 5), (PLAIN, 3)])
def test_export_says_what_follows_from_the_network(tmp_path: Path, options: dict, planes: int) -> None:
    checkpoint = save(options, tmp_path / "best.ckpt")
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["damages"] = ["foxing", "stains"]
    torch.save(content, checkpoint)
    given = ["--licence", "CC0-1.0", "--source", "a", "--source", "b", "--purpose", "Bark", "--letters", 8, 30]
    run("export", checkpoint, tmp_path / "mine", "--name", "mine", "--no-onnx", *given)
    found = Descriptor.read(tmp_path / "mine" / CONFIG)
    assert (found.name, found.licence, found.sources, found.purpose) == ("mine", "CC0-1.0", ("a", "b"), "Bark")
    assert (found.letters_px, found.damages) == ((8, 30), ("foxing", "stains"))
    assert [channel for output in found.outputs for channel in output.channels] == list(range(planes))
    assert run("describe", tmp_path / "mine", "--json") == (tmp_path / "mine" / CONFIG).read_text("utf-8")
    of_checkpoint = json.loads(run("describe", checkpoint, "--json"))
    assert (of_checkpoint["name"], of_checkpoint["multiple"]) == ("best.ckpt", found.multiple)
    assert "licence" not in of_checkpoint


@pytest.mark.parametrize(
    ("options", "message"), [("--name b --letters 30 8", "letters_px="), ("--name=", "name: empty")]
)
def test_export_refuses_what_it_could_not_read_again(tmp_path: Path, options: str, message: str) -> None:
    words = ["export", str(save(PLAIN, tmp_path / "a.ckpt")), str(tmp_path / "b"), "--no-onnx", *options.split()]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 1
    assert message in done.output
    assert not (tmp_path / "b").exists()


def test_the_command_names_mistakes() -> None:
    done = CliRunner().invoke(cli.app, ["describe", "nonesuch"])
    assert done.exit_code == 1
    assert "none of that name" in done.output


def test_damage_that_no_page_gets_is_not_claimed() -> None:
    some = DegradationPipeline({"tint": YellowTint(p=0.5), "fading": Fading(p=0.0)})
    more = DegradationPipeline({"fading": Fading(p=0.1)})
    assert some.kinds == ["tint"]
    assert DegradationPipeline({"tint": YellowTint(p=0.5)}, severity=0).kinds == []
    assert Mixture({"some": some, "more": more}).kinds == ["fading", "tint"]
    assert Mixture({"some": some, "more": more}, weights={"more": 0}).kinds == ["tint"]


@pytest.mark.slow
def test_a_training_records_its_damage(train) -> None:
    summary = train(
        "experiment=smoke", "loss.perceptual.weight=0", "test=false", "trainer.max_epochs=1",
        "data.num_generated={train: 4, val: 1, test: 1}", "degradation.transforms.stains.p=0",
    )  # fmt: skip
    found = json.loads(run("describe", summary["best_checkpoint"], "--json"))
    assert found["damages"] == ["fading", "gaussian_blur", "gaussian_noise", "salt_and_pepper", "yellow_tint"]


def test_reading_takes_no_torch() -> None:
    code = "import sys, manuscript_restore.descriptor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def packaged() -> Descriptor:
    return Descriptor.read(find_released("default") / CONFIG)


def test_the_model_in_the_package_is_as_it_says(packaged: Descriptor) -> None:
    folder = find_released("default")
    network = load_model(folder)
    with safe_open(folder / WEIGHTS, "pt") as file:
        sizes = [torch.Size(file.get_slice(name).get_shape()).numel() for name in file.keys()]  # noqa: SIM118
    assert packaged.parameters == sum(sizes)
    assert packaged.trained_side == network.image_size
    assert (packaged.tile, packaged.overlap) == (Settings().tile, Settings().overlap)
    sides = packaged.min_side, packaged.min_side + packaged.multiple
    tiles = torch.rand(1, 3, *sides, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert network.restore(tiles).shape == (1, 5, *sides)
        with pytest.raises(Exception, match=r"(?i)height|size|shape"):  # where nothing pads
            network.restore(tiles[..., : -packaged.multiple // 2])
        found = dict(zip(("colours", "damage", "ink"), network.predict(tiles), strict=True))
    assert [output.name for output in packaged.outputs] == list(found)
    for output in packaged.outputs:
        low, high = output.range
        assert found[output.name].shape == (1, len(output.channels), *sides)
        assert low <= found[output.name].min() <= found[output.name].max() <= high


def test_the_model_card_says_the_same(packaged: Descriptor) -> None:
    assert f"{packaged.parameters:,} parameters" in CARD
    assert f"weights are under {packaged.licence}" in CARD
    assert "{:g} to {:g} pixels".format(*packaged.letters_px) in CARD
    repositories = {name for line in packaged.sources for name in re.findall(r"\w[\w.-]*/[\w.-]*\w", line)}
    assert len(repositories) >= 10
    assert not {name for name in repositories if name.split("/")[-1] not in CARD}
    known = {path.stem for path in (ROOT / "configs" / "degradation" / "transforms").glob("*.yaml")}
    assert len(packaged.damages) > 20
    assert not set(packaged.damages) - known
