"""The restorer as a function of a picture: types, sizes, settings, evidence."""

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from skimage import color, measure
from torch import Tensor

import manuscript_restore
from manuscript_restore.checkpoint import export, load_model
from manuscript_restore.errors import UserError
from manuscript_restore.images import to_picture
from manuscript_restore.inference import Restorer, Settings
from manuscript_restore.inference.evidence import Band, BlockMeans, Evidence, Scores
from manuscript_restore.inference.restorer import DOUBT, SURELY
from manuscript_restore.inference.tone import SAMPLES, sample_starts
from manuscript_restore.inference.torch_engine import TorchBackend
from manuscript_restore.models import build_model
from manuscript_restore.released import identify


class Function:
    """A backend that is a plain function of tensors, and counts its calls."""

    description, concurrency = "function", 2

    def __init__(self, function=lambda tiles: tiles, *, has_maps: bool = False) -> None:
        self.function, self.has_maps = function, has_maps
        self.num_tiles = 0

    def default_batch(self, tile: int) -> int:
        return 2

    def look(self, tiles: np.ndarray) -> np.ndarray:
        return tiles.mean(axis=(1, 2, 3))[:, None]

    def __call__(self, tiles: np.ndarray, looked: np.ndarray | None = None) -> np.ndarray:
        self.num_tiles += len(tiles)
        self.looked = looked
        return self.function(torch.from_numpy(np.ascontiguousarray(tiles))).numpy()


class Halved(Function):
    """Without PyTorch, whose own threads are not in a fork either."""

    def __call__(self, tiles: np.ndarray, looked: np.ndarray | None = None) -> np.ndarray:
        return tiles * np.float32(0.5)


def restorer(function=lambda tiles: tiles, *, has_maps: bool = False, **settings) -> Restorer:
    backend = Function(function, has_maps=has_maps)
    return Restorer(backend, settings=Settings(**{"tile": 64, "overlap": 16, **settings}))


def page(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_package() -> None:
    assert manuscript_restore.Restorer is Restorer
    with pytest.raises(AttributeError, match="restore_all"):
        manuscript_restore.restore_all  # noqa: B018


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pillow_pictures_keep_mode_and_size(mode: str) -> None:
    rng = np.random.default_rng(0)
    shape = (75, 90, len(Image.new(mode, (1, 1)).getbands()))
    array = rng.integers(0, 2**16 if mode == "I;16" else 256, shape)
    array = array.astype(np.uint16 if mode == "I;16" else np.uint8)
    picture = Image.fromarray(array.squeeze())
    assert picture.mode == mode
    restored = restorer().restore(picture)
    assert (restored.mode, restored.size) == (mode, (90, 75))
    np.testing.assert_array_equal(np.asarray(restored), np.asarray(picture))
    inverted = np.asarray(restorer(lambda tiles: 1 - tiles, page_tone=False).restore(picture)).reshape(shape)
    num_colours = shape[2] if shape[2] % 2 else shape[2] - 1
    np.testing.assert_array_equal(
        inverted[..., :num_colours], np.iinfo(array.dtype).max - array[..., :num_colours]
    )
    np.testing.assert_array_equal(inverted[..., num_colours:], array[..., num_colours:])  # alpha


def test_palettes_become_rgb() -> None:
    picture = Image.new("P", (20, 20))
    assert restorer().restore(picture).mode == "RGB"


@pytest.mark.parametrize(("dtype", "value"), [(np.int32, 65535 * 2 // 5), (np.float32, 0.4)])
def test_grey_of_32_bits_becomes_rgb(dtype: type, value: float) -> None:
    restored = restorer().restore(Image.fromarray(np.full((20, 20), value, dtype)))
    np.testing.assert_array_equal(np.asarray(restored), np.full((20, 20, 3), 102))


def test_either_byte_order_will_do() -> None:
    array = np.random.default_rng(0).integers(0, 2**16, (70, 90)).astype(">u2")
    restored = restorer().restore(array)
    assert restored.dtype == array.dtype
    np.testing.assert_array_equal(restored, array)
    picture = Image.fromarray(array)
    assert picture.mode == "I;16B"
    np.testing.assert_array_equal(np.asarray(restorer().restore(picture)), array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(70, 100), (70, 100, 1), (70, 100, 3), (1, 1, 3), (5, 200, 4)])
def test_arrays_keep_shape_and_type(dtype: type, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape)
    array = (
        (array * np.iinfo(dtype).max).astype(dtype) if np.issubdtype(dtype, np.integer) else array.astype(dtype)
    )
    restored = restorer().restore(array)
    assert (restored.shape, restored.dtype) == (array.shape, array.dtype)
    assert restored.flags.c_contiguous, "as it came"
    np.testing.assert_allclose(restored, array, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_tensors_keep_shape_and_type(dtype: torch.dtype) -> None:
    image = page(3, 70, 100)
    image = (image * 255).to(dtype) if dtype is torch.uint8 else image.to(dtype)
    restored = restorer().restore(image)
    assert restored.dtype == dtype
    torch.testing.assert_close(restored, image, atol=1e-3 if dtype is torch.float16 else 1e-6, rtol=0)


@pytest.mark.parametrize(
    "image",
    [torch.rand(1, 3, 8, 8), torch.rand(5, 8, 8), torch.rand(3, 0, 8), torch.zeros(3, 8, 8, dtype=torch.int64),
     np.zeros((2, 2, 2, 2)), np.zeros((4, 4), np.int32), np.zeros((4, 4), bool), np.zeros((4, 4), np.longdouble)],
)  # fmt: skip
def test_other_shapes_and_types_are_refused(image) -> None:
    with pytest.raises(UserError, match="must be"):
        restorer().restore(image)


@pytest.mark.parametrize("image", [torch.rand(8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8), [[[0.5]]]])
def test_evidence_refuses_them_too(image) -> None:
    with pytest.raises(UserError, match=r"must be|takes (a )?float"):
        restorer().restore_with_evidence(image)


def test_evidence_is_of_the_kind_of_the_page() -> None:
    original = page(3, 70, 90)
    of_tensor, of_array = (
        restorer(of_bright_pixels, has_maps=True, confidence=True).restore_with_evidence(picture)
        for picture in (original, original.numpy())
    )
    for name in ("image", "change", "confidence", "damage", "ink"):
        tensor, array = getattr(of_tensor, name), getattr(of_array, name)
        assert tensor.dtype == torch.float32
        assert array.dtype == np.float32
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_floats_of_another_range_are_refused() -> None:
    with pytest.raises(UserError, match="values up to 255"):
        restorer().restore(np.full((8, 8, 3), 255.0, np.float32))
    with pytest.raises(UserError, match="values up to 255"):
        restorer().restore_with_evidence(torch.full((3, 8, 8), 255.0))
    for least in (-255, -np.inf):
        with pytest.raises(UserError, match="values down to -"):
            restorer().restore(np.full((8, 8, 3), least, np.float32))
    with pytest.raises(UserError, match="no numbers"):
        restorer().restore(np.full((8, 8), np.nan, np.float32))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that share memory")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what is tried here
def test_a_fork_restores_too() -> None:
    original = np.random.default_rng(0).random((70, 90, 3), np.float32)
    darkened = Restorer(Halved(), settings=Settings(tile=64))
    expected = darkened.restore(original)  # threads are there now, and not in the fork
    process = multiprocessing.get_context("fork").Process(target=darkened.restore, args=(original,))
    process.start()
    process.join(30)
    hangs = process.is_alive()
    process.kill()
    assert not hangs
    assert process.exitcode == 0
    np.testing.assert_array_equal(darkened.restore(original), expected)


def test_no_graph_is_built() -> None:
    assert not restorer().restore(page(3, 70, 90).requires_grad_()).requires_grad


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_network_sees_pages_upright(orientation: int) -> None:
    """What is drawn at the upright page's top left must be there in the stored page that EXIF turns."""

    def mark(tiles: Tensor) -> Tensor:
        marked = tiles.clone()
        marked[:, 0, :10, :4] = 1.0
        return marked

    stored = page(3, 40, 60).numpy()
    bands = restorer(mark).bands(
        lambda top, bottom: stored[:, top:bottom], height=40, width=60, orientation=orientation
    )
    restored = np.concatenate([band.restored for band in bands], axis=1)

    def upright(picture: np.ndarray) -> np.ndarray:
        image = Image.fromarray(to_picture(picture))
        image.getexif()[274] = orientation
        return np.asarray(ImageOps.exif_transpose(image))

    expected = upright(stored).copy()
    expected[:10, :4, 0] = 255
    np.testing.assert_array_equal(upright(restored), expected)


def test_strength_blends() -> None:
    original = page(3, 80, 80)
    invert = lambda tiles: 1 - tiles  # noqa: E731
    torch.testing.assert_close(restorer(invert, strength=0.0).restore(original), original)
    blended = restorer(invert, strength=0.25).restore(original)
    torch.testing.assert_close(blended, 0.75 * original + 0.25 * (1 - original), atol=1e-5, rtol=0)


def test_keep_colour_keeps_the_support_and_takes_the_ink() -> None:
    original = torch.empty(3, 96, 96)
    original[:] = torch.tensor([0.8, 0.6, 0.4])[:, None, None]
    ink = torch.zeros(96, 96, dtype=torch.bool)
    ink[20:24, 10:80] = ink[50:54, 10:80] = True
    original[:, ink] = torch.tensor([0.6, 0.45, 0.3])[:, None]  # faded

    def repaint(tiles: Tensor) -> Tensor:
        restored = torch.full_like(tiles, 0.95)  # white paper, black ink
        restored[(tiles[:, :1] < 0.7).expand_as(tiles)] = 0.05
        return restored

    kept = restorer(repaint, keep_colour=True, tile=96, overlap=0).restore(original)
    torch.testing.assert_close(kept[:, ~ink], original[:, ~ink], atol=0.01, rtol=0)
    assert kept[:, ink].max() < 0.06
    plain = restorer(repaint, tile=96, overlap=0).restore(original)
    assert plain[:, ~ink].min() > 0.9


def test_flips_average_four_views() -> None:
    def brighter_left(tiles: Tensor) -> Tensor:
        ramp = torch.linspace(0.2, -0.2, tiles.shape[-1])
        return tiles + ramp

    original = torch.full((3, 64, 64), 0.5)
    one, four = (restorer(brighter_left, flips=f).restore(original) for f in (False, True))
    assert (one - original).abs().max() > 0.19
    assert (four - original).abs().max() < 0.03  # the shifts keep it from being 0


def test_confidence_is_where_views_agree() -> None:
    def unsure(tiles: Tensor) -> Tensor:
        """Draws what depends on where in the view it is, in dark places only."""
        return torch.where(tiles < 0.5, torch.linspace(0, 1, tiles.shape[-1]).expand_as(tiles), tiles)

    original = torch.full((3, 64, 64), 0.8)
    original[:, 10:20, :12] = 0.2
    result = restorer(unsure, confidence=True).restore_with_evidence(original)
    assert result.confidence is not None
    assert result.confidence[30:].min() > 0.999
    assert result.confidence[10:20, :8].max() < 0.2
    torch.testing.assert_close(result.image, unsure(original[None])[0])  # measured, not averaged
    assert restorer().restore_with_evidence(original).confidence is None


def of_bright_pixels(tiles: Tensor) -> Tensor:
    """A network with maps that inverts what is bright, and takes what is dark for ink."""
    mean = tiles.mean(dim=1, keepdim=True)
    damage = (4 * mean - 2).clamp(0, 1)
    return torch.cat([tiles + damage * (1 - 2 * tiles), damage, 1 - mean], dim=1)


@pytest.mark.parametrize(
    "settings",
    [{}, {"flips": True}, {"keep_colour": True}, {"strength": 0.6}, {"page_tone": False}, {"tile": 300},
     {"flips": True, "keep_colour": True, "strength": 0.9}],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_sound_stays_to_the_bit(channels: int, settings: dict) -> None:
    original = page(channels, 150, 200)
    result = restorer(of_bright_pixels, has_maps=True, **settings).restore(original)
    sound = original.expand(3, -1, -1).mean(dim=0) <= 0.5
    assert (result[:, sound] == original[:, sound]).all()
    assert (result[:, ~sound] - original[:, ~sound]).abs().mean() > 0.03


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_sound_stays_in_whole_numbers_too(dtype: type) -> None:
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (150, 200, 3)).astype(dtype)
    restored = restorer(of_bright_pixels, has_maps=True).restore(array)
    sound = array.mean(axis=2) < 0.499 * np.iinfo(dtype).max
    np.testing.assert_array_equal(restored[sound], array[sound])
    assert (restored[~sound] != array[~sound]).mean() > 0.9


def test_the_maps_are_the_networks() -> None:
    original = page(3, 150, 200)
    result = restorer(of_bright_pixels, has_maps=True).restore_with_evidence(original)
    expected = of_bright_pixels(original[None])[0]
    assert result.damage is not None
    assert result.ink is not None
    torch.testing.assert_close(result.damage, expected[3], atol=1e-5, rtol=0)
    torch.testing.assert_close(result.ink, expected[4], atol=1e-5, rtol=0)
    plain = restorer().restore_with_evidence(original)
    assert plain.damage is plain.ink is None


def test_a_sound_page_is_left_as_it_is() -> None:
    """Small doubts all over a page do not change it; a spot among them is restored all the same."""
    original = 0.4 * page(3, 500, 300)
    original[:, ::16, ::16] = 0.6  # damage of 0.4 in every 256th pixel
    result = restorer(of_bright_pixels, has_maps=True).restore_with_evidence(original)
    assert torch.equal(result.image, original)
    assert result.damage is not None
    assert not result.damage.any()
    spotted = original.clone()
    spotted[:, 60:100, 126:174] = 0.9  # where no sample is taken
    result = restorer(of_bright_pixels, has_maps=True).restore_with_evidence(spotted)
    assert result.damage is not None
    assert (result.damage[70:90, 140:160] == 1).all()
    assert torch.equal(result.image[:, 200:], original[:, 200:])
    small = 0.4 * page(3, 60, 60)
    small[:, :2, :30] = 0.6
    assert torch.equal(restorer(of_bright_pixels, has_maps=True).restore(small), small)


@pytest.mark.parametrize(("width", "lighter"), [(80, False), (300, True)], ids=["in places", "as a whole"])
def test_only_a_page_that_is_damaged_as_a_whole_becomes_lighter(width: int, lighter: bool) -> None:
    """A faded page does; a place that got lighter than the paper all about it would be a blotch."""

    def lightens(tiles: Tensor) -> Tensor:
        damage = (tiles.mean(dim=1, keepdim=True) < 0.45).float()
        return torch.cat([tiles + 0.4 * damage, damage, 0 * damage], dim=1)

    original = torch.full((3, 400, 400), 0.5)
    original[..., :width] = 0.4  # stained, or faded
    restored = restorer(lightens, has_maps=True).restore(original)
    assert torch.equal(restored[..., width:], original[..., width:])
    place = restored[..., 100:300, 10 : width - 40]  # the support is smooth: its rim is not
    torch.testing.assert_close(place, torch.full_like(place, 0.8 if lighter else 0.5), atol=0.01, rtol=0)


@pytest.mark.parametrize(("bright", "doubt"), [(0.2, DOUBT), (0.05, 0), (0.7, SURELY)])
def test_doubtful_places_follow_their_page(bright: float, doubt: float) -> None:
    """The whole page is looked at as more surely damaged where a good part of it is damaged, and only there."""
    original = torch.full((3, 400, 400), 0.3)
    original[..., : round(400 * bright)] = 0.9
    inverter = restorer(of_bright_pixels, has_maps=True)
    inverter.restore(original)
    looks = [original[..., left : left + 64].mean() for left in sample_starts(400, tile=64, count=SAMPLES[1])]
    assert inverter.backend.looked.item() == pytest.approx(float(torch.stack(looks).mean()) + doubt, abs=1e-5)


def test_the_change_map_is_scikit_images() -> None:
    original = page(3, 70, 90)
    result = restorer(lambda tiles: tiles * 0.9).restore_with_evidence(original)
    first, second = (color.rgb2lab(x.double().permute(1, 2, 0).numpy()) for x in (original, original * 0.9))
    np.testing.assert_allclose(result.change.numpy(), color.deltaE_ciede2000(first, second), atol=0.02)


@pytest.mark.parametrize("longest", [40, 100, 1000])
def test_block_means_are_scikit_images(longest: int) -> None:
    picture = page(3, 77, 130).numpy()
    means = BlockMeans(77, 130, longest=longest, channels=3)
    for top in range(0, 77, 10):
        means.add(top, picture[:, top : top + 10])
    factor = means.factor
    assert max(means.means().shape) <= longest
    counts = measure.block_reduce(np.ones((77, 130)), (factor, factor), np.sum)
    expected = measure.block_reduce(picture, (1, factor, factor), np.sum) / counts
    np.testing.assert_allclose(means.means(), expected, rtol=1e-5)


def test_scores_describe_the_change() -> None:
    original, restored = page(3, 61, 83).numpy(), page(3, 61, 83, seed=1).numpy()
    scores = Scores()
    for top in range(0, 61, 7):
        rows = slice(top, top + 7)
        scores.add(
            Band(
                top, original[:, rows], restored[:, rows], np.full((len(original[0, rows]), 83), 0.05, np.float32)
            )
        )
    lab = (color.rgb2lab(x.transpose(1, 2, 0)) for x in (original[:, ::5, ::5], restored[:, ::5, ::5]))
    change = color.deltaE_ciede2000(*lab)
    summary = scores.summary()
    assert summary["change_mean"] == pytest.approx(change.mean(), rel=1e-3)
    assert summary["change_95th_percentile"] == pytest.approx(
        np.percentile(change, 95, method="inverted_cdf"), abs=0.06
    )
    assert summary["changed_share"] == pytest.approx((change > 2.3).mean(), abs=0.01)
    assert summary["confidence_mean"] == pytest.approx(0.5, abs=1e-4)


def test_evidence_draws_what_was_asked_for() -> None:
    evidence = Evidence(50, 40, maps=frozenset({"change", "comparison"}))
    evidence.add(Band(0, np.zeros((1, 50, 40), np.float32), np.ones((1, 50, 40), np.float32), None))
    pictures = evidence.pictures()
    assert set(pictures) == {"change", "comparison"}
    assert pictures["change"].size == (40, 50)
    assert np.asarray(pictures["change"]).min() == 255  # black to white is CIEDE2000 100, above the scale


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training checkpoint of an untrained network that does something."""
    torch.manual_seed(0)
    options = {
        "encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}, "image_size": 64,
        "encoder_weights": None, "drop_path_rate": 0.0,
    }  # fmt: skip
    model = build_model(options)
    torch.nn.init.normal_(model.decoder.to_residual.weight, std=0.05)
    path = tmp_path_factory.mktemp("model") / "best.ckpt"
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"model": options}}, path)
    return path


def test_a_checkpoint_restores_as_its_network(checkpoint: Path) -> None:
    image = page(3, 64, 64)
    restored = Restorer.from_checkpoint(checkpoint, device="cpu").restore(image)
    with torch.inference_mode():
        torch.testing.assert_close(restored, load_model(checkpoint)(image[None])[0], atol=1e-5, rtol=0)
    assert (restored - image).abs().max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("half", [True, False])
def test_an_exported_model_restores_the_same(checkpoint: Path, tmp_path: Path, half: bool) -> None:
    folder = tmp_path / "released"
    export(checkpoint, folder, name="trial", half=half, onnx=False)
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    image = page(3, 100, 80)
    expected = Restorer.from_checkpoint(checkpoint, device="cpu").restore(image)
    exported = Restorer.from_checkpoint(folder, device="cpu")
    torch.testing.assert_close(exported.restore(image), expected, atol=2e-3 if half else 1e-6, rtol=0)
    assert exported.identity == identify(folder)
    assert exported.identity.name == "trial"
    with pytest.raises(UserError, match="holds a model already"):
        export(checkpoint, folder, name="trial", onnx=False)


def test_damaged_models_are_named(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "released"
    export(checkpoint, folder, name="trial", onnx=False)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: cannot be read"):
        identify(folder)
    weights.write_bytes(whole)
    config = folder / "config.json"
    config.write_text(config.read_text().replace("vit_tiny", "vit_small"))
    with pytest.raises(UserError, match="not those of the model"):
        load_model(folder)
    config.write_text(json.dumps({"name": "trial", "model": {"encoder": 3}}))
    with pytest.raises(UserError, match="description of the model is damaged"):
        load_model(folder)
    config.write_text("{")
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(folder)
    with pytest.raises(UserError, match="none of that name comes with this package"):
        Restorer.from_pretrained("nonesuch")


@pytest.mark.parametrize(
    "content",
    [{"hyper_parameters": {"model": {}}}, {"hyper_parameters": None, "state_dict": {}},
     {"hyper_parameters": {"model": 3}, "state_dict": {}}, [1]],
)  # fmt: skip
def test_files_that_are_no_checkpoints_are_named(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(UserError, match=r"odd\.ckpt: not a training checkpoint"):
        load_model(tmp_path / "odd.ckpt")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match=r"notes\.txt: damaged, or not a training checkpoint"):
        load_model(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "device=tpu"),
        ({"device": "cuda:7"}, "device=cuda:7: not there"),
        ({"precision": "fp8"}, "precision=fp8"),
        ({"settings": Settings()}, None),
    ],
)
def test_backends_name_mistakes(checkpoint: Path, options: dict, message: str | None) -> None:
    if message is None:
        assert "cpu" in Restorer.from_checkpoint(checkpoint, **{"device": "cpu", **options}).backend.description
        return
    with pytest.raises(UserError, match=message):
        Restorer.from_checkpoint(checkpoint, **options)


@pytest.mark.parametrize("settings", [{"strength": 1.5}, {"strength": -0.1}, {"tile": 4}, {"overlap": 200}])
def test_settings_name_mistakes(settings: dict) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        Settings(**settings)


def test_a_batch_that_is_too_large_is_halved() -> None:
    class Small(torch.nn.Module):
        def forward(self, tiles: Tensor) -> Tensor:
            if len(tiles) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return 1 - tiles

    tiles = page(10, 3, 16, 16).numpy()
    np.testing.assert_allclose(TorchBackend(Small(), device="cpu")(tiles), 1 - tiles)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_restores_as_the_cpu(checkpoint: Path) -> None:
    image = page(3, 300, 200)
    on_cpu = Restorer.from_checkpoint(checkpoint, device="cpu").restore(image)
    for precision, tolerance in (("fp32", 2e-3), ("bf16", 0.05)):
        on_gpu = Restorer.from_checkpoint(checkpoint, device="cuda", precision=precision).restore(image)
        torch.testing.assert_close(on_gpu, on_cpu, atol=tolerance, rtol=0)
    assert Restorer.from_checkpoint(checkpoint, device="cuda").restore(image.cuda()).is_cuda


def test_tiles_do_not_show_as_patches() -> None:
    """A network that judges the tone of every tile by what little differs in it must not make a chequered page."""

    def moody(tiles: Tensor) -> Tensor:
        mood = (tiles.mean(dim=(1, 2, 3), keepdim=True) * 1e4).sin() * 0.1
        return (tiles * 0.9 + mood).clamp(0, 1)

    original = 0.5 + 0.3 * page(3, 256, 320)
    patchy, even = (restorer(moody, page_tone=on).restore(original) - 0.9 * original for on in (False, True))
    coarse = [torch.nn.functional.avg_pool2d(x[None], 32)[0].std(dim=(1, 2)).mean() for x in (patchy, even)]
    assert coarse[0] > 0.02
    assert coarse[1] < 0.1 * coarse[0]


def test_tiles_do_not_show_as_patches_on_a_page_that_is_damaged_in_places() -> None:
    def moody(tiles: Tensor) -> Tensor:
        damage = (tiles.mean(dim=1, keepdim=True) < 0.45).float()
        mood = (tiles.mean(dim=(1, 2, 3), keepdim=True) * 3e4).sin() * 0.1
        return torch.cat([tiles + damage * (mood - 0.1), damage, 0 * damage], dim=1)

    original = 0.55 + 0.1 * page(3, 400, 400)
    original[..., :120] -= 0.3  # stained
    patchy, even = (
        (restorer(moody, has_maps=True, page_tone=on).restore(original) - original)[..., 8:112]
        for on in (False, True)
    )
    coarse = [torch.nn.functional.avg_pool2d(x[None], 26)[0].std(dim=(1, 2)).mean() for x in (patchy, even)]
    assert coarse[0] > 0.02
    assert coarse[1] < 0.5 * coarse[0]


def test_a_grey_scan_stays_grey_in_rgb() -> None:
    tint = torch.tensor([0.9, 0.8, 0.5])[:, None, None]
    grey = torch.rand(1, 90, 70).expand(3, -1, -1)
    restored = restorer(lambda tiles: tiles * tint).restore(grey)
    torch.testing.assert_close(restored[0], restored[2], atol=1e-6, rtol=0)
    assert (restored - grey).abs().max() > 0.1
    coloured = grey * torch.tensor([1, 0.8, 0.6])[:, None, None]
    tinted = restorer(lambda tiles: tiles * tint).restore(coloured)
    assert (tinted[0] - tinted[2]).max() > 0.3
