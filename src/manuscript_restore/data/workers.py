"""The processes that read the training pages: how they start, hand over batches, and come to an end."""

import os
import re
import signal

import cv2
import torch

from manuscript_restore.errors import UserError

LEAVE = signal.SIGUSR2
"""What the owner sends to a worker that it needs no more."""
PATIENCE_S = 60
"""A worker that got SIGTERM ends itself after so long, should its owner not do it."""


def explain_worker(error: BaseException, *, key: str = "data.num_workers") -> UserError | None:
    """The user's side of an exception that PyTorch raises for a process that reads pages; None for another one.

    Args:
        error: What was raised.
        key: Config key of the number of processes, for the message.
    """
    text = str(error)
    if isinstance(error, UserError):  # raised in a worker: PyTorch puts the traceback there into the message
        _, traceback, cause = text.partition("Original Traceback")
        return UserError(cause.rpartition("UserError: ")[2].strip()) if traceback else None
    if "shared memory(shm)" in text or "Bus error" in text:
        return UserError(
            "/dev/shm, the shared memory through which worker processes hand over batches, is full or too small; "
            f"set {key}=0, or give it more room (docker run --shm-size=2g)"
        )
    if found := re.search(r"DataLoader worker \(pid.*?\) (is killed by signal: [\w ]+|exited unexpectedly)", text):
        return UserError(
            f"a worker process {found[1]} while it read pages; if the machine ran out of memory, set fewer "
            f"({key}=0: none), or a smaller data.batch_size"
        )
    return None


def init_worker(worker: int) -> None:  # noqa: ARG001
    """Set up a worker process."""
    # Ctrl-C and cluster managers signal workers too. Their owner sees to the end, and may be waiting for a batch.
    for each in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(each, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(LEAVE, lambda *_: os._exit(0))
    # Every worker is one of many: threads of its own would only fight over the cores.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _leave(*_: object) -> None:
    """Give the owner time to end this process; the second SIGTERM is its own, as that of a worker that hangs."""
    if signal.alarm(PATIENCE_S):
        os._exit(0)
