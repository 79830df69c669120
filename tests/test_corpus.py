"""Page images of every kind: their pixels as independent decoders read them, for the archive and for training."""

from collections import Counter

import numpy as np
import pytest

from manuscript_restore import images
from manuscript_restore.archive import open_document
from tests.corpus import corpus
from tests.corpus.decoders import DECODERS, shown

CASES = [pytest.param(case, id=case.name) for case in corpus()]


def assert_same(found, right, tolerance):
    """Equal; or, in levels of 255, within a tolerance."""
    assert (found.shape, found.dtype) == (right.shape, right.dtype)
    worst = np.abs(found.astype(int) - right).max() * 255 / np.iinfo(right.dtype).max
    assert worst <= tolerance, f"off by {worst:.2f} of 255"


@pytest.mark.parametrize("case", CASES)
def test_the_archive_reads_what_independent_decoders_read(case, tmp_path):
    path = tmp_path / "page"
    path.write_bytes(case.data)
    with open_document(path) as document:
        page = document.pages[0]
        found = page.rows(0, page.height)
        assert page.orientation == case.orientation
    assert_same(found, case.right, case.tolerance)
    for decoder in case.decoders:  # which shows that the file itself is as it should be
        assert_same(DECODERS[decoder](case.data), case.right, case.tolerance)


@pytest.mark.parametrize("case", CASES)
def test_training_sees_the_same(case, tmp_path):
    path = tmp_path / "page"
    path.write_bytes(case.data)
    found = images.read(path)
    right = shown(case.right, case.orientation, case.alpha)
    assert (found.shape, found.dtype) == (right.shape, np.uint8)
    # One level: 16 bits become 8, and alpha is laid over white, with two roundings.
    assert np.abs(found - right).max() <= case.tolerance + 1


def test_the_corpus_holds_every_kind():
    formats = Counter(case.name.partition("-")[0] for case in corpus())
    assert formats == {"tiff": 443, "png": 85, "jpeg2000": 69, "jpeg": 61, "webp": 26}
    assert all(case.decoders or case.truth is not None for case in corpus())
    assert sum(bool(case.decoders) for case in corpus()) / len(corpus()) > 0.97  # the others: only what went in
