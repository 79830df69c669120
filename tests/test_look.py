"""Pages that follow the tone of sound ones of the same manuscript."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from typer.testing import CliRunner

from manuscript_restore.cli import app
from manuscript_restore.errors import UserError
from manuscript_restore.images import read, write
from manuscript_restore.inference import Restorer, Settings
from manuscript_restore.inference.look import Look
from manuscript_restore.models import build_model
from tests.test_restorer import Function

PAPER, INK = (0.9, 0.8, 0.6), (0.2, 0.15, 0.1)


def leaf(*, height: int = 300, width: int = 400, border: int = 0) -> NDArray[np.uint8]:
    """Lines of strokes on paper with a little grain, in a black surround."""
    grain = np.random.default_rng(0).normal(0, 0.01, (height, width, 1))
    page = np.array(PAPER) + grain
    page[np.arange(height) % 24 < 6] = np.array(INK)
    page[:, : width // 8] = np.array(PAPER)
    framed = np.zeros((height + 2 * border, width + 2 * border, 3))
    framed[border : border + height, border : border + width] = page
    return (255 * framed.clip(0, 1)).round().astype(np.uint8)


def restorer(like: Look | None, function=lambda tiles: tiles, *, has_maps: bool = False, **settings) -> Restorer:
    backend = Function(function, has_maps=has_maps)
    return Restorer(backend, settings=Settings(**{"tile": 128, "overlap": 16, "like": like, **settings}))


@pytest.fixture
def like(tmp_path: Path) -> Look:
    (tmp_path / "sound").mkdir()
    write(leaf(border=70), tmp_path / "sound/1.png")
    write(leaf(), tmp_path / "sound/2.png")
    return Look.of([tmp_path / "sound/1.png", tmp_path / "sound"])


def test_paper_is_what_lies_between_the_strokes(like: Look, tmp_path: Path) -> None:
    np.testing.assert_allclose(like.paper, PAPER, atol=0.02)
    assert [page["file"] for page in like.pages] == ["1.png", "1.png", "2.png"]
    one = tmp_path / "sound/1.png"
    assert Look.of(str(one)).pages == Look.of(one).pages == like.pages[:1]
    assert like.pages[2]["sha256"] == hashlib.sha256((tmp_path / "sound/2.png").read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [{"height": 100, "width": 120}, {}])
def test_a_dark_page_becomes_as_light_as_the_others(like: Look, size: dict[str, int]) -> None:
    clean = leaf(border=20, **size)
    dim = (0.7 * clean.astype(np.float32)).round().astype(np.uint8)
    restored = restorer(like).restore(dim)
    assert np.abs(restored.astype(float) - clean).mean() < 4
    assert not restored[:20].any()  # the surround


def test_only_damage_follows_and_by_how_much_there_is(like: Look) -> None:
    def left_half(tiles: Tensor) -> Tensor:
        """Marked in blue by the test."""
        return torch.cat([tiles, (tiles[:, 2:] < 0.4).float(), 0 * tiles[:, :1]], dim=1)

    page = torch.full((3, 200, 400), 0.5)
    page[2, :, :200] = 0.3
    restored = restorer(like, left_half, has_maps=True).restore(page)
    assert torch.equal(restored[..., 200:], page[..., 200:])
    gain = np.array(like.paper) / np.array([0.5, 0.5, 0.3])
    expected = torch.tensor(page[:, 0, 0].numpy() * gain**0.5, dtype=torch.float32)  # half of it is damaged
    torch.testing.assert_close(restored[:, 100, 100], expected, atol=0.05, rtol=0)


def test_a_sound_page_keeps_its_own_tone(like: Look) -> None:
    page = torch.full((3, 200, 400), 0.5)
    nothing = lambda tiles: torch.cat([tiles, 0 * tiles[:, :2]], dim=1)  # noqa: E731
    assert torch.equal(restorer(like, nothing, has_maps=True).restore(page), page)


def test_mistakes_are_named(tmp_path: Path, like: Look) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"like=.*empty: no images there"):
        Look.of([tmp_path / "empty"])
    with pytest.raises(UserError, match=r"none\.png"):
        Look.of([tmp_path / "none.png"])
    with pytest.raises(UserError, match="no pages"):
        Look.of([])
    with pytest.raises(UserError, match="like and keep_colour"):
        Settings(like=like, keep_colour=True)
    with pytest.raises(UserError, match=r"like=sound: .*Look\.of\('sound'\)"):
        Settings(like="sound")


def test_the_record_names_the_pages(tmp_path: Path, like: Look) -> None:
    torch.manual_seed(0)
    network = {"encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}, "image_size": 64}
    state = {f"model.{key}": value for key, value in build_model(network).state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"model": network}}, tmp_path / "best.ckpt")
    write(leaf() // 2, tmp_path / "dim.png")
    paths = {"-o": "out", "--like": "sound", "-m": "best.ckpt"}
    options = [part for name, path in paths.items() for part in (name, str(tmp_path / path))]
    arguments = ["restore", str(tmp_path / "dim.png"), *options, "--device", "cpu", "--sidecar"]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    recorded = json.loads((tmp_path / "out/dim.png.json").read_text())["settings"]["like"]
    assert recorded["pages"] == list(like.pages[1:])
    np.testing.assert_allclose(read(tmp_path / "out/dim.png").max(axis=(0, 1)) / 255, PAPER, atol=0.06)
