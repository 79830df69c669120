"""Page images into one PDF, nothing of them lost: ``manuscript-restore pdf restored/ -o book.pdf``."""

import re
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from manuscript_restore.errors import UserError

EVIDENCE = re.compile(r"(.+?)(\.\d+){0,2}\.((change|confidence|damage|comparison)\.png|ink\.tif)", re.IGNORECASE)
"""Names of what `restore` writes beside a page."""


def pdf(
    folder: Annotated[Path, typer.Argument(help="Folder of page images, and all below it, in natural order.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The PDF.")],
    title: Annotated[str | None, typer.Option(help="Of the book; without: the name of the folder.")] = None,
    dpi: Annotated[
        float, typer.Option(min=1, max=100_000, help="Resolution of images that do not say theirs.")
    ] = 300,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a PDF that is there.")] = False,
) -> None:
    """Put the page images of a folder into one PDF, without loss.

    JPEG and JPEG 2000 are embedded byte for byte, masks of ink as CCITT group 4, all else as it is, packed by
    Flate. Pages have the size that their resolution says, and are labelled with the names of their files. Evidence
    that `restore` wrote beside pages is left out.
    """
    try:
        from manuscript_restore.archive.pdf_book import write_book
        from manuscript_restore.images import find_images
        from manuscript_restore.inference.folders import make_folder

        if out.suffix.lower() != ".pdf":
            raise UserError(f"--out {out}: must end in .pdf")
        if out.exists() and not overwrite:
            raise UserError(f"{out}: is there already; give --overwrite to replace it")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = find_images(folder)
        for warning in told:
            print(warning.message, file=sys.stderr)
        files = [
            file
            for file in found  # a restored PDF has evidence, too, but is no image
            if not ((match := EVIDENCE.fullmatch(file.name)) and file.with_name(match[1]).is_file())
        ]
        if not files:
            raise UserError(f"{folder}: holds evidence of pages, but no page image; give another folder")
        make_folder(out.parent)
        num_pages = write_book(out, files, title=title or folder.resolve().name, dpi=dpi)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"{num_pages} page{'' if num_pages == 1 else 's'} in {out}")


def main() -> None:
    """Entry point of ``python -m manuscript_restore.pdf``."""
    typer.run(pdf)


if __name__ == "__main__":
    main()
