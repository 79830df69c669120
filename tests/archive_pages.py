"""Shared by the tests of the archive: copying a document, pages with everything, and metadata to put into them."""

import numpy as np
from PIL import Image, ImageCms

from manuscript_restore.archive import open_document, write_document

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><note>fol. 12 verso</note></x:xmpmeta>"
IPTC = b"\x1c\x02\x78\0\x0bpalm leaf 7"
PHOTOSHOP = b"8BIM\x04\x04\0\0\0\0\0\x10" + IPTC
MODES = [(np.uint8, channels) for channels in (1, 2, 3, 4)] + [(np.uint16, channels) for channels in (1, 2, 3, 4)]


def noise(dtype=np.uint8, channels=3, height=37, width=53, seed=0):
    """Pixels of every value, so that nothing that is lost goes unseen."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels)).astype(dtype)


def exif(orientation=6):
    """An EXIF block with tags in all its directories."""
    block = Image.Exif()
    block[0x0112], block[0x010F], block[0x0131], block[0x9C9B] = orientation, "Maker", "Scanner 1.0", b"t\0"
    block[0x011A], block[0x011B], block[0x0128] = 400.0, 300.0, 2
    block.get_ifd(0x8769).update({0x9003: "2020:02:03 04:05:06", 0x927C: b"maker's note", 0x829A: 0.25})
    block.get_ifd(0x8825).update({1: "N", 2: (12.0, 58.0, 17.5)})
    return block.tobytes()


def blocks_of(page, step=11):
    """A page's rows in uneven blocks."""
    for top in range(0, page.height, step):
        yield page.rows(top, min(top + step, page.height))


def copy(source, target, format=None, **options):
    """Read a document and write it again; returns all notes."""
    with open_document(source) as document:
        pages = [(page, blocks_of(page)) for page in document.pages]
        return document.notes + write_document(target, pages, format=format or document.format, **options)


def pixels(path, page=0):
    """All pixels of one page."""
    with open_document(path) as document:
        return document.pages[page].rows(0, document.pages[page].height).copy()


def metadata(path, page=0):
    """One page's metadata."""
    with open_document(path) as document:
        return document.pages[page].metadata
