"""PDFs for the tests: pages of pictures of every kind, drawn by pdfium as the reference."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pikepdf
import pypdfium2
from numpy.typing import NDArray
from pikepdf import Array, Dictionary, Name
from PIL import Image, ImageCms

WIDTH, HEIGHT = 160, 240


def scan(channels: int = 3, bits: int = 8) -> NDArray[Any]:
    """A soft picture (H, W, C), different in every corner, of numbers of so many bits."""
    y, x = np.mgrid[0:1:240j, 0:1:160j]
    waves = [0.55 + 0.3 * np.sin(3 * x + c) * np.cos(4 * y + 2 * c) + 0.1 * (x > 0.5) for c in range(channels)]
    kind = np.uint16 if bits > 8 else np.uint8
    return np.rint(np.stack(waves, axis=2) * (2**bits - 1)).astype(kind)


def packed(samples: NDArray[Any], bits: int) -> bytes:
    """Rows of samples as a PDF has them: most significant bits first, each row in whole bytes."""
    if bits >= 8:
        return samples.astype(">u2" if bits == 16 else "u1").tobytes()
    each = np.unpackbits(samples[..., None], axis=-1)[..., 8 - bits :]
    return np.packbits(each.reshape(len(samples), -1), axis=1).tobytes()


def jpeg(samples: NDArray[Any], **options: Any) -> bytes:
    """As Pillow writes it."""
    file = io.BytesIO()
    modes = {1: "L", 3: "RGB", 4: "CMYK"}
    image = Image.frombytes(modes[samples.shape[2]], (WIDTH, HEIGHT), samples.tobytes())
    image.save(file, "JPEG", quality=95, subsampling=0, **options)
    return file.getvalue()


def predicted(samples: NDArray[np.uint8]) -> bytes:
    """8-bit rows with one of PNG's filters after the other, as Pillow's libpng chooses them."""
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG", compress_level=9)
    data, found, at = file.getvalue(), b"", 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            found += data[at + 8 : at + 8 + size]
        at += 12 + size
    return found


def picture(pdf: pikepdf.Pdf, data: bytes, filter: Any, space: Any, bits: int = 8, **keys: Any) -> pikepdf.Stream:
    """A picture's object."""
    shape = {"Width": WIDTH, "Height": HEIGHT, "BitsPerComponent": bits}
    keys = {"Type": Name.XObject, "Subtype": Name.Image, "ColorSpace": space, "Filter": filter, **shape, **keys}
    return pikepdf.Stream(pdf, data, {f"/{key}": value for key, value in keys.items() if value is not None})


def add_page(pdf: pikepdf.Pdf, *pictures: tuple[pikepdf.Stream, str], text: str = "") -> Any:
    """A page with pictures, each through the matrix that is given, and a line of invisible text."""
    page = pdf.add_blank_page(page_size=(WIDTH, HEIGHT))
    font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)
    named = Dictionary({f"/Im{i}": image for i, (image, _) in enumerate(pictures)})
    page.obj.Resources = Dictionary(XObject=named, Font=Dictionary(F1=font))
    drawn = "".join(f"q {matrix} cm /Im{i} Do Q\n" for i, (_, matrix) in enumerate(pictures))
    page.obj.Contents = pdf.make_stream(f"{drawn}BT /F1 12 Tf 3 Tr 20 50 Td ({text}) Tj ET".encode())
    return page


FULL = f"{WIDTH} 0 0 {HEIGHT} 0 0"


def _icc(pdf: pikepdf.Pdf) -> Array:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return Array([Name.ICCBased, pdf.make_stream(profile, N=3, Alternate=Name.DeviceRGB)])


def _indexed(pdf: pikepdf.Pdf, bits: int, base: Any, channels: int) -> pikepdf.Stream:
    palette = np.random.default_rng(bits).integers(40, 220, (2**bits, channels), dtype=np.uint8)
    space = Array([Name.Indexed, base, 2**bits - 1, pikepdf.String(palette.tobytes())])
    return flate(pdf, scan(1, bits), bits, space)


def flate(pdf: pikepdf.Pdf, samples: NDArray[Any], bits: int, space: Any, **keys: Any) -> pikepdf.Stream:
    """A picture that is packed without a predictor."""
    return picture(pdf, zlib.compress(packed(samples, bits)), Name.FlateDecode, space, bits, **keys)


def _soft_masked(pdf: pikepdf.Pdf) -> pikepdf.Stream:
    mask = flate(pdf, scan(1), 8, Name.DeviceGray)
    return flate(pdf, scan(), 8, Name.DeviceRGB, SMask=mask)


def _parameters(colors: int, predictor: int) -> Dictionary:
    return Dictionary(Predictor=predictor, Colors=colors, BitsPerComponent=8, Columns=WIDTH)


def _tiff_predicted(samples: NDArray[np.uint8]) -> bytes:
    return zlib.compress(np.diff(samples, axis=1, prepend=np.uint8(0)).tobytes())


Make = Callable[[pikepdf.Pdf], pikepdf.Stream]
PICTURES: dict[str, Make] = {
    "jpeg": lambda p: picture(p, jpeg(scan()), Name.DCTDecode, Name.DeviceRGB),
    "jpeg-grey": lambda p: picture(p, jpeg(scan(1)), Name.DCTDecode, Name.DeviceGray),
    "jpeg-icc": lambda p: picture(p, jpeg(scan(), progressive=True), Name.DCTDecode, _icc(p)),
    "jpeg-inverted": lambda p: picture(p, jpeg(scan(1)), Name.DCTDecode, Name.DeviceGray, Decode=Array([1, 0])),
    "jpeg-in-flate": lambda p: picture(
        p, zlib.compress(jpeg(scan())), Array([Name.FlateDecode, Name.DCTDecode]), Name.DeviceRGB
    ),
    "jpx": lambda p: picture(
        p, imagecodecs.jpeg2k_encode(scan(), codecformat="jp2", reversible=True), Name.JPXDecode, None
    ),
    "jpx-stream": lambda p: picture(
        p, imagecodecs.jpeg2k_encode(scan(), codecformat="j2k", level=40), Name.JPXDecode, Name.DeviceRGB
    ),
    "jpx-grey": lambda p: picture(
        p, imagecodecs.jpeg2k_encode(scan(1)[..., 0], codecformat="jp2"), Name.JPXDecode, Name.DeviceGray
    ),
    "rgb": lambda p: flate(p, scan(), 8, Name.DeviceRGB),
    "rgb-icc": lambda p: flate(p, scan(), 8, _icc(p)),
    "rgb-cal": lambda p: flate(
        p, scan(), 8, Array([Name.CalRGB, Dictionary(WhitePoint=[0.9505, 1, 1.089], Gamma=[2.2, 2.2, 2.2])])
    ),
    "rgb-plain": lambda p: picture(p, scan().tobytes(), None, Name.DeviceRGB),
    "rgb-png-predictor": lambda p: picture(
        p, predicted(scan()), Name.FlateDecode, Name.DeviceRGB, DecodeParms=_parameters(3, 15)
    ),
    "rgb-tiff-predictor": lambda p: picture(
        p, _tiff_predicted(scan()), Name.FlateDecode, Name.DeviceRGB, DecodeParms=_parameters(3, 2)
    ),
    "rgb-lzw": lambda p: picture(p, imagecodecs.lzw_encode(scan().tobytes()), Name.LZWDecode, Name.DeviceRGB),
    "rgb-run-length": lambda p: picture(
        p, imagecodecs.packbits_encode(scan().tobytes()) + b"\x80", Name.RunLengthDecode, Name.DeviceRGB
    ),
    "rgb-hex": lambda p: picture(p, scan().tobytes().hex().encode() + b">", Name.ASCIIHexDecode, Name.DeviceRGB),
    "rgb-85-flate": lambda p: picture(
        p,
        __import__("base64").a85encode(zlib.compress(scan().tobytes())) + b"~>",
        Array([Name.ASCII85Decode, Name.FlateDecode]),
        Name.DeviceRGB,
    ),
    "rgb-16": lambda p: flate(p, scan(3, 16), 16, Name.DeviceRGB),
    "rgb-4": lambda p: flate(p, scan(3, 4), 4, Name.DeviceRGB),
    "rgb-decode": lambda p: flate(p, scan(), 8, Name.DeviceRGB, Decode=Array([1, 0, 0.2, 0.8, 0, 1])),
    "soft-masked": _soft_masked,
    **{
        f"grey-{bits}": lambda p, bits=bits: flate(p, scan(1, bits), bits, Name.DeviceGray)
        for bits in (1, 2, 4, 8, 16)
    },
    "grey-inverted": lambda p: flate(p, scan(1), 8, Name.DeviceGray, Decode=Array([1, 0])),
    **{f"indexed-{bits}": lambda p, bits=bits: _indexed(p, bits, Name.DeviceRGB, 3) for bits in (1, 2, 4, 8)},
    "indexed-icc": lambda p: _indexed(p, 8, _icc(p), 3),
    "indexed-grey": lambda p: _indexed(p, 4, Name.DeviceGray, 1),
    "indexed-inks": lambda p: _indexed(p, 4, Name.DeviceCMYK, 4),
    "inks": lambda p: flate(p, scan(4), 8, Name.DeviceCMYK),
    "jpeg-inks": lambda p: picture(p, jpeg(scan(4)), Name.DCTDecode, Name.DeviceCMYK),
    "jpeg-inks-inverted": lambda p: picture(
        p, jpeg(scan(4)), Name.DCTDecode, Name.DeviceCMYK, Decode=Array([1, 0] * 4)
    ),
}
"""Pictures that are restored."""


def rendered(path: Path, number: int = 0, **options: Any) -> NDArray[np.uint8]:
    """A page as pdfium draws it, a pixel a point: (H, W, 3)."""
    with pypdfium2.PdfDocument(path) as document:
        return np.asarray(document[number].render(scale=1, **options).to_pil().convert("RGB"))


def text_of(path: Path) -> list[str]:
    """Of each page, what pdfium reads in its layer of text."""
    with pypdfium2.PdfDocument(path) as document:
        return [page.get_textpage().get_text_bounded() for page in document]
