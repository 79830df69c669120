"""Commands in processes of their own that need not import PyTorch first: each is forked from one that has."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["manuscript_restore.restore", "manuscript_restore.inference.job"])


def start(main: Callable[[], object], *arguments: object, said: Path) -> ForkServerProcess:
    """Start ``main`` with command line arguments; what it prints goes to the file ``said``.

    Unlike a process of `subprocess` it has ``exitcode`` for ``returncode``, and ``join`` for ``wait``.
    """
    process = _CONTEXT.Process(target=_run, args=(main, [str(argument) for argument in arguments], str(said)))
    process.start()
    assert isinstance(process, ForkServerProcess)
    return process


def _run(main: Callable[[], object], arguments: list[str], said: str) -> None:
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
    sys.argv = ["command", *arguments]
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
    main()
