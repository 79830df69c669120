"""Streams of a PDF whose bytes wait on the disk until it is saved: memory holds those of one page."""

import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pikepdf import Dictionary, Object, Pdf


class Spool:
    """New contents of a PDF's streams, each in a file.

    Args:
        folder: Made for them, and removed with the block.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: dict[str, Any] = {}

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)  # of a run that was killed
        self._folder.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def put(self, stream: "Object", entries: "Dictionary", data: bytes) -> None:
        """Give a stream other entries and bytes, once `into` is called."""
        file = self._folder / str(len(self._streams))
        file.write_bytes(data)
        described = json.loads(entries.to_json(dereference=False, schema_version=2))
        described.pop("/Length", None)
        number, generation = stream.objgen
        content = {"dict": described, "datafile": str(file)}
        self._streams[f"obj:{number} {generation} R"] = {"stream": content}

    def into(self, pdf: "Pdf") -> None:
        """Let a PDF have them; they are read when it is saved."""
        header = {
            "jsonversion": 2,
            "pdfversion": pdf.pdf_version,
            "pushedinheritedpageresources": False,
            "calledgetallpages": False,
            "maxobjectid": 1,
        }
        content = json.dumps({"qpdf": [header, self._streams]}, ensure_ascii=False)
        pdf.update_from_qpdf_json(io.BytesIO(content.encode("utf-8", "surrogateescape")))  # names of any bytes
