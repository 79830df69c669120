"""The batch job on a Ray cluster: the same pages, options and results as `Job`, on workers of many machines."""

import contextlib
import pickle
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manuscript_restore.errors import UserError
from manuscript_restore.files import unfinished_name
from manuscript_restore.inference.cluster_worker import Refusal, Work, Worker, code
from manuscript_restore.inference.job import OnProgress
from manuscript_restore.inference.output import Outcome
from manuscript_restore.inference.plan import Task
from manuscript_restore.inference.waiting import WaitingEvidence

MAX_DEATHS = 3
"""Workers that may die over a file before it counts as failed; and at their start, before none replaces them."""
POLL_S = 1.0
"""Seconds after which the workers are asked how far they are."""
STOP_S = 20.0
"""Seconds that workers have to leave their files when the job is stopped."""
PATIENCE_S = 30.0
"""Seconds without a worker after which that is told."""


@dataclass(frozen=True)
class Size:
    """What a worker takes of its machine; fractions of a GPU share it."""

    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.gpus < 0:
            raise UserError(
                f"--ray-cpus {self.cpus}, --ray-gpus {self.gpus:g}: at least one CPU, and no GPU below 0"
            )

    def fitting(self, ray: Any) -> int:
        """How many of them the cluster has room for, whatever else it does."""
        found = 0
        for node in ray.nodes():
            has = node["Resources"] if node["Alive"] else {}
            cpus, gpus = has.get("CPU", 0) // self.cpus, has.get("GPU", 0)
            found += int(min(cpus, gpus / self.gpus + 1e-6) if self.gpus else cpus)
        return found


@dataclass(eq=False)
class _Hired:
    """A worker: of Ray, the handle of its process and references to the answers that are waited for."""

    actor: Any
    opening: Any
    asked: Any = None
    name: str = "a worker at its start"
    pages: dict[Any, Task] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it has loaded the model."""
        return self.opening is None

    def waited_for(self) -> list[Any]:
        """The references."""
        return [each for each in (self.opening, self.asked, *self.pages) if each is not None]


class ClusterJob:
    """Restores tasks on the workers of a cluster; what became of a page is found out on this machine alone.

    A worker that dies has its files done again by others. Then one of them at a time, so that one that kills its
    worker is found. A worker whose package, weights, engine or folders differ is not used.

    Args:
        ray: The module, joined to the cluster.
        work: What each worker does.
        size: What each worker takes.
        num_workers: How many; None: as many as the cluster has room for.
        tell: Gets lines about workers.
        on_progress: Told how far a file is.

    Raises:
        UserError: There is no room for any.
    """

    def __init__(
        self,
        ray: Any,
        work: Work,
        *,
        size: Size,
        num_workers: int | None = None,
        tell: Callable[[str], None],
        on_progress: OnProgress | None = None,
    ) -> None:
        if work.jobs < 1 or (num_workers is not None and num_workers < 1):
            raise UserError(f"--jobs {work.jobs}, --ray-workers {num_workers}: must be at least 1")
        self._wanted = num_workers or size.fitting(ray)
        if not self._wanted:
            raise UserError(
                f"no node of the cluster has room for a worker of {size.cpus} CPUs and {size.gpus:g} GPUs; ask "
                "for less, or give --ray-workers to wait for such a node"
            )
        self._ray, self._work = ray, work
        self._tell, self._on_progress = tell, on_progress
        self._kind = ray.remote(Worker).options(
            num_cpus=size.cpus,
            num_gpus=size.gpus,
            max_concurrency=work.jobs + 2,  # beside its files it is asked how far it is, and told to stop
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        self._given = code(), pickle.dumps(work)
        self._workers: list[_Hired] = []
        self._waiting: deque[Task] = deque()
        self._suspects: deque[Task] = deque()
        self._deaths: Counter[Path] = Counter()
        self._failed_starts = 0
        self._engine, self._refusal = "", ""
        self._asked_at = 0.0
        self._idle_since: float | None = time.monotonic()

    def run(self, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Restore all, yielding what became of each as it ends; closing the iterator stops the workers."""
        self._waiting.extend(tasks)
        try:
            while True:
                yield from self._there_already()
                while self._give():
                    yield from self._there_already()
                if not (left := self._num_left()):
                    return
                self._hire(left)
                awaited = [each for worker in self._workers for each in worker.waited_for()]
                done, _ = self._ray.wait(awaited, num_returns=1, timeout=POLL_S)
                for reference in done:
                    yield from self._take(reference)
                self._ask()
        finally:
            self._dismiss()

    def _there_already(self) -> Iterator[Outcome]:
        with contextlib.suppress(OSError):  # of a name that is too long: the worker says it
            while self._waiting and (outcome := self._work.output.found(self._waiting[0])):
                self._waiting.popleft()
                yield outcome

    def _give(self) -> bool:
        """Give the next file to the worker that has the fewest; False: none can take it."""
        ready = [worker for worker in self._workers if worker.is_open and not self._tries_alone(worker)]
        worker = min(ready, key=lambda each: len(each.pages), default=None)
        if worker is None:
            return False
        if self._suspects and not worker.pages:  # alone, so that it is known who did it
            task = self._suspects.popleft()
        elif self._waiting and not self._suspects and len(worker.pages) < self._work.jobs:
            task = self._waiting.popleft()
        else:
            return False
        worker.pages[worker.actor.restore.remote(task, task.source.exists())] = task
        return True

    def _tries_alone(self, worker: _Hired) -> bool:
        return any(self._deaths[task.target] for task in worker.pages.values())

    def _num_left(self) -> int:
        return len(self._waiting) + len(self._suspects) + sum(len(worker.pages) for worker in self._workers)

    def _hire(self, num_left: int) -> None:
        """Ask for workers, as many as there is work for; Ray starts them where and when there is room."""
        if not self._wanted:
            raise UserError(f"no worker can do the work; {self._refusal}")
        while len(self._workers) < min(self._wanted, num_left):
            actor = self._kind.remote(*self._given)
            self._workers.append(_Hired(actor, actor.open.remote()))
        self._tell_of_waiting(not any(worker.is_open for worker in self._workers))

    def _tell_of_waiting(self, idle: bool) -> None:
        if not idle:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > PATIENCE_S:
            self._tell("waiting: the cluster has started no worker yet; is it busy, or are its nodes gone?")
            self._idle_since = float("inf")

    def _take(self, reference: Any) -> Iterator[Outcome]:
        """Take an answer."""
        worker = next((each for each in self._workers if reference in each.waited_for()), None)
        if worker is None:  # it was lost, and another of its answers told so
            return
        try:
            answer = self._ray.get(reference)
        except Exception as error:  # it died, or what it said cannot be read
            yield from self._lose(worker, error)
            return
        if reference == worker.opening:
            self._open(worker, answer)
        elif reference == worker.asked:
            worker.asked = None
            for task in worker.pages.values():
                if self._on_progress and task.target in answer:
                    self._on_progress(task, answer[task.target])
        elif isinstance(answer, Refusal):
            self._refuse(worker, answer.reason)
        else:
            del worker.pages[reference]
            outcome, uses_page_xml = answer
            if self._work.output.page_xml and uses_page_xml:
                self._work.output.page_xml.is_used = True
            yield outcome

    def _open(self, worker: _Hired, answer: tuple[str, str | Refusal]) -> None:
        worker.opening, (worker.name, engine) = None, answer
        if isinstance(engine, Refusal):
            self._refuse(worker, engine.reason)
        elif self._engine not in ("", engine):
            self._refuse(worker, f"computes with {engine}, others with {self._engine}; install the same")
        else:
            self._engine = engine

    def _refuse(self, worker: _Hired, reason: str) -> None:
        """Go on without a worker, and without another in its place: Ray might choose the same machine."""
        self._refusal = f"{worker.name}: {reason}"
        self._tell(f"not used: {self._refusal}")
        self._wanted -= 1
        self._waiting.extendleft(worker.pages.values())
        self._drop(worker)

    def _lose(self, worker: _Hired, error: Exception) -> Iterator[Outcome]:
        why = first_line(error)
        if not worker.is_open:
            self._failed_starts += 1
            if self._failed_starts >= MAX_DEATHS or not isinstance(error, self._ray.exceptions.RayActorError):
                self._refuse(worker, why)
                return
        self._tell(f"lost: {worker.name} ({why})")
        self._drop(worker)
        for task in worker.pages.values():
            self._deaths[task.target] += 1
            if self._deaths[task.target] < MAX_DEATHS:
                self._suspects.append(task)
                continue
            with contextlib.suppress(OSError), WaitingEvidence(task.target):  # leaves nothing of them
                unfinished_name(task.target).unlink(missing_ok=True)
            reason = f"{MAX_DEATHS} workers died over it ({why}); has it more pixels than memory for them?"
            yield Outcome(task, "failed", f"{task.source}: {reason}")

    def _drop(self, worker: _Hired) -> None:
        """End a worker: one that is only cut off must not write any more."""
        if worker in self._workers:
            self._workers.remove(worker)
        with contextlib.suppress(Exception):
            self._ray.kill(worker.actor)

    def _ask(self) -> None:
        """Ask the workers how far they are, now and then."""
        if time.monotonic() - self._asked_at < POLL_S:
            return
        self._asked_at = time.monotonic()
        for worker in self._workers:
            if self._on_progress and worker.pages and worker.asked is None:
                worker.asked = worker.actor.shares.remote()

    def _dismiss(self) -> None:
        pages = [each for worker in self._workers for each in worker.pages]
        with contextlib.suppress(Exception):  # the cluster may be gone
            for worker in self._workers:
                if worker.pages:
                    worker.actor.stop.remote()
            if pages:
                self._ray.wait(pages, num_returns=len(pages), timeout=STOP_S)
        for worker in list(self._workers):
            self._drop(worker)


def first_line(error: Exception) -> str:
    """What an error says, without the rest, which Ray's have."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
