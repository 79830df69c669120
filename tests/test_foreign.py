"""Damage by another library: a function of page and seed, and not for training."""

import random
import sys

import numpy as np
import pytest
import torch

from manuscript_restore.errors import UserError
from manuscript_restore.evaluation import foreign
from manuscript_restore.images.tensors import from_array, to_float
from manuscript_restore.synthesis import generate_page


@pytest.fixture
def pages():
    return torch.stack([to_float(from_array(generate_page(3, i, height=96, width=120))) for i in range(2)])


@pytest.mark.slow  # Augraphy's import and Numba's compiler take seconds
def test_the_same_pages_and_seed_give_the_same_damage(pages):
    pytest.importorskip("augraphy")
    damage = foreign.ForeignDamage(num_per_page=(3, 3))
    python, numpy = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = damage(pages, seed=5)
    applied = [damage.applied(i) for i in range(2)]
    assert first.shape == pages.shape
    assert 0 <= first.min() <= first.max() <= 1
    assert applied[0] != applied[1]
    assert all((one != page).any() for one, page in zip(first, pages, strict=True))
    damage(pages, seed=6)  # draws in between must not tell
    assert torch.equal(damage(pages, seed=5), first)
    assert torch.equal(damage(pages[:1], seed=5), first[:1])
    assert random.getstate() == python
    np.testing.assert_array_equal(np.random.get_state()[1], numpy)  # noqa: NPY002


@pytest.mark.slow
@pytest.mark.parametrize("kind", foreign.KINDS)
def test_every_kind_runs_and_repeats(kind, pages):
    pytest.importorskip("augraphy")
    page = (pages[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    once, again = (foreign._apply(kind, page, 11) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert once.shape == page.shape


def test_without_augraphy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "augraphy", None)
    foreign._augraphy.cache_clear()
    with pytest.raises(UserError, match=r"degradation=foreign: .*manuscript-restore\[foreign\]"):
        foreign.ForeignDamage()
    for wrong in ([3, 1], [2, 99], 3):
        with pytest.raises(UserError, match=r"degradation\.num_per_page=.*\[low, high\]"):
            foreign.ForeignDamage(wrong)


def test_training_on_it_is_refused(monkeypatch):
    from manuscript_restore.config import compose
    from manuscript_restore.train import build_degradation

    monkeypatch.setattr(foreign, "_augraphy", lambda: None)
    with pytest.raises(UserError, match=r"foreign damage is for judging.*degradation@val_degradation=foreign"):
        build_degradation(compose("train", "degradation=foreign").degradation)
