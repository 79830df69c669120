"""PDFs that are broken, or made to break who reads them: a word each, in little time and memory."""

import contextlib
import functools
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name
from typer.testing import CliRunner, Result

from manuscript_restore.cli import app
from manuscript_restore.inference import Restorer
from tests import stand_in
from tests.pdf_pages import FULL, add_page, flate, picture, scan

MEMORY = 400_000_000
"""Bytes that reading one of them may take at most; the bombs are made to take more."""


def by_hand(*objects: bytes, root: int = 1) -> bytes:
    """A PDF of objects as they are given, numbered from 1."""
    data, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
    return data + head + b"trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, root, len(data))


def stream(data: bytes, entries: bytes) -> bytes:
    return b"<<%b/Length %d>>\nstream\n%b\nendstream" % (entries, len(data), data)


def book(*pictures: Callable[[pikepdf.Pdf], pikepdf.Stream]) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        with pikepdf.new() as pdf:
            for make in pictures:
                add_page(pdf, (make(pdf), FULL))
            pdf.save(path)

    return save


def page_with(content: bytes, xobjects: bytes = b"", *more: bytes) -> bytes:
    """A page whose content is packed; further objects begin with number 5."""
    return by_hand(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 100 100]>>",
        b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</XObject<<%b>>>>>>" % xobjects,
        stream(zlib.compress(content, 9), b"/Filter/FlateDecode"),
        *more,
    )


def object_stream(data: bytes, entries: bytes) -> bytes:
    """A file whose pages lie in a packed stream of objects, which an xref stream points into."""
    header = b"%PDF-1.7\n"
    packed = stream(data, b"/Type/ObjStm/N 2/First 10" + entries)
    catalog_at = len(header)
    first = header + b"1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n"
    second = first + b"4 0 obj\n%b\nendobj\n" % packed
    table = b"\0\0\0\0\0" + b"\1" + catalog_at.to_bytes(3) + b"\0" + b"\2\0\0\4\0" + b"\2\0\0\4\1"
    table += b"\1" + len(first).to_bytes(3) + b"\0" + b"\1" + len(second).to_bytes(3) + b"\0"
    xref = stream(table, b"/Type/XRef/Size 6/W[1 3 1]/Root 1 0 R")
    return second + b"5 0 obj\n%b\nendobj\nstartxref\n%d\n%%%%EOF\n" % (xref, len(second))


PAGES = b"2 0 3 40  <</Type/Pages/Kids[3 0 R]/Count 1>>".ljust(50) + b"<</Type/Page>>"


@functools.cache
def bomb(start: bytes = b"", size: int = 800_000_000) -> bytes:
    """So many zeros behind some bytes, packed without ever being there at once."""
    packer, block = zlib.compressobj(1), bytes(1_000_000)
    return b"".join(
        [packer.compress(start), *(packer.compress(block) for _ in range(size // 10**6)), packer.flush()]
    )


@functools.cache
def double_bomb() -> bytes:
    return zlib.compress(bomb())


FORMS = [  # each draws the next ten times
    stream(
        b"/F Do " * 10, b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F %d 0 R>>>>" % (6 + i)
    )
    for i in range(8)
]
HUGE = {"Width": 60_000, "Height": 60_000}

REFUSED: dict[str, tuple[bytes | Callable[[Path], object], str]] = {
    "empty": (b"%PDF-1.7", "truncated or damaged"),
    "no-pages": (by_hand(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"), "no pages"),
    "no-root": (by_hand(b"<<>>"), "damaged|no pages"),
    "page-is-its-parent": (
        by_hand(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R]/Count 1>>"),
        "damaged|no pages|without a picture",
    ),
    "tree-in-a-circle": (
        by_hand(
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Pages/Kids[2 0 R]/Count 1/Parent 2 0 R>>",
        ),
        "damaged|no pages|without a picture",
    ),
    "deep-tree": (
        by_hand(
            b"<</Type/Catalog/Pages 2 0 R>>",
            *(b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % (i + 3) for i in range(3000)),
            b"<</Type/Page>>",
        ),
        "damaged|without a picture|no pages",
    ),
    "million-pages": (
        by_hand(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 999999999>>"), "no pages"
    ),
    "nested-arrays": (by_hand(b"<</Type/Catalog/Pages 2 0 R/X " + b"[" * 100_000 + b">>"), "damaged|no pages"),
    "content-bomb": (page_with(b"q Q " * 1_000_000), "too long to look for pictures"),
    "forms-that-draw-forms": (
        page_with(b"/F Do " * 10, b"/F 5 0 R", *FORMS, stream(b"", b"/Type/XObject/Subtype/Form")),
        "too long to look|without a picture",
    ),
    "form-in-itself": (
        page_with(b"/F Do", b"/F 5 0 R", stream(b"/F Do", b"/Subtype/Form/Resources<</XObject<</F 5 0 R>>>>")),
        "without a picture",
    ),
    "many-pictures": (
        page_with(b"/I Do " * 5000, b"/I 5 0 R", stream(b"", b"/Subtype/Image/Width 1/Height 1")),
        "too many pictures",
    ),
    "huge-picture": (book(lambda p: picture(p, b"x", None, Name.DeviceGray, **HUGE)), "larger than 500,000,000"),
    "negative-picture": (
        book(lambda p: picture(p, b"x", None, Name.DeviceGray, Width=-200, Height=-300)), "smaller than"
    ),
    "no-size": (book(lambda p: picture(p, b"x", None, Name.DeviceGray, Width=None)), "damaged"),
    "size-of-a-name": (book(lambda p: picture(p, b"x", None, Name.DeviceGray, Width=Name.X)), "damaged"),
    "twenty-filters": (
        book(lambda p: picture(p, b"", Array([Name.FlateDecode] * 20), Name.DeviceGray)), "20 filters"
    ),
    "run-length-bomb": (
        book(lambda p: picture(p, b"\x81\0" * 10_000_000, Name.RunLengthDecode, Name.DeviceGray)), "damaged"
    ),
    "palette-of-palettes": (
        book(lambda p: flate(p, scan(1), 8, _circle(p))), "colour space Indexed"
    ),
    "profile-bomb": (book(lambda p: flate(p, scan(), 8, _profile(p))), "profile of other colours"),
    "jpeg-of-another-size": (
        book(lambda p: picture(p, _huge_jpeg(), Name.DCTDecode, Name.DeviceRGB)), "truncated or damaged"
    ),
    "jpx-of-another-size": (book(lambda p: picture(p, _huge_jpx(), Name.JPXDecode, None)), "rare kind"),
    "columns-of-another-size": (
        book(lambda p: picture(p, zlib.compress(scan().tobytes()), Name.FlateDecode, Name.DeviceRGB,
            DecodeParms=Dictionary(Predictor=15, Colors=3, BitsPerComponent=8, Columns=2**30))),
        "truncated or damaged",
    ),
    "no-columns": (
        book(lambda p: picture(p, zlib.compress(scan().tobytes()), Name.FlateDecode, Name.DeviceRGB,
            DecodeParms=Dictionary(Predictor=2, Colors=0, BitsPerComponent=8, Columns=0))),
        "truncated or damaged",
    ),
    "object-stream-bomb": (
        lambda path: path.write_bytes(object_stream(bomb(), b"/Filter/FlateDecode")), "damaged|no pages"
    ),
    "object-stream-double-bomb": (
        lambda path: path.write_bytes(object_stream(double_bomb(), b"/Filter[/FlateDecode/FlateDecode]")),
        "damaged|no pages",
    ),
    "object-stream-lzw": (
        lambda path: path.write_bytes(object_stream(imagecodecs.lzw_encode(PAGES), b"/Filter/LZ#57Decode")),
        "objects packed by LZW",
    ),
}  # fmt: skip


def _circle(pdf: pikepdf.Pdf) -> Array:
    space = pdf.make_indirect(Array([Name.Indexed, Name.DeviceRGB, 255, pikepdf.String(bytes(768))]))
    space[1] = space
    return space


def _profile(pdf: pikepdf.Pdf) -> Array:
    return Array(
        [Name.ICCBased, pdf.make_stream(double_bomb(), N=3, Filter=Array([Name.FlateDecode, Name.FlateDecode]))]
    )


def _huge_jpeg() -> bytes:
    from tests.pdf_pages import jpeg

    data = bytearray(jpeg(scan()))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


def _huge_jpx() -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(scan(), codecformat="j2k"))
    data[8:16] = (2**31 - 1).to_bytes(4) * 2
    return bytes(data)


@pytest.fixture(autouse=True)
def darker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Restorer, "from_checkpoint", stand_in.load)


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Fail if the block takes more than `MEMORY` at its peak."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = status("VmRSS")
    yield
    assert status("VmHWM") - before < MEMORY


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def restore(path: Path, *options: str) -> Result:
    arguments = ["restore", str(path), "-o", str(path.parent / "out"), *options]
    with little_memory():
        return CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_a_word(name: str, tmp_path: Path) -> None:
    content, words = REFUSED[name]
    path = tmp_path / "book.pdf"
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    result = restore(path)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    said = " ".join(result.output.split())
    assert "book.pdf" in said
    assert any(word in said for word in words.split("|")), said
    assert not list((tmp_path / "out").iterdir())


def test_of_a_picture_that_unpacks_to_more_only_the_picture_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    filters = Array([Name.FlateDecode] * 2)
    book(lambda p: picture(p, double_bomb(), filters, Name.DeviceGray))(path)
    assert restore(path).exit_code == 0


def refused(path: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["restore", str(path), "-o", str(path.parent / "out"), *options])
    assert result.exit_code == 1
    assert not list((path.parent / "out").iterdir())
    return " ".join(result.output.split())


def grey(pdf: pikepdf.Pdf) -> pikepdf.Stream:
    return flate(pdf, scan(1), 8, Name.DeviceGray)


def test_a_password_is_asked_for_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    with pikepdf.new() as pdf:
        add_page(pdf, (grey(pdf), FULL))
        pdf.save(path, encryption=pikepdf.Encryption(owner="mine", user="yours"))
    assert "is encrypted with a password; write it without: qpdf --decrypt" in refused(path)


def test_a_signed_one_is_refused_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    with pikepdf.new() as pdf:
        add_page(pdf, (grey(pdf), FULL))
        pdf.Root.AcroForm = Dictionary(Fields=Array([]), SigFlags=3)
        pdf.save(path)
    assert "is signed, and a restored copy would not be; give --allow-signed" in refused(path)
    result = CliRunner().invoke(app, ["restore", str(path), "-o", str(tmp_path / "out"), "--allow-signed"])
    assert result.exit_code == 0


def test_an_xfa_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    with pikepdf.new() as pdf:
        add_page(pdf, (grey(pdf), FULL))
        pdf.Root.AcroForm = Dictionary(XFA=pdf.make_stream(b"<xdp/>"))
        pdf.save(path)
    assert "is an XFA form, whose pages are made when it is opened; print it" in refused(path)


def test_one_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    book(grey, grey)(path)
    content = path.read_bytes()
    for size in (len(content) - 300, len(content) * 3 // 4):  # without the table of its objects; without a picture
        path.write_bytes(content[:size])
        result = restore(path, "--overwrite")
        assert result.exit_code == 1
        assert "the file is damaged" in " ".join(result.output.split())  # what is written of it no longer says so
        assert "1 restored in part" in result.output
        with pikepdf.open(tmp_path / "out/book.pdf") as pdf:
            assert len(pdf.pages) == 2
