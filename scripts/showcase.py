"""Draw the docs' pictures of really damaged pages, before and after, with a model.

    python scripts/showcase.py --pages FOLDER [--model default] [--out docs/images/pages]

FOLDER holds the pages that `PICTURES` names; docs/explanation/pictures.md says where they come from. Each is
restored whole, and a part of it is shown: what is cut out first is restored otherwise.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from manuscript_restore import Restorer, images
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.inference import Settings
from manuscript_restore.released import find_model

SIDE = 1000
"""Of a picture's long side, pixels."""
GAP = 8
"""Between before and after, pixels."""


@dataclass(frozen=True)
class Part:
    """A part of a page, as shares of its sides."""

    left: float = 0
    top: float = 0
    right: float = 1
    bottom: float = 1

    def of(self, page: Image.Image) -> Image.Image:
        """Cut it out."""
        width, height = page.size
        left, right = round(self.left * width), round(self.right * width)
        return page.crop((left, round(self.top * height), right, round(self.bottom * height)))


PICTURES = {
    "km_kpl_0005_b": Part(),
    "sa_sakunt_08": Part(top=0.02, bottom=0.38),
    "pt_foral1395_1": Part(left=0.02, top=0.25, right=0.98, bottom=0.6),
    "la_vlo41_02": Part(left=0.15, top=0.28, right=0.95, bottom=0.6),
    "sa_leaf_satakotimand_a": Part(),
    "su_leaf_cb3-18-90-7_a": Part(),
    "sa_asr_227": Part(),
    "la_ad71g443_43-007-copy-2-pdf-page-1": Part(right=0.75, bottom=0.6),
    "pt_foral1217_trancoso-1-1217-1": Part(left=0.25, top=0.35, bottom=0.9),
    "sa_leaf_plutashiksha_a": Part(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pages", type=Path, required=True, help="where the damaged pages are")
    parser.add_argument("--model", default="default", help="a released model, or the file of one")
    parser.add_argument("--out", type=Path, default=Path("docs/images/pages"))
    parser.add_argument("--only", nargs="+", choices=list(PICTURES), metavar="PAGE", default=list(PICTURES))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        settings = Settings(damaged=True)  # which is known of them
        restorer = Restorer.from_checkpoint(find_model(args.model), settings=settings)
        for name in args.only:
            page = Image.fromarray(images.read(args.pages / f"{name}.jpg"))
            picture = beside(*(PICTURES[name].of(each) for each in (page, restorer.restore(page))))
            with whole_file(args.out / f"{name}.jpg") as unfinished:
                picture.save(unfinished, format="JPEG", quality=85, optimize=True)
            print(args.out / f"{name}.jpg")
    except UserError as error:
        sys.exit(f"error: {error}")


def beside(before: Image.Image, after: Image.Image) -> Image.Image:
    """Before and after: wide ones one above the other, others side by side; `SIDE` pixels at most."""
    wide = before.width > 1.3 * before.height
    room = (SIDE, SIDE) if wide else ((SIDE - GAP) / 2, SIDE)
    scale = min(1.0, *(there / side for there, side in zip(room, before.size, strict=True)))
    size = round(before.width * scale), round(before.height * scale)
    axis = 0 if wide else 1
    both = [np.asarray(each.resize(size, Image.Resampling.LANCZOS)) for each in (before, after)]
    gap = np.full_like(both[0][:GAP] if wide else both[0][:, :GAP], 255)
    return Image.fromarray(np.concatenate([both[0], gap, both[1]], axis=axis))


if __name__ == "__main__":
    main()
