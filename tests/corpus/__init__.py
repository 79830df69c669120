"""A corpus of page images of every kind, made in memory, with independent decoders to compare with."""

from functools import cache

from tests.corpus import others, rare, tiffs
from tests.corpus.case import Case


@cache
def corpus() -> tuple[Case, ...]:
    """Every file of the corpus."""
    makers = (tiffs.by_hand, tiffs.by_others, others.png, others.jpeg, others.jpeg2000, others.webp, rare.rare)
    return tuple({case.name: case for maker in makers for case in maker()}.values())
