"""How many threads this process may compute on."""

import os

MAX_DIGITS = 4
"""Of a number of threads that is meant."""


def num_threads() -> int:
    """As OpenMP counts them: what the environment says (the package sets it), else the cores of the process."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if said.isdecimal() and len(said) <= MAX_DIGITS and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
