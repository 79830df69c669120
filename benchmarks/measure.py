"""What the benchmarks share: medians of time, processes of their own with their peak memory, and the table."""

import json
import os
import re
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def parser(name: str, doc: str | None) -> ArgumentParser:
    """The options of a benchmark, explained by its module's docstring."""
    return ArgumentParser(f"python -m benchmarks {name}", None, doc, formatter_class=RawDescriptionHelpFormatter)


def seconds(function: Callable[[], object], repeats: int, *, warm_up: bool = True, device: str = "cpu") -> float:
    """Median time of a call, after one that warms up."""
    taken = []
    for _ in range(repeats + warm_up):
        start = time.perf_counter()
        function()
        if device != "cpu":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return median(taken[warm_up:])


def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a new process, where nothing is in memory yet."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


@dataclass(frozen=True)
class Run:
    """A command that ran: seconds from start to end, MB at its peak (of a single process), and what it printed."""

    seconds: float
    peak_mb: float
    printed: str
    stopped: bool


# A small process of its own starts the command: Linux begins a child's peak at the memory of who starts it.
LAUNCH = """
import json, resource, subprocess, sys, time
limit, *command = sys.argv[1:]
status, printed, start = None, "", time.perf_counter()
try:
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    done = subprocess.run(command, timeout=float(limit), **said)
    status, printed = done.returncode, done.stdout
except subprocess.TimeoutExpired:
    pass
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps([time.perf_counter() - start, peak, printed.strip(), status]))
"""


def run(command: list[str], *, time_limit_s: float = 1e6) -> Run:
    """Run a command to its end, or stop it at the limit; one that fails ends the benchmark."""
    launch = [sys.executable, "-S", "-c", LAUNCH, str(time_limit_s), *command]
    done = subprocess.run(launch, capture_output=True, text=True, check=True)
    taken, peak_mb, printed, status = json.loads(done.stdout)
    if status:
        sys.exit(f"error: {' '.join(command)}: exit status {status}: {printed}")
    return Run(taken, peak_mb, printed, stopped=status is None)


def start_table(title: str, note: str = "") -> None:
    """Print the title, the machine, and the head of the table."""
    busy = os.getloadavg()[0] > 0.5 * (os.cpu_count() or 1)
    if busy:
        print("The machine is busy: these times are not to be trusted", file=sys.stderr)
    machine = f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores"
    print(f"\n**{title}** ({machine}{'; busy' if busy else ''})\n{note}")
    print("| what | time | rate | peak memory, MB | beside |\n|---|---:|---:|---:|---|", flush=True)


def row(
    what: str, seconds: float | None = None, *, rate: str = "", peak_mb: float | None = None, beside: str = ""
) -> None:
    """Print one row of the table, as soon as it is measured."""
    time_cell = "" if seconds is None else duration(seconds)
    memory = "" if peak_mb is None else f"{peak_mb:.0f}"
    cells = (re.sub(r"\|", r"\\|", cell) for cell in (what, time_cell, rate, memory, beside))
    print(f"| {' | '.join(cells)} |", flush=True)


def duration(seconds: float) -> str:
    """Three figures and a unit.

    >>> duration(0.01234), duration(83.21)
    ('12.3 ms', '83.2 s')
    """
    value, unit = (seconds, "s") if seconds >= 1 else (1000 * seconds, "ms")
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
