"""Generated pages beside real ones: a contact sheet, and a table of what both measure.

    python scripts/compare_with_real.py REAL [--match 'sa_*'] [--n 24] [--out DIR] [generator.KEY=value]

REAL is a folder of clean scans. The sheet is for the eye; the table says where the generator is off: colour of the
support and the ink, share of ink, stroke width and line pitch, mottling and grain of the support. Quartiles over
pages.
"""

import argparse
from fnmatch import fnmatch
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_sauvola
from skimage.morphology import skeletonize

from manuscript_restore import images
from manuscript_restore.config import build, compose
from manuscript_restore.synthesis import PageGenerator

Page = NDArray[np.uint8]
CELL = (400, 640)  # height and width of a picture of the sheet


def measure(page: Page) -> dict[str, float]:
    """Statistics of one page; L, a, b in CIELAB, lengths in pixels."""
    lab = cv2.cvtColor(page.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    light = lab[..., 0]
    window = max(15, min(page.shape[:2]) // 12) | 1
    ink = light < threshold_sauvola(light, window_size=window, k=0.12, r=50)
    support = ~cv2.dilate(ink.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    # Backgrounds beyond the leaf, and what binarisation takes for ink in the dark, are no support.
    support &= np.abs(light - np.median(light[support])) < 25
    values = {f"support {name}": float(np.median(lab[..., i][support])) for i, name in enumerate("Lab")}
    values["ink L"] = float(np.median(light[ink])) if ink.any() else np.nan
    values["ink share %"] = 100 * float(ink.mean())
    distance = cv2.distanceTransform(ink.astype(np.uint8), cv2.DIST_L2, 3)
    middle = skeletonize(ink)
    values["stroke px"] = 2 * float(distance[middle].mean()) - 1 if middle.any() else np.nan
    values["line pitch px"] = line_pitch(ink)
    values["stroke / pitch"] = values["stroke px"] / values["line pitch px"]
    filled = np.where(support, light, np.median(light[support])).astype(np.float32)
    smooth, coarse = cv2.GaussianBlur(filled, (0, 0), 2), cv2.GaussianBlur(filled, (0, 0), 15)
    values["grain σ L"] = float((filled - smooth)[support].std())
    values["mottle σ L"] = float((smooth - coarse)[support].std())
    return values


def line_pitch(ink: NDArray[np.bool_]) -> float:
    """Distance between lines: the first strong peak of the row profile's autocorrelation, over vertical strips."""
    found = []
    for strip in np.array_split(ink, max(1, ink.shape[1] // 200), axis=1):
        profile = strip.mean(axis=1)
        profile = profile - cv2.GaussianBlur(profile[:, None], (0, 0), 40)[:, 0]
        correlation = np.correlate(profile, profile, "full")[len(profile) - 1 :]
        if correlation[0] <= 0:
            continue
        correlation = correlation / correlation[0]
        peaks = np.flatnonzero((correlation[1:-1] > correlation[:-2]) & (correlation[1:-1] >= correlation[2:])) + 1
        peaks = peaks[(peaks >= 9) & (correlation[peaks] > 0.2)]
        if peaks.size:
            found.append(int(peaks[np.argmax(correlation[peaks] > 0.8 * correlation[peaks].max())]))
    return float(np.median(found)) if found else np.nan


def table(groups: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: a row a statistic, lower quartile, median and upper quartile of each group."""
    rows = ["| | " + " | ".join(f"{name} ({len(pages)})" for name, pages in groups.items()) + " |"]
    rows.append("|---" * (len(groups) + 1) + "|")
    for key in next(iter(groups.values()))[0]:
        cells = []
        for pages in groups.values():
            low, middle, high = np.nanquantile([page[key] for page in pages], (0.25, 0.5, 0.75))
            cells.append(f"{low:.4g} · **{middle:.4g}** · {high:.4g}")
        rows.append(f"| {key} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def sheet(pages: list[Page], columns: int) -> Page:
    """Pages side by side, each shrunk into a cell on grey."""
    rows = -(-len(pages) // columns)
    canvas = np.full((rows * CELL[0], columns * CELL[1], 3), 128, np.uint8)
    for number, page in enumerate(pages):
        scale = min((CELL[0] - 8) / page.shape[0], (CELL[1] - 8) / page.shape[1])
        small = cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = (number // columns) * CELL[0] + 4, (number % columns) * CELL[1] + 4
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("--match", default="*", help="take real pages of these names only")
    parser.add_argument("--n", type=int, default=24, help="generated pages; half as many real ones on the sheet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/compare"))
    parser.add_argument("overrides", nargs="*", help="e.g. generator=printed generator.size=[1500,2300]")
    options = parser.parse_args()
    config = compose("generate", *options.overrides, "out=unused")
    generator: PageGenerator = build(config.generator, "generator")
    files = [path for path in images.find_images(options.real, key="REAL") if fnmatch(path.name, options.match)]
    made = [generator.page(options.seed, i) for i in range(options.n)]
    groups = {
        "real": [measure(images.read(path)) for path in files],
        "generated": [measure(p.image) for p in made],
    }
    for kind in generator.shares:
        if chosen := [
            values for values, page in zip(groups["generated"], made, strict=True) if page.support == kind
        ]:
            groups[kind] = chosen
    text = table(groups)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "statistics.md").write_text(text + "\n", encoding="utf-8")
    spread = [files[round(i)] for i in np.linspace(0, len(files) - 1, min(len(files), options.n // 2))]
    images.write(sheet([page.image for page in made], 4), options.out / "generated.png")
    images.write(sheet([images.read(path) for path in spread], 4), options.out / "real.png")
    print(text, f"\npictures and table in {options.out}", sep="\n")


if __name__ == "__main__":
    main()
