"""Ray: joining a cluster, or starting one; and the job that runs there. Ray is imported here, and only on use."""

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from manuscript_restore.errors import UserError
from manuscript_restore.inference.cluster_job import ClusterJob, Size, first_line
from manuscript_restore.inference.cluster_worker import Work, load
from manuscript_restore.inference.job import OnProgress
from manuscript_restore.inference.output import Output
from manuscript_restore.inference.plan import Task
from manuscript_restore.inference.shared import marked
from manuscript_restore.released import find_model, identify

OBJECT_STORE = 100 * 2**20
"""Bytes of memory that a cluster of this process alone keeps for messages: pages do not go that way."""


@contextlib.contextmanager
def cluster_job(
    address: str,
    tasks: Sequence[Task],
    folder: Path,
    output: Output,
    *,
    model: str,
    jobs: int,
    cpus: int,
    gpus: float | None,
    num_workers: int | None,
    tell: Callable[[str], None],
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Iterator[ClusterJob]:
    """The job of some tasks on a cluster.

    Args:
        address: As `joined`.
        tasks: What will be restored.
        folder: For the results.
        output: As `Job`.
        model: As `find_model`: a path, which all machines see, or a name.
        jobs: Files that a worker has in work at a time.
        cpus: Of a worker.
        gpus: Of a worker; None: one if the model may run on GPUs and the cluster has any.
        num_workers: As `ClusterJob`.
        tell: As `ClusterJob`.
        on_progress: As `ClusterJob`.
        options: Of `Restorer.from_checkpoint`.

    Raises:
        UserError: As `joined`, `marked` and `ClusterJob`.
    """
    device = options["device"]
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device={device} with --ray: Ray chooses the GPU; give auto, cpu or cuda")
    sha256 = identify(find_model(model)).sha256
    named = str(Path(model).absolute()) if Path(model).exists() else model
    is_relative = not all(path.is_absolute() for task in tasks for path in (task.source, task.target))
    with joined(address) as ray, marked(folder) as mark:
        if gpus is None:
            may = device == "cuda" or (device == "auto" and options["engine"] in ("auto", "torch"))
            gpus = 1.0 if may and (device == "cuda" or ray.cluster_resources().get("GPU")) else 0.0
        if not gpus and device == "auto":
            options["device"] = "cpu"  # all workers of a machine would take its GPU
        work = Work(
            partial(load, named, sha256, **options), output, mark, jobs, cpus, Path.cwd() if is_relative else None
        )
        yield ClusterJob(
            ray, work, size=Size(cpus, gpus), num_workers=num_workers, tell=tell, on_progress=on_progress
        )


@contextlib.contextmanager
def joined(address: str) -> Iterator[Any]:
    """Join a Ray cluster, or start one on this machine; left, or ended, with the block.

    SIGTERM interrupts the block as Ctrl-C does. Ray's reports of its use to its makers stay off.

    Args:
        address: ``auto``: the cluster that runs on this machine or that ``RAY_ADDRESS`` names; ``host:port``;
            ``ray://host:port``; ``local``: one that is started here, for this process alone.

    Yields:
        The module ``ray``.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    given: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    with contextlib.ExitStack() as stack:
        if address == "local":
            folder = stack.enter_context(TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
            given |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE, "_temp_dir": folder}
            if "ray" not in sys.modules:  # which reads them at its import, and once
                os.environ.setdefault("RAY_AUTH_MODE", "token")  # its ports are open to the network
                os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        try:
            import ray
        except ImportError as error:
            raise UserError("--ray needs Ray: pip install 'manuscript-restore[ray]'") from error
        try:
            knock(address)
            ray.init(**given)
        except Exception as error:  # ConnectionError, RuntimeError, ValueError and what gRPC has
            mend = "`ray start --head` starts one; one with a token is joined with RAY_AUTH_MODE=token"
            wrong = "cannot be started here" if address == "local" else f"no cluster answers; {mend}"
            raise UserError(f"--ray {address}: {wrong} ({first_line(error)})") from error
        stack.callback(ray.shutdown)
        if threading.current_thread() is threading.main_thread():
            stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _interrupt))
        yield ray


def knock(address: str) -> None:
    """Raise an OSError where nobody listens, for which Ray itself takes minutes."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
