"""Options that several commands have: one name, one explanation each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from manuscript_restore.errors import UserError

if TYPE_CHECKING:
    from manuscript_restore.inference.output import Output

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
Damaged = Annotated[
    bool, typer.Option("--damaged", help="The pages are damaged: do not judge whether, restore what is doubtful.")
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
Mark = Annotated[bool, typer.Option(help="Say in the page's XMP that it was enhanced, out of what and by what.")]
Provenance = Annotated[
    str | None, typer.Option(help="prov or premis: the record also as W3C PROV-JSON or as a PREMIS event.")
]
SignCert = Annotated[
    Path | None, typer.Option(help="PEM file of your certificate and its chain: pages are signed (C2PA).")
]
SignKey = Annotated[Path | None, typer.Option(help="PEM file of its private key.")]
PageXmlFolder = Annotated[
    Path | None,
    typer.Option(
        "--page-xml", help="Folder of PAGE-XML or ALTO: copied for the restored pages, with their names."
    ),
]
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
Ray = Annotated[
    str | None,
    typer.Option(
        help="Restore on a Ray cluster: auto, host:port, ray://host:port, or local: one on this machine."
    ),
]
RayWorkers = Annotated[int | None, typer.Option(help="How many; without: as many as the cluster has room for.")]
RayCpus = Annotated[int, typer.Option(help="CPUs for each worker.")]
RayGpus = Annotated[
    float | None, typer.Option(help="GPUs for each worker, also 0.5; without: 1 where the model runs on GPUs.")
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


def maps_of(**chosen: bool) -> frozenset[str]:
    """Names of the maps that are wanted."""
    return frozenset(name for name, is_wanted in chosen.items() if is_wanted)


def output_of(*, sign_cert: Path | None, sign_key: Path | None, page_xml: Path | None, **kept: Any) -> "Output":
    """What is written for each page.

    Args:
        sign_cert: Option.
        sign_key: Option.
        page_xml: Option.
        kept: Further arguments of `Output`.

    Raises:
        UserError: An option is wrong, or a file or an extra that it needs is missing.
    """
    from manuscript_restore.inference.output import Output
    from manuscript_restore.inference.page_xml import PageXml
    from manuscript_restore.inference.signing import Signer

    if (sign_cert is None) != (sign_key is None):
        raise UserError("--sign-cert and --sign-key: give both, the certificate's chain and its private key")
    signer = Signer.of(sign_cert, sign_key) if sign_cert and sign_key else None
    return Output(**kept, signer=signer, page_xml=PageXml(page_xml) if page_xml else None)


def suffix_of(format: str | None) -> str | None:
    """The suffix of a format's files.

    Raises:
        UserError: It is none of `FORMATS`.
    """
    if format is not None and format not in FORMATS:
        raise UserError(f"format={format}: must be one of {', '.join(FORMATS)}")
    return FORMATS[format] if format else None
