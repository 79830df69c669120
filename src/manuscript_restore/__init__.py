"""Restore damaged manuscript pages with Vision Transformers trained on synthetic damage.

``Restorer`` restores pictures from Python; everything else is in the modules. Importing the package sets how
OpenMP's threads wait, and how many there are, unless the environment says so: PyTorch reads it when it is loaded.
"""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manuscript_restore.inference import Restorer

__all__ = ["Restorer"]


def __getattr__(name: str) -> Any:  # on first use: PyTorch takes seconds to import
    if name == "Restorer":
        from manuscript_restore.inference import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _set_threads(cgroup: Path = Path("/sys/fs/cgroup")) -> None:
    # Threads that wait by spinning take the cores from whatever runs beside them, and from one another.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # OpenMP counts the cores that a process may run on, but knows nothing of a container's share of their time.
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):  # version 2 and version 1
        try:
            text = " ".join((cgroup / file).read_text() for file in files)
            quota, period = map(float, text.split())
        except (OSError, ValueError):  # no such file; "max": no limit
            continue
        if quota > 0:  # version 1 writes -1 for no limit
            cores = min(len(os.sched_getaffinity(0)), math.ceil(quota / period))
            os.environ.setdefault("OMP_NUM_THREADS", str(cores))


_set_threads()
