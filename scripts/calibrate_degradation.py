"""How near a preset comes to real damage: statistics of damaged pages against those of degraded clean pages.

    python scripts/calibrate_degradation.py --real DAMAGED --clean CLEAN --preset paper [--match 'sa_*']

Tiles are cut from the middle of every page. For each statistic the table has its mean over the real tiles, the
clean ones and the degraded ones, and the distance of the latter two from the real ones: the area between the
distribution functions (Wasserstein-1) in standard deviations of the real tiles. --propose changes probabilities
and strengths, one at a time, and prints as YAML what lessens the mean distance.
"""

import argparse
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from kornia.color import rgb_to_lab
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from manuscript_restore.config import build, compose
from manuscript_restore.degradation.ink import find_ink, find_support
from manuscript_restore.degradation.paint import grey
from manuscript_restore.images import find_images, read
from manuscript_restore.images.tensors import from_array, to_float

TILE = 192
STATISTICS = (
    "contrast",  # of the darkest two per cent against the support
    "support L*",
    "support a*",
    "support b*",
    "noise (1/255)",
    "edge width (px)",
    "stained (%)",
    "spectrum slope",
)
STRENGTH_KEYS = ("strength", "opacity", "loss", "reach", "shot", "radius", "depth", "size")
P_FACTORS, STRENGTH_FACTORS = (0.0, 0.5, 1.6), (0.6, 1.4)
BATCH = 16


def tiles(folder: Path, match: str, num_per_page: int) -> Tensor:
    """(n, 3, TILE, TILE) from the middle of the pages whose names match one of the patterns."""
    found = [path for path in find_images(folder) if any(fnmatch(path.name, m) for m in match.split(","))]
    if not found:
        raise SystemExit(f"{folder}: no page matches {match}")
    cut = []
    for path in found:
        page = to_float(from_array(read(path)))
        height, width = page.shape[1:]
        if min(height, width) < TILE:
            continue
        for i in range(num_per_page):
            # Along the long side; margins and what lies around the page are left out.
            along = 0.2 + 0.6 * (i + 0.5) / num_per_page
            down, right = (0.5, along) if width > height else (along, 0.5)
            top, left = int(down * (height - TILE)), int(right * (width - TILE))
            cut.append(page[:, top : top + TILE, left : left + TILE])
    return torch.stack(cut)


def describe(tile: Tensor) -> list[float]:
    """The STATISTICS of one tile (3, TILE, TILE)."""
    support, light = find_support(tile), grey(tile)[0]
    lab = rgb_to_lab(support[None])[0].flatten(1)
    middle = lab.median(dim=1).values
    bare = find_ink(tile, support)[0] < 0.2
    deviation = (lab - middle[:, None]).square().sum(0).sqrt()
    return [
        1 - light.quantile(0.02).item() / max(0.02, grey(support).median().item()),
        *middle.tolist(),
        255 * _noise(light, bare),
        _edge_width(light),
        100 * (deviation > 8).float().mean().item(),
        _spectrum_slope(light),
    ]


def _noise(light: Tensor, bare: Tensor) -> float:
    """Deviation of white noise on the bare support, robustly (Immerkær 1996, with a median)."""
    mask = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])[None, None]
    response = F.conv2d(light[None, None], mask)[0, 0].abs()[bare[1:-1, 1:-1]]
    return response.median().item() / (0.6745 * 6) if len(response) else 0.0


def _edge_width(light: Tensor) -> float:
    """Median of the range of grey around the steepest pixels over their slope, in pixels."""
    around = light[None, None]
    slope = torch.stack(torch.gradient(light)).square().sum(0).sqrt()
    span = F.max_pool2d(around, 7, 1, 3) + F.max_pool2d(-around, 7, 1, 3)
    steep = slope >= slope.flatten().quantile(0.97)
    return float((span[0, 0][steep] / slope[steep].clamp(min=1e-3)).median())


def _spectrum_slope(light: Tensor) -> float:
    """Exponent of the fall of the power with the frequency, between 1/48 and 1/3 cycles a pixel."""
    window = torch.hann_window(TILE)
    power = torch.fft.rfft2((light - light.mean()) * window * window[:, None]).abs().square()
    frequency = (torch.fft.fftfreq(TILE)[:, None] ** 2 + torch.fft.rfftfreq(TILE) ** 2).sqrt()
    inside = (frequency > 1 / 48) & (frequency < 1 / 3)
    x, y = frequency[inside].log(), (power[inside] + 1e-9).log()
    x = x - x.mean()
    return float((x * y).sum() / x.square().sum())


def table_of(pages: Iterable[Tensor]) -> NDArray[np.float64]:
    """(tiles, statistics)."""
    return np.array([describe(page) for page in pages])


def distances(real: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wasserstein-1 distance of each statistic, in standard deviations of the real one."""
    shares = (np.arange(200) + 0.5) / 200
    gaps = np.abs(np.quantile(real, shares, axis=0) - np.quantile(other, shares, axis=0)).mean(axis=0)
    return np.asarray(gaps / real.std(axis=0).clip(1e-6))


def degrade(config: DictConfig, clean: Tensor) -> Tensor:
    """The clean tiles, degraded by a preset in batches."""
    pipeline = build(config, "degradation")
    return torch.cat([pipeline(batch, seed=i) for i, batch in enumerate(torch.split(clean, BATCH))])


def changes(config: DictConfig) -> Iterator[tuple[str, str, Any]]:
    """Changes of one value of a preset: transform, key, new value."""
    for name, transform in config.transforms.items():
        for factor in P_FACTORS:
            yield str(name), "p", round(min(1.0, factor * transform.p), 2)
        for key in [key for key in STRENGTH_KEYS if key in transform][:1]:
            for factor in STRENGTH_FACTORS:
                yield str(name), key, [round(min(1.0, factor * bound), 3) for bound in transform[key]]


def propose(config: DictConfig, clean: Tensor, real: NDArray[np.float64]) -> DictConfig:
    """Go once through all changes and keep those that lessen the mean distance by at least a hundredth of it."""
    config = config.copy()
    best = distances(real, table_of(degrade(config, clean))).mean()
    kept: dict[str, dict[str, Any]] = {}
    for name, key, value in list(changes(config)):
        before, config.transforms[name][key] = config.transforms[name][key], value
        score = distances(real, table_of(degrade(config, clean))).mean()
        if score < 0.99 * best:
            best = score
            kept.setdefault(name, {})[key] = value
            print(f"# {name}.{key}: {value} -> {best:.3f}", flush=True)
        else:
            config.transforms[name][key] = before
    print(OmegaConf.to_yaml({"transforms": kept}, sort_keys=False))
    return config


def show(title: str, real: NDArray[np.float64], clean: NDArray[np.float64], degraded: NDArray[np.float64]) -> None:
    """Print the table as Markdown."""
    print(f"\n{title}: {len(real)} real tiles, {len(clean)} clean ones\n")
    print(
        "| statistic | real | clean | degraded | distance, clean | distance, degraded |\n|---|---|---|---|---|---|"
    )
    before, after = distances(real, clean), distances(real, degraded)
    for i, name in enumerate(STATISTICS):
        means = " | ".join(f"{each[:, i].mean():.2f} ± {each[:, i].std():.2f}" for each in (real, clean, degraded))
        print(f"| {name} | {means} | {before[i]:.2f} | {after[i]:.2f} |")
    print(f"| mean | | | | {before.mean():.2f} | {after.mean():.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of damaged pages")
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean pages")
    parser.add_argument("--match", default="*", help="patterns of the damaged pages' names, with commas between")
    parser.add_argument("--clean-match", default="*")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--tiles", type=int, default=3, help="per page")
    parser.add_argument("--propose", action="store_true")
    args = parser.parse_args()
    config = compose("train", f"degradation={args.preset}").degradation
    real = table_of(tiles(args.real, args.match, args.tiles))
    clean = tiles(args.clean, args.clean_match, args.tiles)
    show(args.preset, real, table_of(clean), table_of(degrade(config, clean)))
    if args.propose:
        config = propose(config, clean, real)
        show(f"{args.preset}, as proposed", real, table_of(clean), table_of(degrade(config, clean)))


if __name__ == "__main__":
    main()
