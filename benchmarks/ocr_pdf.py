"""The layer of text that OCRmyPDF gives a damaged Sanskrit book, with and without the plugin.

    python -m benchmarks ocr_pdf --pages 20

Printed pages are generated with their text, damaged by a preset, and put into a PDF as JPEGs. OCRmyPDF reads it
as it is, with ``--plugin manuscript_restore.ocrmypdf``, after ``manuscript-restore restore``, and with the pages
sound. What pdfium reads in the layers of text is compared with what the pages say. Needs Tesseract with ``san``.
"""

import subprocess
import sys
import time
from pathlib import Path

import img2pdf
import numpy as np
import pypdfium2
import torch
from PIL import Image

from benchmarks.measure import parser
from manuscript_restore.config import build, compose
from manuscript_restore.evaluation.ocr import character_error_rate
from manuscript_restore.images.tensors import from_array, to_array, to_float, to_uint8
from manuscript_restore.synthesis import PageGenerator

DPI = 200


def main(options: list[str]) -> None:
    """Make the books, read them, and print a table."""
    arguments = parser("ocr_pdf", __doc__)
    arguments.add_argument("--pages", type=int, default=20)
    arguments.add_argument("--preset", default="reference")
    arguments.add_argument("--out", type=Path, default=Path("outputs/ocr_pdf"))
    arguments.add_argument("--seed", type=int, default=5)
    args = arguments.parse_args(options)
    folder: Path = args.out / f"{args.preset}-{args.pages}"
    folder.mkdir(parents=True, exist_ok=True)
    truths = make_books(folder, args.preset, args.pages, args.seed)
    restored = folder / "restored.pdf"
    if not restored.exists():
        run(
            sys.executable, "-m", "manuscript_restore.restore", folder / "damaged.pdf", "-o", restored,
            "--overwrite", "--max-change", "100",
        )  # fmt: skip
    print(f"{args.pages} pages, damaged by {args.preset}; CER of the layer of text\n")
    print("| | mean | median | seconds |\n|---|---|---|---|")
    for name, book, more in (
        ("damaged", "damaged", []),
        ("damaged, with the plugin", "damaged", ["--plugin", "manuscript_restore.ocrmypdf"]),
        ("restored first", "restored", []),
        ("sound", "sound", []),
    ):
        read = folder / f"{name.replace(' ', '_')}.read.pdf"
        started = time.perf_counter()
        run(
            sys.executable, "-m", "ocrmypdf", "-l", "san", "--jobs", "1", "--output-type", "pdf",
            "--optimize", "0", "--quiet", *more, folder / f"{book}.pdf", read,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        with pypdfium2.PdfDocument(read) as document:
            texts = [page.get_textpage().get_text_bounded() for page in document]
        rates = [character_error_rate(text, truth) for text, truth in zip(texts, truths, strict=True)]
        print(f"| {name} | {np.mean(rates):.3f} | {np.median(rates):.3f} | {seconds:.0f} |", flush=True)


def make_books(folder: Path, preset: str, num_pages: int, seed: int) -> list[str]:
    """Write ``sound.pdf`` and ``damaged.pdf``; returns what each page says."""
    generator = PageGenerator(style="printed", supports={"paper": 1.0}, size=[1000, 1400], irregularity=0.0)
    damage = build(compose("train", f"degradation={preset}").degradation, "degradation")
    truths, files = [], []
    for index in range(num_pages):
        page = generator.page(seed, index)
        truths.append("\n".join(line.text for line in page.lines))
        files.append((folder / f"sound_{index}.jpg", folder / f"damaged_{index}.jpg"))
        with torch.inference_mode():
            damaged = damage(to_float(from_array(page.image)[None]), seed=seed + index)
        for file, pixels in zip(files[-1], (page.image, to_array(to_uint8(damaged)[0])), strict=True):
            Image.fromarray(pixels).save(file, quality=92, dpi=(DPI, DPI))
    for name, pages in zip(("sound", "damaged"), zip(*files, strict=True), strict=True):
        (folder / f"{name}.pdf").write_bytes(img2pdf.convert([str(page) for page in pages]))
    return truths


def run(*command: str | Path) -> None:
    """Run a command that must succeed."""
    subprocess.run([*map(str, command)], check=True)
