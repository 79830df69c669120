"""Streams for a PDF that wait on the disk: memory holds one at a time, however many pages there are."""

from pathlib import Path
from typing import BinaryIO


class Spool:
    """A PDF of nothing but streams, written as they come: what is to be put into another one waits on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets: list[int] = []
        self._file: BinaryIO = path.open("wb")
        self._file.write(b"%PDF-1.7\n")

    def add(self, data: bytes) -> int:
        """Add a stream; returns its number."""
        self._object(b"<</Length %d>>\nstream\n%b\nendstream" % (len(data), data))
        return len(self._offsets)

    def _object(self, content: bytes) -> None:
        self._offsets.append(self._file.tell())
        self._file.write(b"%d 0 obj\n%b\nendobj\n" % (len(self._offsets), content))

    def finish(self) -> None:
        """Write what makes a PDF of it."""
        root = len(self._offsets) + 1
        self._object(b"<</Type/Catalog/Pages %d 0 R>>" % (root + 1))
        self._object(b"<</Type/Pages/Kids[]/Count 0>>")
        start, size = self._file.tell(), len(self._offsets) + 1
        table = b"".join(b"%010d 00000 n \n" % offset for offset in self._offsets)
        self._file.write(b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table))
        self._file.write(b"trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, root, start))
        self._file.flush()

    def remove(self) -> None:
        """Take the file away."""
        self._file.close()
        self.path.unlink(missing_ok=True)
