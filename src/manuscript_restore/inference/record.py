"""The sidecar: how a restored page was made, as JSON."""

import contextlib
import json
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from manuscript_restore.archive.xmp import Mark
from manuscript_restore.files import sha256
from manuscript_restore.inference.restorer import Restorer

PACKAGES = (
    "manuscript-restore",
    "numpy",
    "onnxruntime",
    "openvino",
    "torch",
    "timm",
    "pillow",
    "tifffile",
    "imagecodecs",
)


@dataclass(frozen=True)
class Origin:
    """What a result is made from.

    Args:
        file: The input.
        format: Of that, as `archive` names it.
        sha256: Of that.
        created: When the work on it began, as in ISO 8601.
    """

    file: Path
    format: str
    sha256: str
    created: str

    @classmethod
    def of(cls, file: Path, format: str) -> Self:
        """That of work that begins now."""
        return cls(file, format, sha256(file), datetime.now(UTC).isoformat(timespec="seconds"))


def mark(origin: Origin, restorer: Restorer, number: int = 0) -> Mark:
    """What the XMP packet of a page says of it: the same facts, in short.

    Args:
        origin: What the page is made from.
        restorer: What restores it.
        number: Of the page in its file, from 0.
    """
    identity, settings = restorer.identity, restorer.settings
    model = f"model {identity.name} (SHA-256 {identity.sha256})" if identity else "a model without a name"
    said = [f"restored by the {model}", f"strength {settings.strength:g}"]
    said += [name for name in ("keep_colour", "flips", "damaged") if getattr(settings, name)]
    said += ["the colour of sound pages"] if settings.like else []
    agent = f"manuscript-restore {_versions().get('manuscript-restore', '')}".strip()
    return Mark(origin.file.name, origin.sha256, agent, origin.created, "; ".join(said), number)


def record(
    origin: Origin,
    output: Path,
    *,
    restorer: Restorer,
    document: dict[str, Any],
    pages: list[dict[str, Any]],
    seconds: float,
    flagged: str | None,
) -> dict[str, Any]:
    """Everything that decided what the file became, and what was measured on the way.

    Args:
        origin: What it was made from.
        output: The result, whole already.
        restorer: What restored it.
        document: Name of the result, settings of its file, what could not be kept.
        pages: Of each page: size, scores, scale of the maps.
        seconds: Time that it took, reading and writing included.
        flagged: Why the page should be looked at before it is used, or None.
    """
    identity = restorer.identity
    return {
        "input": {
            "file": origin.file.name,
            "format": origin.format,
            "sha256": origin.sha256,
            "bytes": origin.file.stat().st_size,
        },
        "output": {"sha256": sha256(output), "bytes": output.stat().st_size, **document},
        "model": asdict(identity) if identity else None,
        "settings": {**asdict(restorer.settings), "batch": restorer.tiling.batch},
        "backend": restorer.backend.description,
        "flagged": flagged,
        "pages": pages,
        "seconds": round(seconds, 3),
        "created": origin.created,
        "versions": {"python": platform.python_version(), **_versions()},
    }


def as_json(content: dict[str, Any]) -> bytes:
    """For a file; names that are not UTF-8 are escaped, as JSON allows."""
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "backslashreplace")


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
