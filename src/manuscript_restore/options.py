"""Options that several commands have: one name, one explanation each."""

from typing import Annotated

import typer

from manuscript_restore.errors import UserError

FORMATS = {"jpg": ".jpg", "png": ".png", "tif": ".tif", "jp2": ".jp2", "webp": ".webp"}


Model = Annotated[
    str, typer.Option("--model", "-m", help="Training checkpoint, exported model's folder, or name.")
]
Format = Annotated[str | None, typer.Option(help=f"{', '.join(FORMATS)}; without: as the input.")]
Quality = Annotated[int, typer.Option(help="Quality of JPEG and WebP, 1–100.")]
Strength = Annotated[float, typer.Option(help="0: the page as it is; 1: fully restored.")]
KeepColour = Annotated[
    bool, typer.Option("--keep-colour", help="Keep the colour of the paper, leaf or parchment.")
]
Like = Annotated[
    list[str] | None,
    typer.Option(help="Sound pages of the same manuscript, a file or a folder: paper gets their colour."),
]
ChangeMap = Annotated[bool, typer.Option("--change-map", help="Where and how much it changed.")]
ConfidenceMap = Annotated[
    bool, typer.Option("--confidence-map", help="Where four views of the page agree: 4 times slower.")
]
DamageMap = Annotated[
    bool, typer.Option("--damage-map", help="What the network took for damage; the rest is as it was.")
]
Ink = Annotated[bool, typer.Option("--ink", help="A bilevel mask of the ink: TIFF, CCITT group 4.")]
Comparison = Annotated[bool, typer.Option("--comparison", help="Before, after and change in one picture.")]
Sidecar = Annotated[bool, typer.Option("--sidecar", help="A JSON record of how each page was made.")]
MaxChange = Annotated[
    float, typer.Option(help="Pages that change more (mean CIEDE2000) are written as NAME.flagged.")
]
AllowSigned = Annotated[
    bool, typer.Option("--allow-signed", help="Restore signed PDFs too; the results are not signed.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Engine = Annotated[
    str, typer.Option(help="auto, onnx, openvino, torch; auto is onnx on a CPU, for models that have its file.")
]
Jobs = Annotated[int, typer.Option(help="Files processed at once.")]
BaseUrl = Annotated[
    str | None,
    typer.Option(help="Of a IIIF manifest: where OUT will be served; without: http://localhost:8000/."),
]
IiifTiles = Annotated[
    bool, typer.Option("--iiif-tiles", help="Cut the restored pages of a IIIF manifest into static tiles.")
]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Fetch from this machine and local networks too.")
]


def suffix_of(format: str | None) -> str | None:
    """The suffix of a format's files.

    Raises:
        UserError: It is none of `FORMATS`.
    """
    if format is not None and format not in FORMATS:
        raise UserError(f"format={format}: must be one of {', '.join(FORMATS)}")
    return FORMATS[format] if format else None
