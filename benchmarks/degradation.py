"""Milliseconds an image of every degradation and preset, against OpenCV, Albumentations and Augraphy.

    python -m benchmarks degradation [--batches 5] [--sizes 256 512] [--augraphy PYTHON] [--device cuda]

First the reference's six against a plain per-image OpenCV loop; then each transform and each preset, beside the
nearest counterparts of Albumentations and, where an interpreter that has Augraphy is named, of Augraphy. All in
one run, in turn; medians of the repeats, and ratios: how many times faster ours is.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import duration, parser, row, seconds, start_table
from manuscript_restore.config import build, compose, config_dir
from manuscript_restore.degradation import DegradationPipeline
from manuscript_restore.synthesis import generate_page

BATCH = 16
Pages = NDArray[np.uint8]

# Ours → the nearest of Albumentations and of Augraphy
PEERS: dict[str, tuple[str | None, str | None]] = {
    "bleed_through": (None, "BleedThrough"),
    "cast_shadow": ("RandomShadow", "ShadowCast"),
    "colour_cast": ("PlanckianJitter", "ColorShift"),
    "creases": (None, "Folding"),
    "defocus": ("Defocus", "DepthSimulatedBlur"),
    "dirt": (None, "DirtyScreen"),
    "fading": ("RandomBrightnessContrast", "Brightness"),
    "gaussian_blur": ("GaussianBlur", None),
    "gaussian_noise": ("GaussNoise", "SubtleNoise"),
    "glare": ("RandomSunFlare", "ReflectedLight"),
    "halftone": (None, "Faxify"),
    "ink_fading": (None, "LowInkRandomLines"),
    "ink_flaking": (None, "Letterpress"),
    "ink_spread": ("Morphological", "InkBleed"),
    "jpeg": ("ImageCompression", "Jpeg"),
    "low_resolution": ("Downscale", "Rescale"),
    "microfilm": (None, "LinesDegradation"),
    "motion_blur": ("MotionBlur", None),
    "photocopy": (None, "BadPhotoCopy"),
    "salt_and_pepper": ("SaltAndPepper", None),
    "scratches": (None, "Scribbles"),
    "sensor_noise": ("ISONoise", "LowLightNoise"),
    "stains": ("Spatter", "Stains"),
    "string_hole": (None, "BindingsAndFasteners"),
    "torn_edges": (None, "PageBorder"),
    "uneven_illumination": ("Illumination", "LightingGradient"),
    "yellowing": (None, "ColorPaper"),
}


def main(arguments: list[str]) -> None:
    """Print a row for the reference's six, for each transform and each preset."""
    options = parser("degradation", __doc__)
    options.add_argument("--batches", type=int, default=5)
    options.add_argument("--sizes", type=int, nargs="+", default=[256])
    options.add_argument("--augraphy", metavar="PYTHON", help="an interpreter whose environment has Augraphy")
    options.add_argument("--device", default="cpu")
    args = options.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for size in args.sizes:
            note = "Seconds an image; beside it those of other libraries, and how many times slower they are.\n"
            start_table(f"Degradations at {size}×{size}, batch {BATCH}, {args.device}", note)
            bench = Bench(size, args.batches, args.device, args.augraphy)
            bench.reference()
            bench.transforms()
            bench.presets()


def opencv_loop(pages: Pages, p: float, rng: np.random.Generator) -> list[Pages]:
    """The reference's six on (B, H, W, 3) uint8 pages, one page after the other, as a loader's worker would."""
    degraded, side = [], pages.shape[1]
    for page in pages:
        image = page
        if rng.random() < p:
            image = cv2.convertScaleAbs(image, alpha=rng.uniform(0.6, 0.9), beta=0)
        if rng.random() < p:
            strength = rng.uniform(0.05, 0.3)
            gain = np.array([1, 1 - 0.25 * strength, 1 - 0.9 * strength], np.float32)
            image = (image * gain).clip(0, 255).astype(np.uint8)
        if rng.random() < p:
            layer = np.zeros(image.shape[:2], np.float32)
            for _ in range(rng.integers(1, 6)):
                centre = (int(rng.integers(side)), int(rng.integers(side)))
                cv2.circle(layer, centre, int(side * rng.uniform(0.02, 0.15)), rng.uniform(0.1, 0.5), -1)
            layer = cv2.GaussianBlur(layer, (15, 15), 0)[..., None]
            colour = np.array([101, 67, 33], np.float32)
            image = (image * (1 - layer) + colour * layer).astype(np.uint8)
        if rng.random() < p:
            size = int(rng.choice([3, 5, 7]))
            image = cv2.GaussianBlur(image, (size, size), 0)
        if rng.random() < p:
            noise = rng.standard_normal(image.shape, np.float32) * (255 * rng.uniform(0.01, 0.08))
            image = (image + noise).clip(0, 255).astype(np.uint8)
        if rng.random() < p:
            amount = rng.uniform(0.001, 0.01)
            draw = rng.random(image.shape[:2], np.float32)
            image = image.copy()
            image[draw < amount / 2] = 0
            image[draw > 1 - amount / 2] = 255
        degraded.append(image)
    return degraded


def preset(name: str, *overrides: str) -> DegradationPipeline:
    """A preset, or with a list of transforms in the overrides a pipeline of those."""
    config = compose("train", f"degradation={name}", *overrides)
    built: DegradationPipeline = build(config.degradation, "degradation")
    return built


class Bench:
    """Ours and the peers on the same pages of one size; seconds an image."""

    def __init__(self, size: int, batches: int, device: str, augraphy: str | None) -> None:
        self.batches, self.device = batches, device
        self.pages = np.stack([generate_page(0, i, height=size, width=size) for i in range(BATCH)])
        clean = torch.from_numpy(self.pages).permute(0, 3, 1, 2).float().div(255).contiguous()
        self.clean = clean.to(device)
        self.seeds = iter(range(10**9))
        self.augraphy = augraphy

    def ours(self, pipeline: DegradationPipeline) -> float:
        """A pipeline of ours."""
        return self.timed(lambda: pipeline(self.clean, seed=next(self.seeds)), self.device)

    def timed(self, function: Callable[[], object], device: str = "cpu") -> float:
        """Seconds an image of what handles all the pages."""
        return seconds(function, self.batches, device=device) / BATCH

    def albumentations(self, name: str) -> float:
        """One of Albumentations', with its own defaults."""
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations

        transform: Any = albumentations.Compose([getattr(albumentations, name)(p=1)], seed=0)
        return self.timed(lambda: [transform(image=page) for page in self.pages])

    def augraphys(self, names: list[str], repeats: int) -> dict[str, float | None]:
        """Those of Augraphy's, with their own defaults, in its own interpreter."""
        if self.augraphy is None:
            return {}
        script = Path(__file__).absolute().with_name("augraphy_timings.py")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pages.npy")
            np.save(path, self.pages)
            # Not resolved: an environment's interpreter is a link. Augraphy writes a cache where it runs.
            command = [str(Path(self.augraphy).absolute()), str(script), str(path), str(repeats), *names]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"--augraphy {self.augraphy}: {done.stderr.strip().splitlines()[-1]}")
        timings: dict[str, float | None] = json.loads(done.stdout.splitlines()[-1])
        return timings

    def reference(self) -> None:
        """The reference's six against the OpenCV loop."""
        rng = np.random.default_rng(0)
        for label, p in (("reference, all six on every page", 1.0), ("reference, each with probability 0.5", 0.5)):
            loop = self.timed(lambda p=p: opencv_loop(self.pages, p, rng))  # type: ignore[misc]
            pipeline = preset("reference")
            for transform in pipeline.transforms.values():
                transform.p = p
            self.row(label, pipeline, {"OpenCV loop": loop})

    def transforms(self) -> None:
        """Each transform alone, on every page."""
        theirs = self.augraphys([name for _, name in PEERS.values() if name], repeats=5)
        for path in sorted(Path(config_dir(), "degradation", "transforms").glob("*.yaml")):
            name = path.stem
            pipeline = preset("none", f"+degradation/transforms=[{name}]", f"degradation.transforms.{name}.p=1")
            album, augraphy = PEERS.get(name, (None, None))
            peers = {f"Albumentations {album}": self.albumentations(album) if album else None}
            peers[f"Augraphy {augraphy}"] = theirs.get(augraphy or "")
            self.row(name, pipeline, peers)

    def presets(self) -> None:
        """Each preset, against Augraphy's default pipeline."""
        theirs = self.augraphys(["default pipeline"], repeats=BATCH)
        for path in sorted(Path(config_dir(), "degradation").glob("*.yaml")):
            if path.stem not in ("none", "foreign"):
                peers = {f"Augraphy {name}": time for name, time in theirs.items()}
                self.row(f"preset {path.stem}", preset(path.stem), peers)

    def row(self, label: str, pipeline: DegradationPipeline, peers: dict[str, float | None]) -> None:
        """Time ours and print the row."""
        ours = self.ours(pipeline)
        ratios = [f"{name} {duration(time)} ({time / ours:.1f}×)" for name, time in peers.items() if time]
        row(label, ours, rate=f"{1 / ours:.0f} images/s", beside="; ".join(ratios))
