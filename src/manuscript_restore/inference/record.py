"""The sidecar: how a restored page was made, as JSON."""

import contextlib
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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


def record(
    source: Path,
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
        source: The input.
        output: The result, whole already.
        restorer: What restored it.
        document: Name of the result, settings of its file, what could not be kept.
        pages: Of each page: size, scores, scale of the maps.
        seconds: Time that it took, reading and writing included.
        flagged: Why the page should be looked at before it is used, or None.
    """
    identity = restorer.identity
    return {
        "input": {"file": source.name, "sha256": sha256(source), "bytes": source.stat().st_size},
        "output": {"sha256": sha256(output), **document},
        "model": asdict(identity) if identity else None,
        "settings": {**asdict(restorer.settings), "batch": restorer.tiling.batch},
        "backend": restorer.backend.description,
        "flagged": flagged,
        "pages": pages,
        "seconds": round(seconds, 3),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
    }


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
