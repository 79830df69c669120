"""The degradations: what holds for all, and each against an independent reference."""

import pickle

import cv2
import kornia.augmentation as K
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import example, given, settings
from hypothesis import strategies as st

from manuscript_restore.config import build, config_dir
from manuscript_restore.degradation import (
    Degradation,
    DegradationPipeline,
    Fading,
    GaussianBlur,
    GaussianNoise,
    SaltAndPepper,
    Stains,
    YellowTint,
)
from manuscript_restore.errors import UserError
from manuscript_restore.metrics import psnr
from manuscript_restore.synthesis import generate_page

TRANSFORMS = [Fading, GaussianBlur, GaussianNoise, SaltAndPepper, Stains, YellowTint]
PRESETS = ["none", "light", "reference", "heavy"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """The pages are tiny: on a busy machine OpenMP's threads would only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pages() -> torch.Tensor:
    """Three generated pages, (3, 3, 64, 96) in [0, 1]."""
    stack = np.stack([generate_page(7, i, height=64, width=96) for i in range(3)])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float().div(255).contiguous()


def damaged(transform: Degradation, pages: torch.Tensor, seed: int, severity: float = 1.0) -> torch.Tensor:
    torch.manual_seed(seed)
    transform.severity = severity
    result: torch.Tensor = transform(pages)
    return result


def preset(name: str, *overrides: str) -> DegradationPipeline:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        config = compose("train", [f"degradation={name}", *overrides])
    pipeline: DegradationPipeline = build(config.degradation, "degradation")
    return pipeline


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
    # Few mantissa bits: a dozen roundings of at most 2^-8 (bfloat16) each
    torch.testing.assert_close(result.float(), damaged(kind(p=1), pages, 0), atol=0.05, rtol=0)


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
@pytest.mark.parametrize("seed", range(3))
def test_damage_grows_with_severity(kind, seed, pages):
    scores = [psnr(damaged(kind(p=1), pages, seed, s), pages).mean().item() for s in (0.25, 0.5, 1.0, 1.5)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > 1


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_replay_is_exact_and_draws_differ(kind, pages):
    transform = kind(p=0.7)
    torch.manual_seed(1)
    first = transform(pages)
    assert torch.equal(transform(pages, params=transform._params), first)
    assert torch.equal(damaged(kind(p=0.7), pages, 1), first)
    assert not torch.equal(damaged(kind(p=1), pages, 2), damaged(kind(p=1), pages, 3))


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_samples_of_a_batch_do_not_touch_each_other(kind, pages):
    other = pages.clone()
    other[1] = torch.rand(3, 64, 96)
    result, changed = damaged(kind(p=1), pages, 4), damaged(kind(p=1), other, 4)
    assert torch.equal(result[0], changed[0])
    assert torch.equal(result[2], changed[2])
    same = pages[:1].expand(3, -1, -1, -1).contiguous()
    draws = damaged(kind(p=1), same, 4)
    assert any(not torch.equal(draws[0], draw) for draw in draws[1:])  # each has parameters of its own


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


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_pure_functions_of_pages_and_seed(name, pages):
    pipeline = preset(name)
    state = torch.get_rng_state()
    first = pipeline(pages, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(preset(name)(pages, seed=3), first)
    assert torch.equal(pipeline.replay(pages, pipeline.params), pipeline(pages, seed=3))
    assert first.shape == pages.shape
    assert first.min() >= 0
    assert first.max() <= 1
    if name == "none":
        assert torch.equal(first, pages)
    else:
        assert not torch.equal(pipeline(pages, seed=4), first)


def test_presets_rise_in_damage(pages):
    scores = [
        torch.stack([psnr(pipeline(pages, seed=s), pages).mean() for s in range(12)]).mean().item()
        for pipeline in map(preset, ("light", "reference", "heavy"))
    ]
    assert scores == sorted(scores, reverse=True)


def test_severity_scales_a_whole_preset(pages):
    scores = []
    for severity in (0, 0.5, 1.0):
        pipeline = preset("reference", f"degradation.severity={severity}")
        scores.append(torch.stack([psnr(pipeline(pages, seed=s), pages).mean() for s in range(6)]).mean())
    assert scores[0] == 100  # the identity, at the cap
    assert scores[0] > scores[1] > scores[2]


def test_overrides_of_a_preset():
    assert preset("reference", "degradation.transforms.stains.p=0").transforms["stains"].p == 0
    assert "stains" not in preset("reference", "~degradation.transforms.stains").transforms


@pytest.mark.parametrize(
    "theirs",
    [
        "{_target_: kornia.augmentation.RandomMotionBlur, kernel_size: 5, angle: 30.0, direction: 0.5, p: 1.0}",
        "{_target_: kornia.augmentation.RandomPlasmaShadow, p: 1.0}",
    ],
)
def test_a_users_kornia_augmentation_composes_and_obeys_severity(theirs, pages):
    scores = []
    for severity in (0.0, 0.5, 1.0):
        pipeline = preset("none", f"+degradation.transforms.theirs={theirs}", f"degradation.severity={severity}")
        result = pipeline(pages, seed=0)
        assert torch.equal(pipeline(pages, seed=0), result)
        scores.append(psnr(result, pages).mean().item())
    assert scores[0] == 100
    assert scores[0] > scores[1] > scores[2]


def test_a_users_filter_composes_in_kornias_container(pages):
    median = "{_target_: kornia.filters.MedianBlur, kernel_size: 3}"
    theirs = f"{{_target_: kornia.augmentation.ImageSequential, _args_: [{median}]}}"
    pipeline = preset("light", f"+degradation.transforms.theirs={theirs}")
    result = pipeline(pages, seed=0)
    assert not torch.equal(result, preset("light")(pages, seed=0))
    assert torch.equal(pipeline.replay(pages, pipeline.params), result)


@pytest.mark.parametrize(
    "theirs", [K.RandomPlasmaShadow(p=0.5), K.RandomGaussianNoise(p=0.5), K.RandomErasing(p=0.5)], ids=repr
)
def test_a_users_draws_are_replayed_and_leave_the_random_state(theirs, pages):
    pipeline = DegradationPipeline({"theirs": theirs, "ours": GaussianNoise(p=0.5)})
    state = torch.get_rng_state()
    result = pipeline(pages, seed=0)
    assert torch.equal(pipeline.replay(pages, pipeline.params), result)
    assert torch.equal(pipeline(pages, seed=0), result)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_callers_cuda_generators_are_not_seeded(pages, monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("CUDA was seeded"))
    preset("reference")(pages, seed=0)


def test_moving_or_casting_the_pipeline_does_not_change_the_draw(pages):
    pipeline = DegradationPipeline({"ours": GaussianNoise(p=0.5), "theirs": K.RandomContrast((0.5, 0.9), p=0.5)})
    expected = pipeline(pages, seed=0)
    assert torch.equal(pipeline.double()(pages, seed=0), expected)
    assert torch.equal(pipeline.half()(pages, seed=0), expected)


def test_a_pipeline_survives_pickling_and_stays_small(pages):
    pipeline = preset("reference")
    expected = pipeline(pages, seed=0)
    pipeline.params = {}
    data = pickle.dumps(pipeline)
    assert len(data) < 100_000
    assert torch.equal(pickle.loads(data)(pages, seed=0), expected)


def test_inference_mode_gives_the_same(pages):
    pipeline = preset(
        "reference", *(f"degradation.transforms.{name}.p=1" for name in preset("reference").transforms)
    )
    with torch.inference_mode():
        result = pipeline(pages, seed=0)
    assert torch.equal(pipeline(pages, seed=0), result)


def test_ours_run_inside_kornias_container(pages):
    sequence = K.AugmentationSequential(Stains(p=1), K.RandomGamma(p=1), GaussianNoise(p=1), data_keys=["input"])
    result = sequence(pages)
    assert result.shape == pages.shape
    assert torch.equal(sequence(pages, params=sequence._params), result)


def test_no_graph_and_no_half_precision(pages):
    pipeline = preset("reference")
    expected = pipeline(pages, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = pipeline(pages.clone().requires_grad_(), seed=0)
    assert not result.requires_grad
    torch.testing.assert_close(result, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", PRESETS)
def test_cpu_and_cuda_give_the_same_picture(name, pages):
    pipeline = preset(name)
    difference = (pipeline(pages, seed=0) - pipeline(pages.cuda(), seed=0).cpu()).abs().max()
    assert difference <= 1 / 255


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fading(p=1.5), r"Fading\.p=1\.5: must be between 0 and 1"),
        (lambda: Fading(alpha=(0.9, 0.6)), r"Fading\.alpha=\(0\.9, 0\.6\): must be \[low, high\]"),
        (lambda: Fading(alpha=(0.5, 1.2)), "≤ 1"),
        (lambda: GaussianNoise(sigma=(-0.1, 0.1)), "0 ≤ low"),
        (lambda: GaussianNoise(sigma=0.1), r"GaussianNoise\.sigma=0\.1"),
        (lambda: Fading(p="often"), r"Fading\.p=often"),
        (lambda: GaussianNoise(sigma=(0, float("inf"))), r"GaussianNoise\.sigma=\(0, inf\)"),
        (lambda: GaussianBlur(kernel_size=(2, 4)), "must be odd"),
        (lambda: GaussianBlur(kernel_size=5), r"GaussianBlur\.kernel_size=5: must be whole numbers \[low, high\]"),
        (lambda: GaussianBlur(kernel_size=(3.5, 7)), r"kernel_size=\(3\.5, 7\)"),
        (lambda: Stains(count=(3, 1)), r"Stains\.count"),
        (lambda: Stains(count=3), r"Stains\.count=3: must be whole numbers \[low, high\]"),
        (lambda: DegradationPipeline({}, severity=-1), r"degradation\.severity=-1"),
        (lambda: DegradationPipeline({}, severity=float("inf")), r"degradation\.severity=inf"),
        (
            lambda: DegradationPipeline({"a": torch.nn.Identity()}),
            r"transforms\.a: Identity is no Kornia augmentation",
        ),
        (
            lambda: DegradationPipeline({"a": K.RandomCrop((8, 8), p=1.0)})(torch.rand(1, 3, 9, 9), seed=0),
            r"transforms\.a: makes \(1, 3, 8, 8\) of \(1, 3, 9, 9\)",
        ),
        (lambda: DegradationPipeline({"a": {"p": 1}}), r"degradation\.transforms\.a: needs a _target_"),
        (lambda: preset("reference", "+degradation.transforms.stains.size=3"), "size"),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(UserError, match=message):
        make()
