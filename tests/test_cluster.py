"""Restoring on a Ray cluster of two small nodes: as without it, and what is killed is done again."""

import gc
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from manuscript_restore.cli import app
from manuscript_restore.inference.cluster import joined
from manuscript_restore.inference.cluster_job import ClusterJob, Size
from manuscript_restore.inference.cluster_worker import Refusal, Work, Worker, code, load
from manuscript_restore.inference.output import Outcome, Output
from manuscript_restore.inference.page_xml import PageXml
from manuscript_restore.inference.plan import Task, plan
from manuscript_restore.inference.shared import NAME, marked
from manuscript_restore.released import find_released, identify
from tests import stand_in
from tests.iiif_server import Server, Service, manifest, page

POISON = 7


class Deadly(stand_in.Darker):
    """Dies of a page of one shade."""

    def __call__(self, tiles: Any, looked: Any = None) -> Any:
        if np.rint(tiles * 255).max() == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(tiles)


def deadly(seconds: float) -> Any:
    restorer = stand_in.load()
    restorer.backend = Deadly(seconds)
    return restorer


def write_pages(folder: Path, number: int) -> Path:
    folder.mkdir()
    for i in range(number):
        array = np.random.default_rng(i).integers(60, 200, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{i}.png")
    return folder


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def restore(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["restore", *map(str, arguments)], catch_exceptions=False)


def check_darker(scans: Path, out: Path, names: set[str]) -> None:
    """These pages are there, whole, and nothing else is."""
    assert set(files(out)) == names
    for name in names:
        expected = np.asarray(Image.open(scans / name)) * 0.9
        assert np.abs(np.asarray(Image.open(out / name)) - expected).max() <= 1


# A worker by itself.


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def opened(work: Work, *, sender: str | None = None) -> tuple[Worker, str | Refusal]:
    worker = Worker(sender or code(), pickle.dumps(work))
    return worker, worker.open()[1]


def test_a_worker_restores(tmp_path: Path, out: Path) -> None:
    scans = write_pages(tmp_path / "scans", 1)
    with marked(out) as mark:
        worker, engine = opened(Work(stand_in.load, Output(mark=False), mark))
        assert engine == "stand-in"
        (task,) = plan([str(scans)], out).tasks
        answer = worker.restore(task, True)
    assert isinstance(answer, tuple)
    assert answer[0].status == "restored"
    check_darker(scans, out, {"0.png"})


def test_a_worker_refuses_what_is_not_as_at_the_sender(tmp_path: Path, out: Path) -> None:
    def reason(refusal: object) -> str:
        assert isinstance(refusal, Refusal)
        return refusal.reason

    with marked(out) as mark, pytest.MonkeyPatch.context() as patch:
        patch.setattr("manuscript_restore.inference.shared.SEEN_S", 0)
        work = Work(stand_in.load, Output(), mark)
        assert "has manuscript-restore" in reason(opened(work, sender="0.0.1 (abc)")[1])
        other = Work(partial(load, "default", "0" * 64), Output(), mark)
        assert "model default: has weights" in reason(opened(other)[1])
        needs_maps = Work(stand_in.load, Output(maps=frozenset({"ink"})), mark)
        assert "ink map" in reason(opened(needs_maps)[1])
        away = Work(stand_in.load, Output(), mark, start=tmp_path / "elsewhere")
        assert "does not see the folder" in reason(opened(away)[1])
        worker, _ = opened(work)
        task = Task(tmp_path / "none.png", out / "none.png", "PNG")
        assert "does not see" in reason(worker.restore(task, True))
        missing = worker.restore(task, False)  # which is so at the sender, too
        assert isinstance(missing, tuple)
        assert missing[0].status == "failed"
        mark.path.write_text("of another machine's disk")
        assert "does not see the output folder" in reason(opened(work)[1])


def test_weights_of_the_sender_are_taken(out: Path) -> None:
    sha256 = identify(find_released("default")).sha256
    with marked(out) as mark:
        _, engine = opened(Work(partial(load, "default", sha256, device="cpu", engine="onnx"), Output(), mark))
    assert str(engine).startswith("onnxruntime")


def test_a_run_waits_for_the_workers_of_the_last_one(out: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from manuscript_restore.inference.shared import Mark;"
        "Mark(Path(sys.argv[1]), sys.argv[2]).hold(); print('held', flush=True); time.sleep(60)"
    )
    (out / NAME).write_text("before")  # as a killed run leaves it
    command = [sys.executable, "-c", hold, str(out / NAME), "before"]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    assert worker.stdout.readline() == "held\n"
    with pytest.raises(Exception, match="workers of an earlier run still write"), marked(out, wait_s=0.3):
        pass
    worker.kill()
    worker.wait()
    worker.stdout.close()
    with marked(out, wait_s=0.3) as mark:
        assert mark.text != "before"
    assert files(out) == {}


def test_page_xml_goes_to_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xml").mkdir()
    monkeypatch.chdir(tmp_path)
    given = pickle.dumps(PageXml(Path("xml")))
    monkeypatch.chdir("/")
    assert isinstance(pickle.loads(given), PageXml)


def test_mistakes_are_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = write_pages(tmp_path / "scans", 1)
    for arguments, words in (
        (("--ray-workers", 2), "give --ray too"),
        (("--ray", "local", "--device", "cuda:1"), "Ray chooses the GPU"),
        (("--ray", "127.0.0.1:1"), "--ray 127.0.0.1:1: no cluster answers"),
    ):
        result = restore(scans, "-o", tmp_path / "out", *arguments)
        assert result.exit_code == 1
        assert words in result.stderr
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    started = time.monotonic()
    result = restore(scans, "-o", tmp_path / "out", "--ray", "auto")
    assert "--ray auto: no cluster answers" in result.stderr
    assert time.monotonic() - started < 20  # Ray itself takes a minute
    monkeypatch.setitem(sys.modules, "ray", None)
    result = restore(scans, "-o", tmp_path / "out", "--ray", "auto")
    assert result.exit_code == 1
    assert result.stderr == "error: --ray needs Ray: pip install 'manuscript-restore[ray]'\n"


# On a cluster.


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does no work, and two nodes of one CPU each, on this machine."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        from ray.cluster_utils import Cluster

        started = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "include_dashboard": False,
                "_system_config": {
                    "health_check_initial_delay_ms": 0,
                    "health_check_period_ms": 500,
                    "health_check_failure_threshold": 4,
                },
            },
        )
        for _ in range(2):
            started.add_node(num_cpus=1)
        yield started
        started.shutdown()
        gc.collect()


class Watch:
    """A job of slow stand-ins on the cluster, and what happened."""

    def __init__(self, cluster: Any, scans: Path, out: Path, restorer: Any) -> None:
        self.cluster, self.scans, self.out, self.restorer = cluster, scans, out, restorer
        self.told: list[str] = []
        self.outcomes: list[Outcome] = []

    def run(self, at: int, happens: Any) -> Counter[str]:
        """Restore all; when so many pages are done, something happens."""
        tasks = plan([str(self.scans)], self.out).tasks
        with joined(self.cluster.address) as ray, marked(self.out) as mark:
            work = Work(self.restorer, Output(mark=False), mark)
            for outcome in ClusterJob(ray, work, size=Size(), tell=self.told.append).run(tasks):
                self.outcomes.append(outcome)
                if len(self.outcomes) == at:
                    happens()
        assert sorted(outcome.task.source for outcome in self.outcomes) == sorted(t.source for t in tasks)
        return Counter(outcome.status for outcome in self.outcomes)


def workers_of(node: Any) -> list[int]:
    """Processes of the workers of a node."""
    (raylet,) = node.all_processes["raylet"]
    children = Path(f"/proc/{raylet.process.pid}/task/{raylet.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"Worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.processes
@pytest.mark.slow
def test_all_is_as_on_one_machine(cluster: Any, tmp_path: Path) -> None:
    scans = write_pages(tmp_path / "scans", 6)
    book = [Image.open(scans / f"{i}.png") for i in range(3)]
    book[0].save(scans / "book.tif", save_all=True, append_images=book[1:])
    (scans / "cut.png").write_bytes((scans / "0.png").read_bytes()[:500])
    options = ("--no-mark", "--change-map", "--ink", "--sidecar", "--strength", 0.7, "--format", "tif")
    results = {}
    for name, further in (("local", ()), ("ray", ("--ray", cluster.address)), ("ray", ("--ray", cluster.address))):
        report = tmp_path / f"{name}.json"
        arguments = (scans, "-o", tmp_path / name, *options, "--report", report, *further)
        result = restore(*arguments)
        assert result.exit_code == 1
        assert f"failed: {scans}/cut.png" in result.stderr
        results[name] = result.stdout, json.loads(report.read_text())
    assert "7 there already, 1 failed" in results["ray"][0]  # of its second run
    local, ray = (files(tmp_path / name) for name in ("local", "ray"))
    assert len(local) == 7 * 4 + 4
    pictures = [name for name in local if not name.endswith(".json")]
    assert {name: ray[name] for name in pictures} == {name: local[name] for name in pictures}
    assert ray.keys() == local.keys()
    for name in local.keys() - pictures:
        records = [json.loads((tmp_path / each / name).read_text()) for each in ("local", "ray")]
        for record in records:
            del record["created"], record["seconds"]
        assert records[0] == records[1]


@pytest.mark.processes
@pytest.mark.slow
def test_a_book_of_a_iiif_server(cluster: Any, tmp_path: Path) -> None:
    server = Server(services={name: Service(page(number)) for number, name in enumerate(("a", "b", "c"))})
    with server.running():
        server.answers["/manifest.json"] = json.dumps(manifest(server, ["a", "b", "c"])).encode()
        book = (f"{server.url}/manifest.json", "--allow-private", "--no-mark")
        for name, further in (("local", ()), ("ray", ("--ray", cluster.address))):
            result = restore(*book, "-o", tmp_path / name, *further)
            assert result.exit_code == 0, result.stderr
            assert f"manifest: {tmp_path / name / 'manifest.json'}" in result.stdout
    local, ray = (files(tmp_path / name) for name in ("local", "ray"))
    assert len([name for name in local if name.endswith(".png")]) == 6  # originals, too
    assert local["manifest.json"] == ray["manifest.json"]  # which names the model
    assert local == ray


@pytest.mark.processes
@pytest.mark.slow
def test_a_killed_worker_and_a_page_that_kills_them(cluster: Any, tmp_path: Path, out: Path) -> None:
    scans = write_pages(tmp_path / "scans", 40)
    Image.new("RGB", (40, 30), (POISON,) * 3).save(scans / "3.png")
    watch = Watch(cluster, scans, out, partial(deadly, 0.2))

    def kill() -> None:
        os.kill(next(pid for node in cluster.worker_nodes for pid in workers_of(node)), signal.SIGKILL)

    assert watch.run(20, kill) == {"restored": 39, "failed": 1}
    (failed,) = (outcome for outcome in watch.outcomes if outcome.status == "failed")
    assert failed.reason.startswith(f"{scans / '3.png'}: 3 workers died over it")
    assert sum(line.startswith("lost: worker") for line in watch.told) == 4
    check_darker(scans, out, {f"{i}.png" for i in range(40)} - {"3.png"})


@pytest.mark.processes
@pytest.mark.slow
def test_a_terminated_or_killed_run_goes_on(cluster: Any, tmp_path: Path) -> None:
    scans, out = write_pages(tmp_path / "scans", 60), tmp_path / "out"
    entry = [sys.executable, "-m", "manuscript_restore.restore"]
    command = [*entry, str(scans), "-o", str(out), "--no-mark", "--ray", cluster.address]
    made: dict[str, int] = {}
    for number in (signal.SIGTERM, signal.SIGKILL):
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        last = time.monotonic() + 120
        while len(list(out.glob("*.png"))) < len(made) + 8 and time.monotonic() < last:
            time.sleep(0.02)
        run.send_signal(number)
        said, _ = run.communicate(timeout=60)
        if number == signal.SIGTERM:
            assert run.returncode == 130
            assert "interrupted; give the same command again" in said
            assert "Traceback" not in said
            assert not [name for name in files(out) if name.startswith(".")]
        now = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
        assert made.items() < now.items()
        made = now
    assert len(made) < 60
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert f"{60 - len(made)} restored" in finished.stdout or "there already" in finished.stdout
    now = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert made.items() < now.items()
    assert set(files(out)) == {f"{i}.png" for i in range(60)}


@pytest.mark.processes
@pytest.mark.slow
def test_a_node_that_is_lost(cluster: Any, tmp_path: Path, out: Path) -> None:
    scans = write_pages(tmp_path / "scans", 60)
    watch = Watch(cluster, scans, out, partial(stand_in.load, seconds=0.2))
    node = cluster.worker_nodes.copy().pop()

    def kill() -> None:
        assert workers_of(node)
        cluster.remove_node(node, allow_graceful=False)

    assert watch.run(10, kill) == {"restored": 60}
    assert any(line.startswith("lost: worker") for line in watch.told)
    check_darker(scans, out, {f"{i}.png" for i in range(60)})
