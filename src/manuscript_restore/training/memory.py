"""Where the memory of a training comes from."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of ``malloc.h``."""


def keep_memory() -> bool:
    """Let this process keep the memory that tensors leave for those of the next step; whether that could be done.

    glibc gets a large block from the kernel for each large tensor, and gives it back with it. The kernel clears
    each page of it anew: a tenth of the time of a step of ViT-B on two cores. Now nothing is given back before the
    end of the process: what it holds is what a step needs at most. Only with glibc; elsewhere nothing changes.

    Source: mallopt(3).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
