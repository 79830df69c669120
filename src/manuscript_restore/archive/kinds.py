"""What a file is, by its first bytes: a format that is read, a picture that is not, or neither.

The one place that decides which files below a folder are pages. Files whose suffix tells are not opened.
"""

import os
import re
import stat
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".jp2": "JPEG2000",
    ".j2k": "JPEG2000",
}
"""Suffixes that say what a file is."""

MAGIC = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "JPEG2000": re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
}
"""First bytes of the formats that are read."""

_OTHERS = {
    "HEIC": (rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", "heif-convert"),
    "AVIF": (rb"....ftypavi[fs]", "avifdec"),
    "JPEG XL": (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "djxl"),
    "JPEG-LS": (rb"\xff\xd8(\xff\xe8\0.{,50}?)?\xff\xf7", "ImageMagick"),
    "JPEG XR": (rb"II\xbc\x01", "JxrDecApp"),
    "PDF": (rb"%PDF-", "pdfimages -all, or pdftoppm -r 300 -tiff"),
    "PostScript": (rb"%!PS|\xc5\xd0\xd3\xc6", "Ghostscript"),
    "DjVu": (rb"AT&TFORM", "ddjvu -format=tiff"),
    "camera raw": (
        rb"....ftypcrx |II[*]\0....CR\x02|II\x1a\0....HEAPCCDR|IIRO|IIRS|MMOR|IIU\0|FUJIFILMCCD-RAW|\0MRM|FOVb",
        "RawTherapee or darktable",
    ),
    "Photoshop": (rb"8BPS\0[\1\2]", "ImageMagick"),
    "GIMP": (rb"gimp xcf ", "GIMP"),
    "GIF": (rb"GIF8[79]a", "ImageMagick"),
    "BMP": (rb"BM....\0\0\0\0...\0[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "ImageMagick"),
    "Netpbm": (rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s|P7\nWIDTH", "ImageMagick"),
    "JBIG2": (rb"\x97JB2\r\n\x1a\n", "jbig2dec"),
    "FITS": (rb"SIMPLE  = +T", "ImageMagick"),
    "OpenEXR": (rb"\x76\x2f\x31\x01", "ImageMagick"),
    "Radiance": (rb"#\?RADIANCE", "ImageMagick"),
}
_RAW_SUFFIXES = {
    ".dng", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".pef", ".3fr", ".fff", ".iiq", ".erf", ".kdc", ".dcr",
    ".mos", ".mef", ".srw", ".rwl", ".gpr", ".cr2",
}  # fmt: skip
"""Camera raws that begin as TIFF does; what a TIFF reader finds first in them is a thumbnail."""

_NO_IMAGES = {
    ".txt", ".md", ".rst", ".json", ".jsonl", ".xml", ".html", ".htm", ".csv", ".tsv", ".yaml", ".yml",
    ".toml", ".ini", ".cfg", ".log", ".lst", ".db", ".ds_store", ".py", ".ipynb", ".sh", ".zip", ".gz",
    ".tar", ".7z", ".rar", ".npy", ".npz", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".bin", ".md5",
    ".sha1", ".sha256", ".sha512", ".ttf", ".otf", ".xmp", ".doc", ".docx", ".odt", ".xls", ".xlsx", ".mp3",
    ".mp4", ".wav", ".bak", ".lock", ".part", ".partial", ".tmp", ".crdownload", ".download", ".filepart",
}  # fmt: skip
_BACKUPS = ("~", "_original")  # page.jpg~, and ExifTool's page.jpg_original: a page twice
_READ_AT_ONCE = 4096
DNG_VERSION = 50706
_SUBFILE, _REDUCED = 254, 1


@dataclass(frozen=True)
class Kind:
    """What a file is.

    Attributes:
        name: A format of `FORMATS`, or what else it is called: ``"HEIC"``.
        tool: What makes an image of it that can be read; empty if it can be read as it is.
        extra: Of this package, with which it can be read as it is.
    """

    name: str
    tool: str = ""
    extra: str = ""

    @property
    def reason(self) -> str:
        """Why it is left out, and the mend."""
        if self.extra:
            return f"is {self.name}, for which an extra is needed: pip install 'manuscript-restore[{self.extra}]'"
        return f"is {self.name}, which is not read; convert it to TIFF, PNG or JPEG (e.g. with {self.tool})"


_KINDS = {name: (re.compile(magic, re.DOTALL), Kind(name, tool)) for name, (magic, tool) in _OTHERS.items()}
RAW = _KINDS["camera raw"][1]
PDF = Kind("PDF", "pikepdf", "pdf")
"""A PDF where what reads it is missing."""


def by_content(start: bytes) -> Kind | None:
    """What the first bytes of a file say, 64 if it has as many; None: that it is no picture."""
    for magic, kind in _KINDS.values():  # before TIFF: some camera raws begin as it does
        if magic.match(start):
            return kind
    return next((Kind(name) for name, magic in MAGIC.items() if magic.match(start)), None)


def of_file(path: str | Path) -> Kind | None:
    """What a file is; only one whose suffix does not tell is opened. None: no picture, or it cannot be opened."""
    suffix = Path(path).suffix.lower()
    if suffix in FORMATS:
        return Kind(FORMATS[suffix])
    if suffix in _NO_IMAGES or suffix.endswith(_BACKUPS):
        return None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (as below); a pipe would be waited for
            return None
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (a million times, twice as fast)
            start = file.read(_READ_AT_ONCE)
            kind = by_content(start)
            if kind == Kind("TIFF") and (suffix in _RAW_SUFFIXES or _is_raw(start)):
                return RAW
            return kind
    except (OSError, ValueError):
        return None


def of_document(path: str | Path) -> Kind | None:
    """What a file is for who restores documents, to whom a PDF is one: it is read if its extra is there."""
    return as_document(of_file(path))


def as_document(kind: Kind | None) -> Kind | None:
    """A kind for who restores documents."""
    if kind and kind.name == "PDF":
        return Kind("PDF") if find_spec("pikepdf") else PDF
    return kind


def _is_raw(start: bytes) -> bool:
    """Whether a TIFF's first directory is that of a DNG, or of a thumbnail, as camera raws begin with.

    Only directories near the beginning are looked at, where cameras put them.
    """
    if len(start) < 8 or 43 in start[2:4]:  # BigTIFF, which no camera writes
        return False
    order = "<" if start[:2] == b"II" else ">"
    (position,) = struct.unpack_from(f"{order}I", start, 4)
    if position + 2 > len(start):
        return False
    (number,) = struct.unpack_from(f"{order}H", start, position)
    for at in range(position + 2, min(position + 2 + 12 * number, len(start) - 11), 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHII", start, at)
        if tag == DNG_VERSION or (tag == _SUBFILE and value & _REDUCED):
            return True
    return False


def said_of(left_out: Iterable[str]) -> str:
    """One line about the pictures that are left out, by the names of their kinds."""
    return f"left out, as they cannot be read: {counted(left_out)}; convert them to TIFF, PNG or JPEG"


def counted(kinds: Iterable[str]) -> str:
    """Names of kinds with how many there are of each, the most first.

    >>> counted(["HEIC", "PDF", "PDF"])
    '2 PDF, 1 HEIC'
    """
    return ", ".join(f"{number} {name}" for name, number in Counter(kinds).most_common())
