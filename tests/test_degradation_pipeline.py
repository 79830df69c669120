"""The pipeline and its presets: composition, severity, masks, replay, mistakes."""

import inspect
import pickle

import kornia.augmentation as K
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from manuscript_restore.config import build, config_dir
from manuscript_restore.degradation import (
    BleedThrough,
    DegradationPipeline,
    Fading,
    GaussianBlur,
    GaussianNoise,
    Mixture,
    Stains,
    YellowTint,
    params_from_json,
    params_to_json,
)
from manuscript_restore.errors import UserError
from manuscript_restore.metrics import psnr
from tests.damage import TRANSFORMS, generated_pages, preset

PRESETS = ["none", "light", "reference", "heavy", "palm_leaf", "paper", "microfilm", "photo", "wild", "local"]


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


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_pure_functions_of_pages_and_seed(name, pages):
    pipeline = preset(name)
    state = torch.get_rng_state()
    first = pipeline(pages, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(preset(name)(pages, seed=3), first)
    assert torch.equal(pipeline.replay(pages, pipeline.params), pipeline(pages, seed=3))
    assert torch.equal(pipeline.replay(pages, params_from_json(params_to_json(pipeline.params))), first)
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


def drawn(pipeline: DegradationPipeline) -> torch.Tensor:
    """(transforms, pages): which page got what."""
    return torch.stack([params["batch_prob"] for params in pipeline.params.values()])


def test_number_per_page(pages):
    theirs = K.RandomGamma((2.0, 2.0), p=0.5)
    kinds = {"a": Fading(p=0.5), "tint": YellowTint(p=0.1), "theirs": theirs, "never": GaussianNoise(p=0)}
    pipeline = DegradationPipeline(kinds, num_per_page=[1, 2])
    counts = torch.zeros(4)
    for seed in range(60):
        result = pipeline(pages, seed=seed)
        assert ((drawn(pipeline).sum(dim=0) >= 1) & (drawn(pipeline).sum(dim=0) <= 2)).all()
        counts += drawn(pipeline).sum(dim=1)
        same = drawn(pipeline).sum(dim=0) == drawn(pipeline)[1]  # at most tinted, which leaves red
        assert torch.equal((result == pages)[:, 0].flatten(1).all(dim=1), same)
    assert counts[3] == 0
    assert counts[1] < 0.5 * min(counts[0], counts[2])
    everything = DegradationPipeline(kinds, num_per_page=[9, 9])
    everything(pages, seed=0)
    assert drawn(everything).sum(dim=1).tolist() == [3, 3, 3, 0]
    nothing = DegradationPipeline(kinds, num_per_page=[0, 0])
    assert torch.equal(nothing(pages, seed=0), pages)


def test_order_is_shuffled_and_replayed(pages):
    pipeline = DegradationPipeline({name: Fading(p=1) for name in "abcde"}, order="shuffled")
    orders = set()
    for seed in range(5):
        result = pipeline(pages, seed=seed)
        orders.add("".join(pipeline.params))
        assert torch.equal(pipeline.replay(pages, params_from_json(params_to_json(pipeline.params))), result)
    assert len(orders) > 2
    assert all(sorted(order) == list("abcde") for order in orders)


def test_a_second_round_is_drawn_anew_and_at_its_own_severity(pages):
    twice = DegradationPipeline({"blur": GaussianBlur(p=1), "fading": Fading(p=1)}, rounds=[1.0, 0.5])
    result = twice(pages, seed=0)
    assert list(twice.params) == ["blur", "fading", "blur/2", "fading/2"]
    once = DegradationPipeline({"blur": GaussianBlur(p=1), "fading": Fading(p=1)})
    second = DegradationPipeline(once.transforms, severity=0.5)
    halfway = once.replay(pages, {key: twice.params[key] for key in ("blur", "fading")})
    expected = second.replay(halfway, {key: twice.params[f"{key}/2"] for key in ("blur", "fading")})
    torch.testing.assert_close(result, expected)


def test_a_range_of_severities_is_drawn_for_every_page():
    white = torch.ones(400, 3, 2, 2)
    theirs = K.RandomGamma((1.0, 1.0), (0.5, 0.5), p=1)  # halves the light, and knows no severity
    for transform in (Fading(alpha=(0.5, 0.5), p=1), theirs):
        pipeline = DegradationPipeline({"halved": transform}, severity=[0.2, 0.8])
        lost = 2 * (1 - pipeline(white, seed=0)[:, 0, 0, 0])
        assert lost.min() >= 0.2
        assert lost.max() <= 0.8
        assert lost.mean().item() == pytest.approx(0.5, abs=0.035)  # 4 standard errors
        assert lost.std().item() == pytest.approx(0.6 / 12**0.5, rel=0.1)  # uniform
        written = params_from_json(params_to_json(pipeline.params))
        assert torch.equal(pipeline.replay(white, written), pipeline(white, seed=0))


@pytest.mark.parametrize("severity", [1.0, [0.5, 1.5]])
def test_some_pages_stay_sound_and_some_get_another_round(severity):
    white = torch.ones(1000, 3, 2, 2)
    kinds = {"fading": Fading(alpha=(0.5, 0.5), p=1), "theirs": K.RandomGamma((1.0, 1.0), (0.5, 0.5), p=1)}
    pipeline = DegradationPipeline(
        kinds, severity=severity, rounds=[1.0, 0.5, 0.1], rounds_per_page=[1, 2], sound=0.3
    )
    degraded = pipeline(white, seed=0)
    sound = (degraded == white).flatten(1).all(dim=1)
    assert sound.float().mean().item() == pytest.approx(0.3, abs=0.06)  # 4 standard errors
    drawn = pipeline.params["severity"]  # (rounds, pages)
    assert torch.equal(drawn[0] == 0, sound)
    assert (drawn[2] == 0).all()
    assert (drawn[1, ~sound] > 0).float().mean().item() == pytest.approx(0.5, abs=0.08)
    twice = drawn[1] > 0
    torch.testing.assert_close(drawn[1, twice], 0.5 * drawn[0, twice])
    assert [pipeline.applied(i) for i in range(1000)] == [() if each else (*kinds,) for each in sound]


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_the_map_says_where_the_page_was_damaged(name, pages):
    pipeline = preset(name)
    degraded, damage_map = pipeline.with_map(pages, seed=2)
    assert torch.equal(degraded, pipeline(pages, seed=2))
    assert damage_map.shape == (3, 1, 64, 96)
    assert damage_map.min() >= 0
    assert damage_map.max() <= 1
    change = (degraded - pages).abs().amax(dim=1, keepdim=True)
    assert (change[damage_map == 0] < 2 / 255).all()


def test_the_map_is_the_soft_union_of_the_masks(pages):
    kinds = {"stains": Stains(p=1), "blur": GaussianBlur(p=1), "theirs": K.RandomGamma((2.0, 2.0), p=1)}
    pipeline = DegradationPipeline(kinds)
    _, damage_map = pipeline.with_map(pages, seed=1)
    kept, before = torch.ones(3, 1, 64, 96), pages
    for name in kinds:
        after = pipeline.replay(before, {name: pipeline.params[name]})
        kept = kept * (1 - (4 * (after - before).abs().amax(dim=1, keepdim=True)).clamp(max=1))
        before = after
    torch.testing.assert_close(damage_map, 1 - kept)


def test_a_page_alone_bleeds_through_onto_itself(pages):
    pipeline = DegradationPipeline({"bleed": BleedThrough(p=1)})
    assert not torch.equal(pipeline(pages[:1], seed=0), pages[:1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRANSFORMS)
def test_every_transform_has_a_config_with_its_own_defaults(kind):
    with initialize_config_dir(config_dir(), version_base="1.3"):
        choices = ["degradation=none", "+degradation/transforms=[" + snake(kind) + "]"]
        config = OmegaConf.to_container(compose("train", choices).degradation.transforms)
    (name,) = config
    assert name == snake(kind)
    assert config[name].pop("_target_") == f"manuscript_restore.degradation.{kind.__name__}"
    defaults = {key: each.default for key, each in inspect.signature(kind).parameters.items()}
    assert {k: tuple(v) if isinstance(v, list) else v for k, v in config[name].items()} == defaults


def snake(kind: type) -> str:
    if kind.__name__.isupper():
        return kind.__name__.lower()
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")


def test_a_preset_of_the_users_needs_only_yaml(tmp_path, pages):
    (tmp_path / "degradation").mkdir()
    (tmp_path / "degradation" / "mine.yaml").write_text(
        "defaults:\n  - none\n  - transforms: [foxing, water_stains, jpeg]\n  - _self_\n"
        "order: shuffled\nnum_per_page: [1, 2]\nrounds: [1.0, 0.5]\n"
        "transforms:\n  foxing: {count: [3, 4], p: 0.9}\n"
    )
    override = f"hydra.searchpath=[file://{tmp_path}]"
    pipeline = preset("mine", override)
    assert list(pipeline.transforms) == ["foxing", "water_stains", "jpeg"]
    assert pipeline.transforms["foxing"].counts == {"count": (3, 4)}
    assert not torch.equal(pipeline(pages, seed=0), pages)
    with initialize_config_dir(config_dir(), version_base="1.3"):
        config = compose("train", ["degradation@val_degradation=mine", override])
    build(config.val_degradation, "val_degradation")


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
        (lambda: DegradationPipeline({}, rounds=[1.0, -0.5]), r"degradation\.rounds=-0\.5"),
        (lambda: DegradationPipeline({}, severity=[1.5, 0.5]), r"degradation\.severity=\[1\.5, 0\.5\]: must be"),
        (lambda: DegradationPipeline({}, sound=1.5), r"degradation\.sound=1\.5: must be between 0 and 1"),
        (lambda: DegradationPipeline({}, rounds_per_page=[1, 2]), r"degradation\.rounds_per_page=\[1, 2\].* ≤ 1"),
        (
            lambda: DegradationPipeline({"a": Fading()}, severity=[0, 1]).replay(
                torch.rand(1, 3, 9, 9), {"a": {}}
            ),
            r"degradation\.severity=\[0, 1\]: the parameters lack",
        ),
        (lambda: DegradationPipeline({"severity": Fading()}), r"transforms\.severity: a name must not"),
        (lambda: DegradationPipeline({}, order="random"), r"degradation\.order=random: must be fixed or shuffled"),
        (lambda: DegradationPipeline({}, num_per_page=3), r"degradation\.num_per_page=3: must be whole numbers"),
        (lambda: DegradationPipeline({"a/2": Fading()}), r"transforms\.a/2: a name must not contain"),
        (
            lambda: DegradationPipeline({}).replay(torch.rand(1, 3, 9, 9), {"gone": {}}),
            r"degradation\.transforms\.gone: was drawn, but is not in this pipeline",
        ),
        (lambda: params_from_json("[1"), "not what params_to_json writes"),
        (lambda: DegradationPipeline({"a": {"p": 1}}), r"degradation\.transforms\.a: needs a _target_"),
        (lambda: preset("reference", "+degradation.transforms.stains.size=3"), "size"),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.slow
def test_mixture_takes_each_page_from_one_preset():
    weights = "{reference: 2, paper: 1, palm_leaf: 0, wild: 0, local: 0, none: 1}"
    mixture = preset("mixture", f"degradation.weights={weights}")
    pages = torch.rand(12, 3, 24, 24)
    counts, batches = dict.fromkeys(("reference", "paper", "none"), 0), 0
    for seed in range(20):
        degraded = mixture(pages, seed=seed)
        sound = (degraded == pages).flatten(1).all(dim=1)
        batches += bool(sound.any() and not sound.all())
        counts["none"] += int(sound.sum())
        drawn = torch.multinomial(mixture.weights, 12, True, generator=torch.Generator().manual_seed(seed))
        for number, name in enumerate(mixture.pipelines):
            chosen = drawn == number
            if chosen.any() and name in counts:
                torch.testing.assert_close(degraded[chosen], preset(name)(pages[chosen], seed=seed))
                counts[name] += 0 if name == "none" else int(chosen.sum())
    assert batches > 15, "sound and damaged pages lie side by side"
    assert 90 < counts["reference"] < 150
    assert 40 < counts["paper"] < 80
    assert counts["none"] >= 40
    assert torch.equal(mixture(pages, seed=3), mixture(pages, seed=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pipelines": {}}, "a weight above 0"),
        ({"pipelines": {"a": DegradationPipeline(), "b": None}, "weights": {"a": 0}}, "a weight above 0"),
        ({"pipelines": {"a": DegradationPipeline()}, "weights": {"a": -1}}, "none below 0"),
        ({"pipelines": {"a": DegradationPipeline()}, "weights": {"z": 1}}, r"degradation\.weights\.z: no such"),
    ],
)
def test_mistakes_in_a_mixture_are_explained(options, message):
    with pytest.raises(UserError, match=message):
        Mixture(**options)
