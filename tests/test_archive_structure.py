"""Odd files: one whose pixels are all there is read, with a note; one whose pixels are missing is refused."""

import base64
import io
import struct
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from manuscript_restore import images
from manuscript_restore.archive import jp2, jpeg, open_document
from manuscript_restore.archive.png import chunk
from manuscript_restore.errors import UserError
from tests.archive_pages import copy, metadata, noise, pixels
from tests.test_archive_tiff import YCBCR, by_hand

HEIGHT, WIDTH = 40, 56
RGB = {
    256: (4, WIDTH),
    257: (4, HEIGHT),
    258: (3, 8, 8, 8),
    259: (3, 1),
    262: (3, 2),
    277: (3, 3),
    278: (4, HEIGHT),
}


def picture():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([40 + 3 * x, 30 + 4 * y, 220 - 2 * x - y], axis=2).astype(np.uint8)


def encoded(array=None, format="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(picture() if array is None else array).save(buffer, format, **options)
    return buffer.getvalue()


def both(tmp_path, data):
    """What the archive and what training read of a file, which must agree, and the notes."""
    path = tmp_path / "page"
    path.write_bytes(data)
    with open_document(path) as document:
        page = document.pages[0]
        kept = page.rows(0, page.height).copy()
    seen = images.read(path)
    if kept.dtype == np.uint8 and page.orientation == 1 and page.channels in (1, 3):
        np.testing.assert_array_equal(seen, np.repeat(kept, 3 // page.channels, axis=2))
    np.testing.assert_array_equal(images.decode(data, "page"), seen)
    return kept, seen, document.notes


def refused(tmp_path, data, match="is truncated or damaged"):
    (tmp_path / "page").write_bytes(data)
    with pytest.raises(UserError, match=match):
        images.read(tmp_path / "page")
    with pytest.raises(UserError, match=match):
        copy(tmp_path / "page", tmp_path / "copy")


def by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize(
    ("between", "strays"),
    [
        (b"\x12junk\0\x34", 7),
        (b"\xff\0\x01", 2),
        (b"\xff\xff\xff", 0),  # fill bytes, which are allowed
        (b"\xff\xd0\xff\x01", 0),  # markers without a segment
        (b"\xff\xe3\0\x04abcdef", 4),  # a segment that says it is shorter than it is
        (b"\xff\xe3\0\x01", 0),  # or nonsense
        (b"\xff\xfe\0\x10" + b"\xff\xd9" * 7, 0),  # an end marker in a comment
    ],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_bytes_between_the_segments_of_a_jpeg(tmp_path, between, strays, progressive):
    whole = encoded(progressive=progressive)
    tables = whole.index(b"\xff\xdb")
    data = whole[:tables] + between + whole[tables:]
    kept, _, notes = both(tmp_path, data)
    np.testing.assert_array_equal(kept, by_opencv(data))
    np.testing.assert_array_equal(kept, by_opencv(whole))
    expected = f"{strays} bytes between the segments of the file could not be kept"
    assert [note for note in notes if "between" in note] == [expected] * bool(strays)


def test_a_jpeg_segment_longer_than_the_file(tmp_path):
    whole = encoded()
    refused(tmp_path, whole[:2] + b"\xff\xe5\xff\xff" + whole[2:], "the file has no picture")


JPEGS = {
    "plain": {},
    "progressive": {"progressive": True},
    "with restarts": {"restart_marker_blocks": 3},
    "of halved colours": {"subsampling": 2, "optimize": True},
    "grey": {},
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_its_end_marker(tmp_path, kind):
    array = picture()[..., 0] if kind == "grey" else None
    whole = encoded(array, **JPEGS[kind])
    right = by_opencv(whole)
    for end in (b"", b"\xff", bytes(30)):
        _, seen, notes = both(tmp_path, whole[:-2] + end)
        np.testing.assert_array_equal(seen, right)
        assert "the end marker was missing" in notes
    start = whole.index(b"\xff\xda") + 20
    for cut in [*range(start, len(whole) - 12, 31), *range(len(whole) - 12, len(whole) - 2)]:
        refused(tmp_path, whole[:cut])
        refused(tmp_path, whole[:cut] + bytes(500))


def test_a_progressive_jpeg_without_its_last_scan(tmp_path):
    whole = encoded(progressive=True)
    refused(tmp_path, whole[: whole.rindex(b"\xff\xda")], "ends before the last scan")


@pytest.mark.parametrize("filling", [b"", bytes(300)])
def test_half_a_jpeg_with_an_end_marker(tmp_path, filling):
    whole = encoded(noise(height=HEIGHT, width=WIDTH))
    refused(tmp_path, whole[: len(whole) // 2] + filling + b"\xff\xd9")


@pytest.mark.parametrize("scan", [0, 1, 4, 9])
def test_a_progressive_jpeg_that_ends_after_a_scan(tmp_path, scan):
    whole = encoded(progressive=True)
    starts = [place for place in range(len(whole)) if whole.startswith(b"\xff\xda", place)]
    refused(tmp_path, whole[: [*starts[1:], whole.rindex(b"\xff\xda")][scan]] + b"\xff\xd9", "last scan")


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_with_restarts_missing(tmp_path, progressive):
    whole = encoded(noise(height=80, width=90), restart_marker_blocks=2, subsampling=2, progressive=progressive)
    first, second, third = (whole.index(bytes([0xFF, code])) for code in (0xD0, 0xD1, 0xD2))
    ninth = whole.index(b"\xff\xd0", third)
    for start, end in ((first, second), (second, third), (first, ninth)):
        refused(tmp_path, whole[:start] + whole[end:], "restarts of the picture are missing")
    refused(tmp_path, whole[: first + 2] + whole[second:], "empty between two restarts")
    if not progressive:
        right = by_opencv(whole)
        number = whole.count(b"\xff\xd0", first) and whole[whole.rindex(b"\xff", 0, -2) + 1]
        extra = bytes([0xFF, 0xD0 + (number - 0xD0 + 1) % 8])
        np.testing.assert_array_equal(both(tmp_path, whole[:-2] + extra + b"\xff\xd9")[0], right)


def test_a_hole_in_a_jpeg(tmp_path):
    whole = encoded(noise(height=HEIGHT, width=WIDTH))
    middle = len(whole) // 2
    refused(tmp_path, whole[:middle] + bytes(128) + whole[middle + 128 :], "there are zeros instead")


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("white", [250, 255])
def test_a_blank_jpeg_is_no_fault(tmp_path, white, optimize):
    for height in range(200, 264, 8):  # of which one ends with zeros, and without bits to fill its last byte
        blank = np.full((height, 520, 3), white, np.uint8)
        kept, _, notes = both(tmp_path, encoded(blank, optimize=optimize))
        assert (kept == white).all()
        assert not notes


def test_a_jpeg_of_too_few_bytes_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    whole = bytearray(encoded())
    frame = whole.index(b"\xff\xc0")
    whole[frame + 5 : frame + 9] = struct.pack(">HH", 7_500, 65_500)
    monkeypatch.setattr(jpeg, "_decoded", None)
    refused(tmp_path, bytes(whole), "the file ends before the picture does")


def test_grey_in_the_corner_of_a_jpeg_is_no_fault(tmp_path):
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    _, seen, notes = both(tmp_path, encoded(grey))
    assert (seen == 128).all()
    assert not notes


def test_jfif_says_that_a_jpeg_is_ycbcr(tmp_path):
    data = encoded()
    adobe = jpeg.segment(b"\xee", b"Adobe\0\x64\0\0\0\0\0")  # which says RGB, and counts only without JFIF
    position = data.index(b"\xff\xdb")
    data = data[:position] + adobe + data[position:]
    np.testing.assert_array_equal(both(tmp_path, data)[0], by_opencv(data))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_bytes_behind_the_picture(tmp_path, format):
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(format=format, **options)
    right, _, none = both(tmp_path, data + b"\r\n\0\0")
    kept, _, notes = both(tmp_path, data + b"a letter of 24 bytes..\r\n")
    np.testing.assert_array_equal(kept, right)
    assert none == []
    assert notes == ["24 bytes behind the picture could not be kept"]


def test_a_png_without_its_end(tmp_path):
    data = encoded(format="PNG")
    text = chunk(b"tEXt", b"Comment\0" + b"fol. 12 " * 9)
    for end in (b"", b"\0\0", text[:30]):
        kept, _, notes = both(tmp_path, data[:-12] + end)
        np.testing.assert_array_equal(kept, picture())
        assert notes[0] == "the end marker was missing"
        assert len(notes) == 2 if end == text[:30] else 1
    refused(tmp_path, data[:-60])


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"tRNS", b"IDAT"])
def test_a_png_with_a_wrong_checksum(tmp_path, kind):
    palette = Image.fromarray(picture()).quantize(16)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", transparency=3)
    data = bytearray(buffer.getvalue())
    data[data.index(kind) + 4 + int.from_bytes(data[data.index(kind) - 4 : data.index(kind)], "big")] ^= 1
    refused(tmp_path, bytes(data), f"the checksum of {kind.decode()} is wrong")


@pytest.mark.parametrize("black", [False, True])
@pytest.mark.parametrize("interlace", [0, 1])
def test_a_png_with_rows_missing(tmp_path, interlace, black):
    width, height = 3, 8  # whose passes are 1×1, none, 1×1, 1×2, 2×2, 1×4 and 3×4 pixels
    passes = [(3, 8)] if not interlace else [(1, 1), (1, 1), (1, 2), (2, 2), (1, 4), (3, 4)]
    rows = b"".join((b"\0" + bytes([0 if black else 9]) * columns) * count for columns, count in passes)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlace))

    def png(rows):
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

    kept, _, _ = both(tmp_path, png(rows))
    assert (kept == (0 if black else 9)).all()
    refused(tmp_path, png(rows[:-4]), "ends before the picture does")


def test_a_png_text_that_would_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("manuscript_restore.archive.png.MAX_INFLATED", 1000)
    data = encoded(format="PNG")
    for length, expected in ((1000, "0" * 1000), (1001, "")):
        text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"0" * length))
        (tmp_path / "page").write_bytes(data[:-12] + text + data[-12:])
        assert dict(metadata(tmp_path / "page").texts) == {"Comment": expected}


@pytest.mark.parametrize("length", [0, 12, 2**31])
def test_a_webp_of_wrong_length(tmp_path, length):
    data = encoded(format="WEBP", lossless=True)
    kept, _, notes = both(tmp_path, data[:4] + struct.pack("<I", length) + data[8:])
    np.testing.assert_array_equal(kept, picture())
    assert notes == ["the length in the file's header was wrong"]
    refused(tmp_path, data[:-20])


def test_zeros_where_a_chunk_of_a_webp_should_begin(tmp_path):
    data = encoded(format="WEBP", lossless=True, exif=Image.Exif().tobytes() + bytes(60))
    start = data.index(b"EXIF")
    refused(tmp_path, data[:start] + bytes(len(data) - start), "no chunk where one should begin")


def sycc(array):
    """A JPEG 2000 file of Y, Cb and Cr, all of full size."""
    ycc = np.asarray(Image.fromarray(array).convert("YCbCr"))
    coded = imagecodecs.jpeg2k_encode(ycc, level=0, reversible=True, codecformat="j2k", mct=False)
    return jpeg2000(coded, (b"colr", struct.pack(">BBBI", 1, 0, 0, 18)))


def jpeg2000(coded, *boxes, shape=(HEIGHT, WIDTH, 3)):
    header = jp2.box(b"ihdr", struct.pack(">IIHBBBB", *shape, 7, 7, 0, 0))
    header += b"".join(jp2.box(*box) for box in boxes)
    start = jp2.SIGNATURE + jp2.box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + jp2.box(b"jp2h", header) + jp2.box(b"jp2c", coded)


def test_jpeg_2000_of_ycbcr(tmp_path):
    kept, _, notes = both(tmp_path, sycc(picture()))
    assert np.abs(kept.astype(int) - picture()).max() <= 3  # rounded to whole Y, Cb and Cr, and back
    assert notes == ["YCbCr converted to RGB"]
    copy(tmp_path / "page", tmp_path / "copy")  # which no longer says YCbCr
    with Image.open(tmp_path / "copy") as image:
        np.testing.assert_array_equal(np.asarray(image), kept)


# 24×16 pixels in two colours, chroma halved both ways, by OpenJPEG's own opj_compress.
SUBSAMPLED = base64.b64decode(
    "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAAEAAAABgAAwcHAAAAAAAPY29scgEAAAAA"
    "ABIAAAEManAyY/9P/1EALwAAAAAAGAAAABAAAAAAAAAAAAAAABgAAAAQAAAAAAAAAAAAAwcBAQcCAgcCAv9SAAwAAAABAAEEBAAB"
    "/1wAB0BASEhQ/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS4w/5AACgAAAAAAkQAB/5PPtOgiEJTrzjlsRszC"
    "uf92gizI2fIcFULonPAP6tdAAYAj9IlI8bshdtdaQYE6H/lgC+213K8sb55DHHc/w+ciEU+GK8o5HTO4cw0bbCiYV0/B8gwUAFxK"
    "ijavmEoI6zHH2hwAIhgLQozHl4Bgqr/DBB/A+QMAIhpiuuAOwDogF9fDv//Z"
)


def test_jpeg_2000_of_halved_colours(tmp_path):
    kept, _, notes = both(tmp_path, SUBSAMPLED)
    right = np.full((16, 24, 3), (200, 180, 140))
    right[:, 8:16] = (60, 40, 30)
    assert np.abs(kept.astype(int) - right).max() <= 3
    assert notes == ["YCbCr converted to RGB"]


def test_jpeg_2000_with_its_channels_in_another_order(tmp_path):
    array = noise(channels=4, height=HEIGHT, width=WIDTH)
    coded = imagecodecs.jpeg2k_encode(array[..., [3, 2, 1, 0]].copy(), level=0, reversible=True, mct=False)
    coded = coded[coded.index(jp2.CODESTREAM) :]
    roles = struct.pack(">13H", 4, 0, 1, 0, 1, 0, 3, 2, 0, 2, 3, 0, 1)  # alpha, blue, green, red
    data = jpeg2000(
        coded, (b"colr", struct.pack(">BBBI", 1, 0, 0, 16)), (b"cdef", roles), shape=(HEIGHT, WIDTH, 4)
    )
    kept, seen, notes = both(tmp_path, data)
    np.testing.assert_array_equal(kept, array)
    over_white = Image.alpha_composite(Image.new("RGBA", (WIDTH, HEIGHT), "white"), Image.fromarray(array))
    assert np.abs(seen.astype(int) - np.asarray(over_white)[..., :3]).max() <= 1
    assert notes == []


def test_jpeg_2000_whose_structure_is_wrong(tmp_path):
    coded = imagecodecs.jpeg2k_encode(picture(), level=0, reversible=True, codecformat="j2k")
    colour = (b"colr", struct.pack(">BBBI", 1, 0, 0, 16))
    whole = jpeg2000(coded, colour)
    box = struct.pack(">I", len(coded) + 8) + b"jp2c"
    wrong_size, no_end = "the size in the file's header was wrong", "the end marker was missing"
    rest = "24 bytes behind the picture could not be kept"
    for data, expected in (
        (jpeg2000(coded, colour, shape=(7, 7, 3)), [wrong_size]),
        (jpeg2000(coded, colour, shape=(HEIGHT, WIDTH, 1)), [wrong_size]),
        (jpeg2000(coded), []),  # no colour space
        (whole[:-2], [no_end]),
        (coded[:-2], [no_end]),
        (whole.replace(box, struct.pack(">I", len(coded) + 99) + b"jp2c"), []),
        (whole + b"a letter of 24 bytes..\r\n", [rest]),
        (coded + b"a letter of 24 bytes..\r\n", [rest]),
    ):
        kept, _, notes = both(tmp_path, data)
        np.testing.assert_array_equal(kept, picture())
        assert notes == expected
    for cut in (3, 40, len(coded) // 2):
        refused(tmp_path, whole[:-cut])
        refused(tmp_path, whole[:-cut] + b"\xff\xd9")


def tiff(tmp_path, data, **changed):
    """A TIFF by its tags; None leaves a tag out."""
    tags = {**RGB, **{int(tag[1:]): value for tag, value in changed.items()}}
    by_hand(tmp_path / "page", data, tags)
    return (tmp_path / "page").read_bytes()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "changed",
    [
        {"t279": None},
        {"t279": (4, 0)},
        {"t279": (4, 2**31)},
        {"t278": None},
        {"t278": (4, 0)},
        {"t278": (4, 2**32 - 1)},
    ],
    ids=str,
)
def test_a_tiff_whose_strips_are_described_wrongly(tmp_path, compressed, changed):
    data = picture().tobytes()
    if compressed:
        data, changed = imagecodecs.zlib_encode(data), {**changed, "t259": (3, 8)}
    kept, _, _ = both(tmp_path, tiff(tmp_path, data, **changed))
    np.testing.assert_array_equal(kept, picture())
    refused(tmp_path, tiff(tmp_path, data[: len(data) // 2], **changed), "ends before|damaged")


@pytest.mark.parametrize("left", [0, 3])
@pytest.mark.parametrize("pages", [1, 2])
def test_a_tiff_without_its_last_pointer(tmp_path, left, pages):
    with tifffile.TiffWriter(tmp_path / "page") as file:
        for _ in range(pages):
            file.write(picture(), photometric="rgb", metadata=None, software=False)
    data = bytearray((tmp_path / "page").read_bytes())
    with tifffile.TiffFile(tmp_path / "page") as file:
        start = file.pages[-1].offset
    directory = data[start : start + 2 + 12 * struct.unpack_from("<H", data, start)[0]]
    pointer = 4 if pages == 1 else data.index(struct.pack("<I", start))
    data[pointer : pointer + 4] = struct.pack("<I", len(data))
    kept, _, notes = both(tmp_path, bytes(data + directory) + bytes(left))
    np.testing.assert_array_equal(kept, picture())
    assert notes == ["the end marker behind the last directory was missing"]
    (tmp_path / "page").write_bytes(data + directory[:-5])
    with pytest.raises(UserError, match="is truncated"):
        copy(tmp_path / "page", tmp_path / "copy")


def test_a_tiff_whose_list_of_pages_leads_back(tmp_path):
    with tifffile.TiffWriter(tmp_path / "page") as file:
        file.write(picture(), photometric="rgb", metadata=None, software=False)
        file.write(picture(), photometric="rgb", metadata=None, software=False)
    data = bytearray((tmp_path / "page").read_bytes())
    with tifffile.TiffFile(tmp_path / "page") as file:
        first, last = (page.offset for page in file.pages)
    end = last + 2 + 12 * struct.unpack_from("<H", data, last)[0]
    data[end : end + 4] = struct.pack("<I", first)
    kept, _, notes = both(tmp_path, bytes(data))
    np.testing.assert_array_equal(kept, picture())
    assert notes == ["the list of pages leads back to itself; pages read: 2"]


def test_a_palette_of_8_bit_values(tmp_path):
    numbers = noise(channels=1, height=HEIGHT, width=WIDTH)
    palette = noise(height=256, width=1)[:, 0]
    changed = {"t258": (3, 8), "t262": (3, 3), "t277": (3, 1), "t320": (3, *palette.T.ravel().tolist())}
    kept, _, notes = both(tmp_path, tiff(tmp_path, numbers.tobytes(), **changed))
    np.testing.assert_array_equal(kept, palette[numbers[..., 0]])
    assert notes == ["palette expanded to RGB"]


@pytest.mark.parametrize("planar", [False, True])
def test_16_bits_in_planes_for_training(tmp_path, planar):
    array = picture().astype(np.uint16) * 257
    options = {"planarconfig": "separate"} if planar else {}
    stored = np.moveaxis(array, 2, 0).copy() if planar else array
    tifffile.imwrite(tmp_path / "page", stored, photometric="rgb", metadata=None, **options)
    np.testing.assert_array_equal(images.read(tmp_path / "page"), picture())


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14])
def test_odd_bit_depths_for_training(tmp_path, bits):
    values = np.arange(0, 2**bits, 2**bits // 4, dtype=np.uint8 if bits < 8 else np.uint16)[None]
    tifffile.imwrite(tmp_path / "page", values, bitspersample=bits, metadata=None)
    seen = images.read(tmp_path / "page")[0, :, 1]
    assert np.abs(seen - np.rint(values[0] * (255 / (2**bits - 1)))).max() <= 1


@pytest.mark.parametrize("tables", [False, True])
def test_old_style_jpeg_with_its_tables_in_tags(tmp_path, tables):
    data = encoded(subsampling=0)
    segments, scan, _ = jpeg.segments_of(data)
    tags = {**YCBCR, 256: (4, WIDTH), 257: (4, HEIGHT), 278: (4, HEIGHT), 259: (3, 6), 512: (3, 1), 530: (3, 1, 1)}
    if tables:
        start = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
        content = data[start:-2] + bytes(len(data) % 2)
        quantised = [segment[1:] for marker, segment in segments if marker == b"\xdb"]
        codes = {segment[0]: segment[1:] for marker, segment in segments if marker == b"\xc4"}
        places = []
        for table in (*quantised, codes[0], codes[1], codes[16], codes[17]):
            places.append(8 + len(content))
            content += table + bytes(len(table) % 2)
        luma, chroma, dc, dc_chroma, ac, ac_chroma = places
        tags |= {519: (4, luma, chroma, chroma), 520: (4, dc, dc_chroma, dc_chroma)}
        tags |= {521: (4, ac, ac_chroma, ac_chroma), 532: (5, 0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)}
        by_hand(tmp_path / "page", content, {**tags, 279: (4, len(data[start:-2]))})
    else:  # a whole JPEG, and no word on strips
        by_hand(tmp_path / "page", data, {**tags, 513: (4, 8), 514: (4, len(data)), 273: None, 279: None})
    kept, _, notes = both(tmp_path, (tmp_path / "page").read_bytes())
    assert np.abs(kept.astype(int) - by_opencv(data)).max() <= 1  # libtiff rounds otherwise
    assert notes == ["YCbCr converted to RGB"]


@pytest.mark.parametrize("cut", [0, 2, 30])
def test_jpeg_strips_without_an_end_marker(tmp_path, cut):
    tifffile.imwrite(tmp_path / "page", noise(), photometric="rgb", compression="jpeg", metadata=None)
    right = tifffile.imread(tmp_path / "page")
    with tifffile.TiffFile(tmp_path / "page", mode="r+") as file:
        counts = file.pages[0].tags[279]
        counts.overwrite(counts.value[0] - cut)
    data = (tmp_path / "page").read_bytes()
    if cut == 30:
        refused(tmp_path, data, "a strip ends early")
    else:
        np.testing.assert_array_equal(both(tmp_path, data)[0], right)


@pytest.mark.parametrize("meanings", [[0, 0], [0, 2, 0], [1, 0], [0, 0, 0, 0]])
@pytest.mark.parametrize("inks", [False, True])
def test_channels_beside_the_colours(tmp_path, meanings, inks):
    array = noise(channels=(4 if inks else 3) + len(meanings))
    options = {"photometric": "separated" if inks else "rgb", "extrasamples": meanings}
    tifffile.imwrite(tmp_path / "page", array, planarconfig="contig", metadata=None, **options)
    with open_document(tmp_path / "page") as document:
        kept = document.pages[0].rows(0, array.shape[0])
        notes = document.notes
    first = next((number for number, meaning in enumerate(meanings) if meaning), 0)
    np.testing.assert_array_equal(kept[..., 3], array[..., (4 if inks else 3) + first])
    if not inks:
        np.testing.assert_array_equal(kept[..., :3], array[..., :3])
    others = len(meanings) - 1
    assert f"{others} of the {len(meanings)} channels beside the colours could not be kept" in notes
    copy(tmp_path / "page", tmp_path / "copy")
    with tifffile.TiffFile(tmp_path / "copy") as file:
        assert file.pages[0].extrasamples == (meanings[first],)


@pytest.mark.parametrize(("meaning", "expected"), [(0, 100), (1, 227), (2, 177), (None, 177)])
def test_training_heeds_what_the_fourth_channel_means(tmp_path, meaning, expected):
    array = np.full((HEIGHT, WIDTH, 4), 100, np.uint8)
    array[..., 3] = 128
    changed = {"t258": (3, 8, 8, 8, 8), "t277": (3, 4), "t338": None if meaning is None else (3, meaning)}
    tiff(tmp_path, array.tobytes(), **changed)
    assert np.abs(images.read(tmp_path / "page").astype(int) - expected).max() <= 1


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_training_takes_the_first_picture_of_an_animation(tmp_path, format):
    frames = [Image.fromarray(picture()), Image.new("RGB", (WIDTH, HEIGHT))]
    options = {"lossless": True} if format == "WEBP" else {}
    frames[0].save(tmp_path / "page", format, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(images.read(tmp_path / "page"), picture())


def test_training_takes_the_first_page_where_the_second_is_missing(tmp_path):
    with tifffile.TiffWriter(tmp_path / "page") as file:
        for _ in range(2):
            file.write(picture(), photometric="rgb", metadata=None)
    whole = (tmp_path / "page").read_bytes()
    (tmp_path / "page").write_bytes(whole[: int(len(whole) * 0.6)])
    np.testing.assert_array_equal(images.read(tmp_path / "page"), picture())
    with pytest.raises(UserError, match="is truncated"):
        copy(tmp_path / "page", tmp_path / "copy")


@pytest.mark.parametrize("tiles", [None, (16, 16)])
def test_a_jpeg_2000_without_some_of_its_tiles_is_refused(tmp_path, tiles):
    """OpenJPEG leaves them black without a word: a size in the codestream that is too large, or a tile cut out."""
    Image.fromarray(noise(height=37, width=53)).save(tmp_path / "page.j2k", tile_size=tiles)
    coded = bytearray((tmp_path / "page.j2k").read_bytes())
    with open_document(tmp_path / "page.j2k") as document:
        assert document.notes == []
    if tiles:
        first = coded.index(b"\xff\x90")
        size = int.from_bytes(coded[first + 6 : first + 10], "big")
        del coded[first : first + size]
    else:
        coded[12:16] = (37 * 1000).to_bytes(4, "big")
    (tmp_path / "page.j2k").write_bytes(coded)
    with pytest.raises(UserError, match="tiles are missing"):
        pixels(tmp_path / "page.j2k")
