"""Training by manuscript, and what lies beside a page."""

from collections import Counter

import numpy as np
import torch

from manuscript_restore.data.manuscripts import ByManuscript, compile_pattern, group_of
from manuscript_restore.data.sources import PageSource
from manuscript_restore.data.surround import lay_surround


class Named(PageSource):
    """Pages that are nothing but their names."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def key(self, index: int) -> str:
        return self.names[index]

    def read(self, index: int) -> np.ndarray:
        return np.full((2, 2, 3), index, np.uint8)


def test_manuscripts_are_drawn_alike_and_their_pages_in_turn():
    names = [f"long_{i}.jpg" for i in range(97)] + ["short_1.jpg", "short_2.jpg", "single_1.jpg"]
    source = ByManuscript(Named(names), compile_pattern("^(.+)_"))
    epochs = [[source.at(epoch, slot) for slot in range(len(source))] for epoch in range(3)]
    drawn = [names[index] for epoch in epochs for index in epoch]
    assert Counter(name.split("_")[0] for name in drawn) == {"long": 100, "short": 100, "single": 100}
    assert Counter(drawn)["short_1.jpg"] == Counter(drawn)["short_2.jpg"] == 50
    assert {name for name in drawn if name.startswith("long")} == set(names[:97])
    assert source.read(98).max() == 98
    assert source.name(98) == source.key(98) == "short_2.jpg"


def test_a_page_that_the_pattern_does_not_name_is_a_manuscript_of_its_own():
    pattern = compile_pattern("^(sa_.+)_|^la")
    assert [group_of(name, pattern) for name in ("sa_a_1", "la_2", "fr_3")] == ["sa_a", "la_2", "fr_3"]


def test_a_surround_is_the_same_damaged_and_clean_and_holds_no_ink():
    clean = torch.rand(16, 3, 64, 64) * 0.01 + 0.7
    degraded, ink = clean * 0.5, torch.ones(16, 1, 64, 64)
    laid = [page.clone() for page in (degraded, clean, ink)]
    lay_surround(*laid, p=0.5, seed=3)
    same = (laid[0] == laid[1]).all(dim=1)  # nowhere else: the damage has changed every pixel
    shares = same.float().mean(dim=(1, 2))
    assert 3 < int((shares > 0).sum()) < 13
    assert float(shares.max()) < 1
    assert torch.equal(laid[2][:, 0] == 0, same)
    untouched = ~same[:, None].expand_as(clean)
    assert torch.equal(laid[1][untouched], clean[untouched])
    assert torch.equal(laid[0][untouched], degraded[untouched])


def test_a_surround_is_a_function_of_its_seed_and_leaves_the_callers_state():
    def lay(seed: int) -> torch.Tensor:
        pages = torch.full((8, 3, 32, 32), 0.5)
        lay_surround(pages.clone(), pages, None, p=1.0, seed=seed)
        return pages

    state = torch.random.get_rng_state()
    assert torch.equal(lay(1), lay(1))
    assert not torch.equal(lay(1), lay(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert lay(1).min() >= 0
    assert lay(1).max() <= 1


def test_no_surround_is_no_change():
    pages = torch.rand(4, 3, 16, 16)
    laid = pages.clone()
    lay_surround(laid, laid, None, p=0.0, seed=0)
    assert torch.equal(laid, pages)
