"""Times Augraphy's augmentations and default pipeline on the pages of a .npy file; prints JSON, name → seconds.

    PYTHON_WITH_AUGRAPHY benchmarks/augraphy_timings.py PAGES.npy REPEATS NAME [NAME …]

Run by the benchmark `degradation` in an environment of its own: Augraphy is not a dependency.
"""

import contextlib
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np


def seconds(function: Callable[[Any], Any], pages: Any, repeats: int) -> float | None:
    """Median over the pages that it does not fail on, after a warm-up."""
    taken = []
    for page in (pages[0], *pages[:repeats]):
        start = time.perf_counter()
        with contextlib.suppress(Exception):
            function(page.copy())
            taken.append(time.perf_counter() - start)
    return median(taken[1:]) if len(taken) > 1 else None


def main() -> None:
    warnings.simplefilter("ignore")
    import augraphy  # in the other environment only

    path, repeats, *names = sys.argv[1:]
    pages = np.load(path)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # the generator that Augraphy draws from
    timings: dict[str, float | None] = {}
    with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):  # noqa: PTH123
        for name in names:
            if name == "default pipeline":
                function = augraphy.default_augraphy_pipeline()
            else:
                function = getattr(augraphy, name)(p=1)
            timings[name] = seconds(function, pages, int(repeats))
    print(json.dumps(timings))


if __name__ == "__main__":
    main()
