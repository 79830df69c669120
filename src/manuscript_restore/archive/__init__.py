"""Page images in and out as an archive wants it: nothing lost of their pixels, layout or metadata."""

from manuscript_restore.archive.document import MAX_PIXELS, Document, open_document
from manuscript_restore.archive.metadata import Metadata, Resolution
from manuscript_restore.archive.page import Page, PageDescription, Pixels, TiffLayout
from manuscript_restore.archive.writer import write_document, write_pages

__all__ = [
    "MAX_PIXELS",
    "Document",
    "Metadata",
    "Page",
    "PageDescription",
    "Pixels",
    "Resolution",
    "TiffLayout",
    "open_document",
    "write_document",
    "write_pages",
]
