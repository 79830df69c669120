"""Write generated pages and their ground truth: ``python -m manuscript_restore.generate out=pages n=100``."""

import json
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import manuscript_restore.requires_train  # noqa: F401  # first: it says what is missing

# isort: split
import cv2
import numpy as np
from omegaconf import DictConfig
from rich.progress import track

from manuscript_restore import images
from manuscript_restore.config import build, run_command
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.synthesis import PageGenerator
from manuscript_restore.synthesis.fonts import licence_of
from manuscript_restore.synthesis.ground_truth import to_json, to_page_xml, to_text

FORMATS = ("png", "jpg", "tif", "webp")


def generate(
    *,
    out: str | int | None,
    n: int,
    seed: int,
    first: int,
    format: str,
    page_xml: bool,
    jobs: int,
    generator: DictConfig,
) -> None:
    """Write pages ``first`` to ``first + n - 1`` of the sequence ``seed``; the arguments are the config's keys.

    Into ``out`` go ``images/``, ``ink/`` (PNG, ink black on white), ``text/``, ``lines/`` (JSON),
    perhaps ``page_xml/``, and ``dataset.json``: the settings, and the fonts with their licences. A page that is
    there already, whole, is left as it is, so that an interrupted command may be given again.

    Raises:
        UserError: A mistake in the settings, or the folder holds pages of other settings.
    """
    for name, value, least in (("n", n, 1), ("seed", seed, 0), ("first", first, 0), ("jobs", jobs, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"{name}={value}: must be a whole number, at least {least}")
    if format not in FORMATS:
        raise UserError(f"format={format}: must be one of {', '.join(FORMATS)}")
    if out is None:
        raise UserError("out=null: must name a folder; it is made if missing")
    pages: PageGenerator = build(generator, "generator")
    folder = Path(str(out))  # a name such as 2024 comes as a number
    _claim(folder, pages, {"seed": seed, "format": format, "generator": pages.tag})
    for name in ("images", "ink", "text", "lines", *(["page_xml"] if page_xml else [])):
        (folder / name).mkdir(exist_ok=True)
    write = partial(write_page, pages, folder, seed, image_format=format, page_xml=page_xml)
    numbers = range(first, first + n)
    if jobs == 1:
        for number in track(numbers, "pages"):
            write(number)
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            for _ in track(pool.map(write, numbers), "pages", total=n):
                pass
    print(f"{n} pages in {folder / 'images'}")


def write_page(
    generator: PageGenerator, folder: Path, seed: int, number: int, *, image_format: str, page_xml: bool
) -> None:
    """Write one page; its JSON file comes last and says that the others are whole."""
    name = f"{number:06d}"
    record = folder / "lines" / f"{name}.json"
    image = f"images/{name}.{image_format}"
    if record.exists() and (not page_xml or (folder / "page_xml" / f"{name}.xml").exists()):
        return
    page = generator.page(seed, number)
    images.write(page.image, folder / image)
    images.write(
        np.repeat(np.where(page.ink, 0, 255).astype(np.uint8)[..., None], 3, 2), folder / f"ink/{name}.png"
    )
    _write_text(folder / "text" / f"{name}.txt", to_text(page))
    if page_xml:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        _write_text(folder / "page_xml" / f"{name}.xml", to_page_xml(page, f"../{image}", created=created))
    description = {"image": image, "ink": f"ink/{name}.png", "seed": seed, "index": number, **to_json(page)}
    _write_text(record, json.dumps(description, ensure_ascii=False, indent=1) + "\n")


def _claim(folder: Path, generator: PageGenerator, identity: dict[str, Any]) -> None:
    """Make the folder, or find that it holds pages of the same settings."""
    description = folder / "dataset.json"
    if description.exists():
        found = json.loads(description.read_text(encoding="utf-8"))
        other = [key for key, value in identity.items() if found.get(key) != value]
        if other:
            raise UserError(f"out={folder}: holds pages of another {', '.join(other)}; give a new folder")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"out={folder}: is not empty; give a new folder")
    except OSError as error:
        raise UserError(f"out={folder}: cannot be made ({error.strerror})") from error
    fonts = [{"file": path.name, "licence": licence_of(path)} for path in generator.all_fonts]
    _write_text(description, json.dumps({**identity, "fonts": fonts}, ensure_ascii=False, indent=1) + "\n")


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _one_thread() -> None:
    cv2.setNumThreads(1)


def main() -> None:
    """Entry point of ``python -m manuscript_restore.generate``."""
    run_command(generate, "generate")


if __name__ == "__main__":
    main()
