"""Tiling: nothing is lost, seams do not show."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from manuscript_restore.errors import UserError
from manuscript_restore.inference.tiling import Tiling, restore_rows, spans
from manuscript_restore.models import build_model

POOL = ThreadPoolExecutor(3)


def restored(page: Tensor, restore, **tiling: int) -> Tensor:
    stored = page.numpy()
    bands = restore_rows(
        lambda top, bottom: stored[:, top:bottom],
        lambda tiles: restore(torch.from_numpy(tiles)).detach().numpy(),
        height=page.shape[1],
        width=page.shape[2],
        tiling=Tiling(**tiling),
        pool=POOL,
    )
    rows, below = [], 0
    for top, read, band in bands:
        assert np.array_equal(read, stored[:, top : top + band.shape[1]])
        assert top == below  # in order, without a gap
        below += band.shape[1]
        rows.append(band)
    return torch.from_numpy(np.concatenate(rows, axis=1))


@given(length=st.integers(1, 3000), tile=st.integers(16, 400), share=st.floats(0, 0.5))
def test_weights_are_a_partition_of_unity(length: int, tile: int, share: float) -> None:
    overlap = int(tile * share)
    cut = spans(length, tile=tile, overlap=overlap)
    total = np.zeros(length)
    for span in cut:
        assert (span.weights >= 0).all()
        total[span.start : span.stop] += span.weights
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert all(a.stop - b.start >= overlap for a, b in itertools.pairwise(cut))


@given(height=st.integers(1, 150), width=st.integers(1, 150), overlap=st.integers(0, 16), batch=st.integers(1, 5))
def test_the_identity_returns_the_page(height: int, width: int, overlap: int, batch: int) -> None:
    page = torch.rand(3, height, width, generator=torch.Generator().manual_seed(height * 151 + width))
    out = restored(page, lambda tiles: tiles, tile=32, overlap=overlap, batch=batch)
    torch.testing.assert_close(out, page, atol=1e-6, rtol=0)


def test_a_convolution_is_restored_as_if_untiled() -> None:
    """Inside the weights' reach a tile sees all that an untiled pass sees: equal but for rounding."""
    torch.manual_seed(0)
    blur = nn.Conv2d(3, 3, 5, padding=2, padding_mode="replicate")
    page = torch.rand(3, 200, 333)
    with torch.inference_mode():
        untiled = blur(page[None])[0]
        out = restored(page, blur, tile=64, overlap=32, batch=3)
    # Only a tile's outermost two pixels see its border, and the raised cosine gives them next to nothing.
    torch.testing.assert_close(out, untiled, atol=0.02 * untiled.std().item(), rtol=0)


def test_seams_of_a_vision_transformer_do_not_show() -> None:
    """The step across tile borders of (tiled − untiled) is no larger than elsewhere in it."""
    torch.manual_seed(0)
    model = build_model({"encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}, "image_size": 64})
    for layer in (model.decoder.to_residual, model.decoder.to_colour):  # zero at the start: it would do nothing
        nn.init.normal_(layer.weight, std=0.05)
    model.eval()
    page = torch.rand(3, 192, 320).lerp(torch.full((3, 192, 320), 0.7), 0.7)

    def step_at_borders(overlap: int) -> float:
        """Mean step across the borders of tiles over the mean step elsewhere; of what tiling changes."""
        with torch.inference_mode():
            error = restored(page, model, tile=64, overlap=overlap) - model(page[None])[0]
        assert error.abs().max() > 1e-3  # attention over a tile is not attention over the page
        steps = error.diff(dim=2).abs().mean(dim=(0, 1))
        borders = torch.zeros(len(steps), dtype=torch.bool)
        for span in spans(320, tile=64, overlap=overlap):
            borders[[edge for edge in (span.start - 1, span.stop - 1) if 0 <= edge < len(steps)]] = True
        return (steps[borders].mean() / steps[~borders].mean()).item()

    assert step_at_borders(overlap=16) < 1.2
    assert step_at_borders(overlap=0) > 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": 8, "overlap": 0}, "tile=8"),
        ({"tile": 64, "overlap": 33}, "overlap=33"),
        ({"tile": 64, "overlap": 0, "batch": 0}, "batch=0"),
    ],
)
def test_mistakes_are_named(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Tiling(**settings)
