"""Random fields: they depend on the seed alone, and look as they say."""

import math
import re
import textwrap
from pathlib import Path

import pytest
import torch

from manuscript_restore.degradation import Degradation
from manuscript_restore.degradation.fields import Grid, paths, uniform
from manuscript_restore.degradation.paint import darkest, soften
from tests.damage import damaged, generated_pages


def grid(height: int = 96, width: int = 128, cells: int = 64) -> Grid:
    return Grid([torch.zeros(3, height, width)], cells)


def test_hashed_numbers_are_uniform_and_those_of_the_seed():
    seeds = torch.tensor([0, 1, 2**31 - 2])
    numbers = uniform(seeds, 100, 200)
    assert numbers.shape == (3, 100, 200)
    assert torch.equal(uniform(seeds[2:], 100, 200), numbers[2:])
    assert not torch.equal(uniform(seeds, 100, 200, layer=1), numbers)
    histogram = torch.histc(numbers, 20, 0, 1) / numbers.numel()
    assert (histogram - 0.05).abs().max() < 0.004  # 4.5 standard errors
    flat = numbers.flatten(1) - 0.5
    neighbours = (flat[:, 1:] * flat[:, :-1]).mean() * 12
    seeds_apart = (flat[0] * flat[1]).mean() * 12
    assert neighbours.abs() < 0.02
    assert seeds_apart.abs() < 0.03
    expected = torch.tensor([0.10947757959365845, 0.1994951367378235, 0.7985934019088745, 0.2058948278427124])
    assert torch.equal(uniform(torch.tensor([7]), 4)[0], expected)  # a change would change every picture


@pytest.mark.parametrize("octaves", [1, 4])
def test_noise_is_smooth_and_spread_about_a_half(octaves):
    noise = grid().noise(torch.arange(20), 6, octaves=octaves)
    assert noise.shape == (20, 1, 64, 85)
    assert noise.mean().item() == pytest.approx(0.5, abs=0.03)
    assert 0.12 < noise.std() < 0.28
    assert (noise.diff(dim=-1).abs().mean() < 0.25 * noise.std()).all()


def test_cells_of_a_grid_are_square_and_never_finer_than_the_page():
    assert (grid(96, 128).rows, grid(96, 128).columns) == (64, 85)
    assert (grid(10, 20).rows, grid(10, 20).columns) == (10, 20)
    leaf = grid(200, 8000, 512)
    assert leaf.columns == 2048
    assert leaf.columns / leaf.rows == pytest.approx(40, rel=0.02)


def test_stamped_discs_have_their_place_and_area():
    there = grid(100, 200, 100)
    disc = there.stamp(torch.tensor([[[0.5, 0.25], [2.0, 2.0]]]), torch.tensor([[0.2, 0.2]]))
    assert disc.sum().item() == pytest.approx(math.pi * 20**2, rel=0.01)  # in cells; the other lies outside
    rows, columns = (disc[0, 0] > 0.5).nonzero().unbind(1)
    assert rows.float().mean().item() == pytest.approx(49.5, abs=0.5)
    assert columns.float().mean().item() == pytest.approx(49.5, abs=0.5)
    thin = there.stamp(torch.tensor([[[0.5, 0.25]]]), torch.tensor([[0.001]]))
    assert 0 < thin.max() < 0.3


def test_lines_without_wandering_are_straight():
    start, heading = torch.zeros(1, 1, 2), torch.tensor([[math.pi / 6]])
    points = paths(
        torch.tensor([1]), start, heading, steps=10, stride=torch.tensor([[0.1]]), wander=torch.tensor([[0.0]])
    )
    assert points[0, 0, -1].tolist() == pytest.approx([0.5, math.cos(math.pi / 6)], abs=1e-5)


def test_neighbourhoods_agree_with_torchs_own():
    page = torch.rand(3, 20, 31)
    pooled = -torch.nn.functional.max_pool2d(-page[None], 3, stride=1, padding=1)[0]
    assert torch.equal(darkest(page), pooled)
    padded = torch.nn.functional.pad(page[:, None], (1, 1, 1, 1), mode="replicate")
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    torch.testing.assert_close(soften(page), torch.conv2d(padded, (taps[:, None] * taps)[None, None])[:, 0])


def test_the_example_of_the_docs_works():
    text = (Path(__file__).parents[1] / "docs" / "how-to" / "degradation.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    imports = """
        import torch
        from collections.abc import Sequence
        from torch import Tensor
        from manuscript_restore.degradation.base import Degradation, Params, Severity
        from manuscript_restore.degradation.fields import Grid, column
        from manuscript_restore.degradation.paint import absorb
    """
    names: dict[str, type[Degradation]] = {}
    exec(textwrap.dedent(imports) + textwrap.dedent(code), names)
    pages = generated_pages()
    assert torch.equal(damaged(names["Soot"](p=1), pages, 0, severity=0), pages)
    assert damaged(names["Soot"](p=1), pages, 0).mean() < pages.mean() - 0.02
