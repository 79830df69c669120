"""The degradations: what holds for all, and each against an independent reference."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from manuscript_restore.degradation import (
    JPEG,
    BleedThrough,
    ColouredPaper,
    Fading,
    GaussianBlur,
    GaussianNoise,
    InkFading,
    LetterpressWear,
    LowInkLines,
    Misregistration,
    Moire,
    NearLamp,
    RollerStreaks,
    SaltAndPepper,
    SensorNoise,
    ShowThrough,
    Stains,
    TonerBlotches,
    TornEdges,
    Vignetting,
    YellowTint,
    params_from_json,
    params_to_json,
)
from manuscript_restore.metrics import psnr
from tests.damage import TRANSFORMS, damaged, generated_pages

HARD_TONES = {"Binarised", "Photocopy", "Microfilm", "Halftone", "JPEG"}  # amplify the rounding of their input


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """The pages are tiny: on a busy machine OpenMP's threads would only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pages() -> torch.Tensor:
    return generated_pages()


@pytest.mark.parametrize("kind", TRANSFORMS)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    severity=st.floats(0, 3),
    height=st.integers(1, 40),
    width=st.integers(1, 70),
    p=st.sampled_from([0.5, 1.0]),
)
@example(seed=0, severity=1.0, height=1, width=1, p=1.0)
@example(seed=0, severity=1.5, height=5, width=300, p=1.0)
def test_shape_type_and_range_are_kept(kind, seed, severity, height, width, p):
    clean = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(seed))
    before = clean.clone()
    result = damaged(kind(p=p), clean, seed, severity)
    assert result.shape == clean.shape
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(clean, before)


@pytest.mark.parametrize("kind", TRANSFORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_kept(kind, dtype, pages):
    result = damaged(kind(p=1), pages.to(dtype), 0)
    assert result.dtype == dtype
    # Few mantissa bits: a dozen roundings of at most 2^-8 (bfloat16) each, and what steep tone curves make of them
    difference = (result.float() - damaged(kind(p=1), pages, 0)).abs()
    assert difference.mean() < 0.02
    assert difference.max() < (0.7 if kind.__name__ in HARD_TONES else 0.1)
    if dtype == torch.float64:  # other last bits, as another device has, must not show
        assert difference.max() < 1 / 255


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_what_is_computed_stays_on_the_pages_device(kind, pages):
    """Tensors on "meta" have no values: to mix them with others, or to wait for a value of theirs, is an error."""
    transform = kind(p=1)
    params = transform.forward_parameters(pages.shape)
    result, mask = transform.with_mask(pages.to("meta"), params)
    assert result.is_meta
    assert mask.shape == (3, 1, 64, 96)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_the_layout_in_memory_does_not_matter(kind, pages):
    expected = damaged(kind(p=1), pages, 0)
    assert torch.equal(damaged(kind(p=1), pages.to(memory_format=torch.channels_last), 0), expected)
    assert torch.equal(damaged(kind(p=1), pages.mT.contiguous().mT, 0), expected)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_gradients_pass_as_through_kornias_own(kind, pages):
    clean = pages.clone().requires_grad_()
    damaged(kind(p=0.7), clean, 0).sum().backward()
    assert torch.isfinite(clean.grad).all()
    assert clean.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_severity_zero_and_probability_zero_are_the_identity(kind, pages):
    assert torch.equal(damaged(kind(p=1), pages, 0, severity=0), pages)
    assert torch.equal(damaged(kind(p=0), pages, 0), pages)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_every_page_may_have_a_severity_of_its_own(kind, pages):
    severities = [0.3, 0.0, 1.4]
    mixed = damaged(kind(p=1), pages, 0, torch.tensor(severities))
    for page, severity, clean in zip(mixed, severities, range(3), strict=True):
        alike = damaged(kind(p=1), pages, 0, severity)
        torch.testing.assert_close(page, alike[clean], atol=1e-4, rtol=0)  # 0.3 is rounded to float32 in one
    assert torch.equal(mixed[1], pages[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRANSFORMS)
def test_damage_grows_with_severity(kind, pages):
    scores = [
        torch.stack([psnr(damaged(kind(p=1), pages, seed, s), pages).mean() for seed in range(8)]).mean().item()
        for s in (0.25, 0.5, 1.0, 1.5)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > 1


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_replay_is_exact_and_draws_differ(kind, pages):
    transform = kind(p=0.7)
    torch.manual_seed(1)
    first = transform(pages)
    assert torch.equal(transform(pages, params=transform._params), first)
    written = params_to_json(transform._params)
    assert torch.equal(kind(p=0.7)(pages, params=params_from_json(written)), first)
    assert len(written) < 60_000
    assert torch.equal(damaged(kind(p=0.7), pages, 1), first)
    assert not torch.equal(damaged(kind(p=1), pages, 2), damaged(kind(p=1), pages, 3))


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_samples_of_a_batch_do_not_touch_each_other(kind, pages):
    other = pages.clone()
    other[1] = torch.rand(3, 64, 96)
    transform = kind(p=1)
    result, changed = damaged(transform, pages, 4), damaged(kind(p=1), other, 4)
    partners = transform._params.get("partner", torch.arange(3))
    for i in (0, 2):  # unless the page that changed has been asked for
        assert torch.equal(result[i], changed[i]) == (partners[i] != 1)
    same = pages[:1].expand(3, -1, -1, -1).contiguous()
    draws = damaged(kind(p=1), same, 4)
    assert any(not torch.equal(draws[0], draw) for draw in draws[1:])  # each has parameters of its own


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_the_mask_covers_what_changed(kind, pages):
    torch.manual_seed(5)
    transform = kind(p=0.6)
    result, mask = transform.with_mask(pages)
    assert mask.shape == (3, 1, 64, 96)
    assert mask.min() >= 0
    assert mask.max() <= 1
    chosen = transform._params["batch_prob"] > 0.5
    assert mask[~chosen].sum() == 0
    assert (mask[chosen].flatten(1).sum(dim=1) > 0).all()
    assert torch.equal(result, damaged(kind(p=0.6), pages, 5))
    assert (result - pages).abs().amax(dim=1, keepdim=True)[mask == 0].max() < 1 / 255
    assert torch.equal(transform.with_mask(pages, transform._params)[1], mask)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", TRANSFORMS)
@pytest.mark.parametrize("size", [(64, 96), (256, 256)])
def test_cpu_and_cuda_give_the_same_picture(kind, size):
    clean = generated_pages(height=size[0], width=size[1])
    transform = kind(p=1)
    torch.manual_seed(0)
    expected, mask = transform.with_mask(clean)
    result, mask_there = transform.with_mask(clean.cuda(), transform._params)
    assert (result.cpu() - expected).abs().max() <= 1 / 255
    assert (mask_there.cpu() - mask).abs().max() <= 4 / 255  # a mask may be four times the change


def test_probability_is_per_sample():
    clean = torch.full((2000, 3, 2, 2), 0.5)
    touched = (damaged(Fading(p=0.3), clean, 0) != clean).flatten(1).any(dim=1)
    assert touched.float().mean().item() == pytest.approx(0.3, abs=0.04)  # 4 standard errors


def test_noise_has_the_drawn_sigma_and_no_structure():
    clean = torch.full((4, 3, 256, 256), 0.5)
    transform = GaussianNoise(p=1)
    noise = damaged(transform, clean, 0) - clean
    for page, sigma in zip(noise, transform._params["sigma"], strict=True):
        assert 0.01 <= sigma <= 0.08
        for channel in page:
            assert channel.std().item() == pytest.approx(sigma.item(), rel=0.02)
            assert channel.mean().abs() < 0.02 * sigma
    unit = (noise / noise.std(dim=(2, 3), keepdim=True))[0]
    assert (unit[0] * unit[1]).mean().abs() < 0.02  # channels
    assert (unit[0, 1:] * unit[0, :-1]).mean().abs() < 0.02  # neighbours
    assert (unit**4).mean().item() == pytest.approx(3, abs=0.1)  # a normal distribution's fourth moment


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("shape", [(64, 96), (2, 9)])
def test_blur_is_opencvs(size, shape):
    clean = torch.rand(2, 3, *shape)
    result = damaged(GaussianBlur(kernel_size=(size, size), p=1), clean, 0)
    for page, blurred in zip(clean, result, strict=True):
        sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
        reference = cv2.GaussianBlur(
            page.permute(1, 2, 0).numpy(), (size, size), sigma, borderType=cv2.BORDER_REFLECT_101
        )
        np.testing.assert_allclose(blurred.permute(1, 2, 0).numpy(), reference, atol=1e-5)


def test_blur_draws_every_size():
    transform = GaussianBlur(p=1)
    torch.manual_seed(0)
    sizes, counts = transform.forward_parameters((900, 3, 8, 8))["kernel_size"].unique(return_counts=True)
    assert sizes.tolist() == [3, 5, 7]
    assert counts.min() > 250


def test_fading_is_opencvs_convert_scale_abs(pages):
    transform = Fading(p=1)
    result = damaged(transform, pages, 0)
    for page, faded, alpha in zip(pages, result, transform._params["alpha"].tolist(), strict=True):
        assert 0.6 <= alpha <= 0.9
        bytes_ = (page * 255).round().to(torch.uint8).numpy()
        reference = cv2.convertScaleAbs(bytes_.reshape(-1), alpha=alpha).reshape(bytes_.shape)
        np.testing.assert_allclose(faded.numpy() * 255, reference, atol=0.51)


def test_salt_and_pepper_touches_the_drawn_share():
    clean = torch.full((4, 3, 200, 300), 0.5)
    transform = SaltAndPepper(p=1)
    result = damaged(transform, clean, 0)
    for page, amount in zip(result, transform._params["amount"].tolist(), strict=True):
        assert 0.001 <= amount <= 0.01
        assert torch.equal(page[0], page[1])
        assert torch.equal(page[0], page[2])
        salt, pepper = ((page[0] == value).float().mean().item() for value in (1, 0))
        assert salt + pepper == pytest.approx(amount, rel=0.02)  # a pixel may be hit twice
        assert salt == pytest.approx(pepper, rel=0.5)
        assert salt + pepper + (page[0] == 0.5).float().mean().item() == pytest.approx(1)


@pytest.mark.parametrize("amount", [0.1, 0.5, 0.9, 1.0])
def test_salt_and_pepper_touches_the_share_when_it_is_large(amount):
    page = damaged(SaltAndPepper(amount=(amount, amount), p=1), torch.full((1, 3, 200, 300), 0.5), 0)
    salt, pepper = ((page == value).float().mean().item() for value in (1, 0))
    assert salt + pepper == pytest.approx(amount, abs=0.01)  # 5 standard deviations at most
    assert salt == pytest.approx(pepper, abs=0.02)


def test_tint_takes_blue_most(pages):
    transform = YellowTint(p=1)
    result = damaged(transform, pages, 0)
    s = transform._params["strength"].view(-1, 1, 1)
    torch.testing.assert_close(result[:, 0], pages[:, 0])
    torch.testing.assert_close(result[:, 1], pages[:, 1] * (1 - 0.25 * s))
    torch.testing.assert_close(result[:, 2], pages[:, 2] * (1 - 0.9 * s))


def test_stains_only_darken_and_cover_a_part():
    white = torch.ones(16, 3, 128, 128)
    result = damaged(Stains(p=1), white, 0)
    assert (result <= white).all()
    covered = (result < 0.98).any(dim=1).float().mean(dim=(1, 2))
    assert 0.005 < covered.mean() < 0.4
    assert (result[:, 0] >= result[:, 2]).all()  # brown: red passes, blue does not
    assert torch.equal(damaged(Stains(count=(0, 0), p=1), white, 0), white)


def test_vignetting_follows_the_fourth_power_of_the_cosine():
    white = torch.ones(1, 3, 101, 101)
    transform = Vignetting(strength=(0.75, 0.75), p=1)
    torch.manual_seed(0)
    params = transform.forward_parameters(white.shape)
    loss = 1 - transform(white, params=params)[0, 0]
    assert loss.min() < 0.02
    # Corners lose three quarters, where the centre is the page's: it is drawn within a tenth of it.
    assert loss.max().item() == pytest.approx(0.75, abs=0.1)


def test_jpeg_agrees_with_libjpeg():
    clean = generated_pages(1, height=128, width=128)
    for quality in (20, 50, 90):
        ours = damaged(JPEG(quality=(quality, quality), p=1), clean, 0)
        bgr = (clean[0].permute(1, 2, 0).numpy()[..., ::-1] * 255).round().astype(np.uint8)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        theirs = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] / np.float32(255)
        theirs = torch.from_numpy(theirs.copy()).permute(2, 0, 1)[None]
        assert psnr(ours, theirs).item() > psnr(theirs, clean).item() + 6
        assert psnr(ours, clean).item() == pytest.approx(psnr(theirs, clean).item(), abs=0.7)


def test_sensor_noise_has_the_variance_of_photons_and_electronics():
    for level in (0.3, 0.8):
        clean = torch.full((1, 3, 400, 400), level)
        noisy = damaged(SensorNoise(shot=(0.05, 0.05), read=(0.01, 0.01), p=1), clean, 0)
        expected = 0.05**2 * level**2 + 0.01**2
        assert (noisy**2).var(dim=(2, 3)).mean().item() == pytest.approx(expected, rel=0.05)


def test_faded_ink_leaves_the_support():
    page = torch.full((1, 3, 96, 96), 0.9)
    page[..., 40:44, 10:80] = 0.1
    faded = damaged(InkFading(strength=(0.8, 0.8), evenness=(1, 1), p=1), page, 0)
    assert faded[..., 41, 45].mean().item() == pytest.approx(0.1 + 0.8 * 0.8, abs=0.02)
    assert (faded[..., :30, :] - 0.9).abs().max() < 0.01


@pytest.mark.parametrize("kind", [BleedThrough, ShowThrough])
def test_the_other_side_is_seen_mirrored(kind):
    blank, written = torch.full((2, 1, 3, 128, 128), 0.9)
    written[..., 20:28, 10:60] = 0.1
    batch = torch.cat([blank, written])
    transform = kind(strength=(1, 1), p=1)
    torch.manual_seed(0)
    params = transform.forward_parameters(batch.shape)
    params |= {"askew": torch.zeros(2, 2)} | (
        {"coverage": torch.ones(2)} if kind is BleedThrough else {"blur": torch.zeros(2)}
    )
    seen = 0.9 - transform(batch, params=params)[0].mean(dim=0)
    assert seen[22:26, 70:115].mean() > 5 * seen[22:26, 10:55].mean() + 0.1
    alone = transform(
        written, params={key: value[1:] * 0 if key == "partner" else value[1:] for key, value in params.items()}
    )
    assert not torch.equal(alone, written)


def test_a_lamp_obeys_the_inverse_square():
    white = torch.ones(1, 3, 101, 101)
    transform = NearLamp(height=(0.5, 0.5), exposure=(0, 0), p=1)
    for seed in range(3):
        lit = damaged(transform, white, seed)[0, 0].double()
        # (light)^(−2/3) is 1 + r²/h²: a paraboloid, whose second differences are 2 / h² everywhere
        curved = (lit ** (-2 / 3))[10:-10:20, 10:-10:20]
        assert (curved.diff(n=2, dim=0) / 0.2**2).mean().item() == pytest.approx(2 / 0.5**2, rel=0.05)
        assert (curved.diff(n=2, dim=1) / 0.2**2).mean().item() == pytest.approx(2 / 0.5**2, rel=0.05)


def test_coloured_paper_takes_the_opposite_of_its_hue():
    white = torch.ones(1, 3, 32, 32)
    transform = ColouredPaper(strength=(1, 1), saturation=(1, 1), mottle=(0, 0), p=1)
    params = transform.forward_parameters(white.shape) | {"hue": torch.tensor([2 / 3])}
    red, green, blue = transform(white, params=params)[0].mean(dim=(1, 2)).tolist()
    assert blue == pytest.approx(1)
    assert red == pytest.approx(green, abs=1e-5)
    assert red < 0.6


def test_plates_out_of_register_are_shifted_whole():
    clean = torch.rand(1, 3, 40, 40)
    transform = Misregistration(shift=(3, 3), p=1)
    moved = damaged(transform, clean, 0)
    assert torch.equal(moved[:, 1], clean[:, 1])
    for channel in (0, 2):
        spectrum = torch.fft.rfft2(clean[0, channel]).conj() * torch.fft.rfft2(moved[0, channel])
        peak = int(torch.fft.irfft2(spectrum, s=(40, 40)).argmax())  # of the correlation
        down, right = ((each + 20) % 40 - 20 for each in divmod(peak, 40))
        assert 0 < (down**2 + right**2) ** 0.5 < 3.8


@pytest.mark.parametrize("height", [64, 96])
def test_moire_has_the_drawn_pitch(height):
    flat = torch.full((1, 3, height, 96), 0.5)
    transform = Moire(pitch=(8, 8), strength=(0.2, 0.2), colour=(1, 1), bend=(0, 0), p=1)
    waves = damaged(transform, flat, 0)[0] - 0.45
    for channel in waves:
        spectrum = torch.fft.fft2(channel).abs()
        peak = int(spectrum.argmax())
        down, right = torch.fft.fftfreq(height)[peak // 96], torch.fft.fftfreq(96)[peak % 96]
        assert (down**2 + right**2).sqrt().item() == pytest.approx(1 / 8, abs=0.012)
    assert waves.sum(dim=0).abs().max() < 0.01  # phases a third apart cancel


def test_roller_marks_come_back_with_each_turn():
    white = torch.ones(1, 3, 200, 200)
    transform = RollerStreaks(count=(1, 1), strength=(1, 1), width=(0.03, 0.03), turn=(0.2, 0.2), p=1)
    torch.manual_seed(1)
    dark = 1 - transform(white)[0].mean(dim=0)
    lane = max(dark.unbind(0) + dark.unbind(1), key=lambda line: line.sum())
    spectrum = torch.fft.rfft(lane - lane.mean()).abs()
    assert int(spectrum[2:].argmax()) + 2 == 5


def test_toner_is_densest_under_clouds_and_in_the_margin():
    white = torch.ones(4, 3, 200, 200)
    bare = damaged(TonerBlotches(coverage=(0, 0), margin=(0.1, 0.1), strength=(1, 1), p=1), white, 0)
    dark = (1 - bare).mean(dim=1)
    sides = torch.stack([dark[:, :8].mean((1, 2)), dark[:, -8:].mean((1, 2)), dark[..., :8].mean((1, 2)),
                         dark[..., -8:].mean((1, 2))])  # fmt: skip
    assert (sides.amax(dim=0) > 5 * dark[:, 60:140, 60:140].mean(dim=(1, 2))).all()
    covered = damaged(TonerBlotches(coverage=(1, 1), margin=(0, 0), strength=(1, 1), p=1), white, 0)
    assert 0.05 < (covered < 0.5).float().mean() < 0.5


@pytest.mark.parametrize("transform", [LetterpressWear(wear=(0.9, 0.9), p=1), LowInkLines(strength=(1, 1), p=1)])
def test_lost_print_shows_the_paper_and_leaves_it(transform):
    page = torch.full((1, 3, 96, 96), 0.9)
    page[..., 30:36, 10:80] = page[..., 45:80, 40:46] = 0.1
    worn = damaged(transform, page, 0)
    assert (worn[..., :20, :] - 0.9).abs().max() < 0.01
    inside = torch.cat([worn[0, 0, 31:35, 14:76].flatten(), worn[0, 0, 49:76, 41:45].flatten()])
    assert 0.1 < inside.mean() < 0.6
    assert inside.max() > 0.4


def test_low_ink_lines_are_even_or_at_random():
    oblique = (torch.arange(120)[:, None] + torch.arange(120)) % 12 < 6  # as much ink in each row and column
    page = torch.where(oblique, 0.1, 0.9).expand(16, 3, -1, -1).contiguous()
    transform = LowInkLines(period=(10, 10), width=(2, 2), strength=(1, 1), p=1)
    gone = (damaged(transform, page, 0) - page)[:, 0]
    even = 0
    for each in gone:
        profile = max((each.mean(dim=0), each.mean(dim=1)), key=lambda line: line.std())[10:-10]
        assert profile.max() > 0.1
        even += torch.allclose(profile[:-10], profile[10:], atol=0.02)
    assert 3 <= even <= 13  # half of them


def test_torn_edges_show_what_is_lost():
    torn, lost = TornEdges(p=1).with_mask(torch.full((4, 3, 128, 128), 0.5))
    assert 0.01 < (lost == 1).float().mean() < 0.6
    assert ((torn - 0.5).abs().amax(dim=1, keepdim=True)[lost == 0]).max() < 0.3  # a browned rim at most
