"""Pictures of every degradation at several strengths, and of every preset.

    python scripts/gallery.py [--pages FOLDER] [--size 256] [--out outputs/gallery] [--docs FOLDER]

Without --pages the pages are generated. --docs also writes the small sheets, one for each family, that
docs/reference/degradations.md shows (docs/images/degradation).
"""

import argparse
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from manuscript_restore import degradation
from manuscript_restore.config import build, compose, config_dir
from manuscript_restore.degradation import Degradation, DegradationPipeline
from manuscript_restore.images import find_images, read
from manuscript_restore.images.tensors import from_array, to_array, to_float, to_uint8
from manuscript_restore.synthesis import PageGenerator

STRENGTHS = (0.25, 0.5, 1.0, 1.5)
NUM_PAGES = 6
DOCS_BYTES = 120_000
TILE = 176  # pixels of a picture in the docs

Array = NDArray[np.uint8]


def load_pages(folder: Path | None, size: int) -> Tensor:
    """Clean pages (NUM_PAGES, 3, size, size): the middles of the pages of a folder, or generated ones."""
    if folder is None:
        generator = PageGenerator()
        arrays = [middle(generator.page(0, 3 + i).image, size) for i in range(NUM_PAGES)]
    else:
        paths = find_images(folder, key="--pages")
        arrays = [middle(read(paths[i * len(paths) // NUM_PAGES]), size) for i in range(NUM_PAGES)]
    return to_float(torch.stack([from_array(array) for array in arrays]))


def middle(array: Array, size: int) -> Array:
    """The middle of a page, which is enlarged where it is too small."""
    image = Image.fromarray(array)
    if (scale := size / min(image.size)) > 1:
        image = image.resize((max(size, round(image.width * scale)), max(size, round(image.height * scale))))
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


def kinds() -> list[type[Degradation]]:
    """All transforms of the library."""
    found = (getattr(degradation, name) for name in degradation.__all__)
    return [
        kind for kind in found if isinstance(kind, type) and issubclass(kind, Degradation) and kind != Degradation
    ]


def strengths(kind: type[Degradation], pages: Tensor, seed: int = 1) -> list[Array]:
    """The first page clean, at each strength with the same draw, and the mask at strength 1."""
    transform = kind(p=1.0)  # type: ignore[call-arg]  # each kind has ranges of its own
    torch.manual_seed(seed)
    params = transform.forward_parameters(pages.shape)
    tiles, mask = [picture(pages[0])], pages[0]
    for severity in STRENGTHS:
        transform.severity = severity
        damaged, masks = transform.with_mask(pages, params)
        tiles.append(picture(damaged[0]))
        mask = masks[0] if severity == 1 else mask
    return [*tiles, picture(mask.expand(3, -1, -1))]


def preset_pictures(name: str, pages: Tensor) -> tuple[list[Array], list[Array]]:
    """The pages damaged by a preset, and their damage maps."""
    pipeline: DegradationPipeline = build(compose("train", f"degradation={name}").degradation, "degradation")
    damaged, damage_map = pipeline.with_map(pages, seed=0)
    return [picture(page) for page in damaged], [picture(each.expand(3, -1, -1)) for each in damage_map]


def picture(page: Tensor) -> Array:
    """Float tensor (3, H, W) as an array."""
    return to_array(to_uint8(page))


def sheet(
    rows: Sequence[tuple[str, Sequence[Array]]], header: Sequence[str] = (), tile: int | None = None
) -> Image.Image:
    """Rows of pictures, each under its title, with the header's words above the columns."""
    side = tile or rows[0][1][0].shape[0]
    gap, line = 4, 14
    width = max(len(tiles) for _, tiles in rows) * (side + gap)
    canvas = Image.new("RGB", (width, line * bool(header) + len(rows) * (side + line)), "white")
    draw = ImageDraw.Draw(canvas)
    for i, word in enumerate(header):
        draw.text((i * (side + gap) + 2, 1), word, fill="black")
    for row, (title, tiles) in enumerate(rows):
        top = line * bool(header) + row * (side + line)
        draw.text((2, top + 1), title, fill="black")
        for i, each in enumerate(tiles):
            image = Image.fromarray(each)
            canvas.paste(image.resize((side, side), Image.Resampling.LANCZOS), (i * (side + gap), top + line))
    return canvas


def save_small(image: Image.Image, path: Path) -> None:
    """Write a JPEG of at most DOCS_BYTES, at the highest quality that allows it."""
    for quality in range(85, 5, -5):
        data = BytesIO()
        image.save(data, "JPEG", quality=quality, optimize=True)
        if data.tell() <= DOCS_BYTES:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=Path, help="folder of clean pages; generated ones without it")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("outputs/gallery"))
    parser.add_argument("--docs", type=Path, help="folder for the small sheets of the documentation")
    args = parser.parse_args()
    pages = load_pages(args.pages, args.size)
    args.out.mkdir(parents=True, exist_ok=True)

    header = ["clean", *(f"strength {s:g}" for s in STRENGTHS), "mask at 1"]
    families: dict[str, list[tuple[str, list[Array]]]] = {}
    for kind in kinds():
        row = (kind.__name__, strengths(kind, pages))
        sheet([row], header).save(args.out / f"{kind.__name__}.png")
        families.setdefault(kind.__module__.rpartition(".")[2], []).append(row)
    presets = sorted(
        path.stem
        for path in Path(config_dir(), "degradation").glob("*.yaml")
        if path.stem not in ("none", "mixture", "foreign")
    )
    rows = []
    for name in presets:
        damaged, maps = preset_pictures(name, pages)
        sheet([(name, damaged), ("damage map", maps)]).save(args.out / f"preset_{name}.png")
        rows.append((name, damaged))
    if args.docs:
        for family, members in families.items():
            save_small(
                sheet([(n, tiles[:1] + tiles[2:]) for n, tiles in members], header[:1] + header[2:], TILE),
                args.docs / f"{family}.jpg",
            )
        save_small(sheet(rows, tile=144), args.docs / "presets.jpg")
    print(f"{sum(map(len, families.values()))} transforms and {len(presets)} presets: {args.out.resolve()}")


if __name__ == "__main__":
    main()
