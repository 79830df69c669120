"""The network's maps: what is sound stays as it is, and weights of before there were maps go on."""

import numpy as np
import pytest
import torch

from manuscript_restore.checkpoint import load_model, start_from
from manuscript_restore.data.ink import find_ink
from manuscript_restore.errors import UserError
from manuscript_restore.metrics.binary import binary_scores
from manuscript_restore.models import build_model
from manuscript_restore.models.decoders import Maps
from manuscript_restore.models.network import DAMAGED, SOUND
from manuscript_restore.released import find_released
from manuscript_restore.synthesis import generate_page

VIT = {"encoder": "vit_tiny_patch16_224", "image_size": 64, "colour_head": True}


def network(**decoder):
    torch.manual_seed(0)
    return build_model({**VIT, "decoder": {"name": "progressive", **decoder}}).eval()


def set_damage(model, logit: float) -> None:
    """Let the map say the same of every pixel, and the restoration repaint the page."""
    torch.nn.init.constant_(model.decoder.to_maps.damage.bias, logit / Maps.SHARPNESS)
    torch.nn.init.constant_(model.decoder.to_residual.bias, 0.3)


def test_what_is_surely_sound_stays_as_it_is_to_the_bit():
    model, pages = network(maps=True), torch.rand(2, 3, 70, 90)
    set_damage(model, -5.0)
    with torch.no_grad():
        prediction = model.predict(pages)
    assert prediction.damage.max() == 0
    assert torch.equal(prediction.image, pages)


def test_the_restoration_counts_as_much_as_the_damage_is_likely():
    model, pages = network(maps=True), 0.2 + 0.3 * torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        set_damage(model, 5.0)
        whole = model.predict(pages)
        set_damage(model, float(torch.tensor((SOUND + DAMAGED) / 2).logit()))
        half = model.predict(pages)
    assert whole.damage.min() == 1
    torch.testing.assert_close(whole.image, pages + 0.3)
    torch.testing.assert_close(half.damage, torch.full_like(half.damage, 0.5))
    torch.testing.assert_close(half.image, pages + 0.15)
    assert half.ink.shape == half.damage.shape == (1, 1, 64, 64)


def test_training_sees_plain_probabilities():
    model = network(maps=True).train()
    set_damage(model, float(torch.tensor(SOUND / 2).logit()))
    damage = model.predict(torch.rand(1, 3, 64, 64)).damage
    torch.testing.assert_close(damage, torch.full_like(damage, SOUND / 2))


def test_weights_without_maps_go_on_unchanged():
    old, new = network(), network(maps=True)
    torch.nn.init.normal_(old.decoder.to_residual.weight, std=0.01)
    page = torch.rand(1, 3, 64, 64)
    released = load_model(find_released("default"))
    network_of_release = build_model(
        {**VIT, "image_size": released.image_size, "decoder": {"name": "progressive", "maps": True}}
    ).eval()
    start_from(network_of_release, "default", key="init_from")
    with torch.no_grad():
        if not released.has_maps:
            torch.testing.assert_close(network_of_release(page), released(page))
    assert not old.has_maps
    assert new.has_maps
    assert old.predict(page).damage is None


def test_weights_of_another_size_are_refused():
    other = build_model({**VIT, "encoder": "vit_small_patch16_224", "decoder": {"name": "progressive"}})
    with pytest.raises(UserError, match="weights of another model"):
        start_from(other, "default", key="init_from")


def test_ink_is_found_on_a_clean_page_and_none_on_a_blank_one():
    page = generate_page(1, 0, height=256, width=256)
    ink = find_ink(page) > 0
    dark = page.astype(np.float64).mean(axis=2) < 0.6 * np.median(page.astype(np.float64).mean(axis=2))
    assert binary_scores(ink, dark)["f_measure"] > 80
    grain = np.random.default_rng(0).normal(180, 4, (128, 128, 1))
    assert find_ink(np.repeat(grain, 3, axis=2).clip(0, 255).astype(np.uint8)).max() == 0


@pytest.mark.parametrize("level", [0, 12, 25])
def test_a_dark_surround_is_no_ink(level):
    noise = np.random.default_rng(0)
    page = generate_page(1, 0, height=256, width=256)
    alone = find_ink(page) > 0
    surround = noise.normal(level, 3, (256, 120, 3)).clip(0, 255).astype(np.uint8)
    ink = find_ink(np.hstack([surround, page])) > 0
    assert not ink[:, :90].any()  # nearer to the page the background is the page's
    assert (ink[:, 170:] == alone[:, 50:]).mean() > 0.99
    assert not find_ink(surround).any()
