"""The service: what it restores and when, what it remembers, and how it ends."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
import watchfiles
from PIL import Image
from typer.testing import CliRunner, Result

from manuscript_restore.cli import app
from manuscript_restore.inference import Restorer, watched, watching
from manuscript_restore.inference.folders import alone_in
from manuscript_restore.inference.job import Job
from manuscript_restore.inference.journal import NAME, Entry, Journal
from manuscript_restore.inference.output import Outcome, Output
from manuscript_restore.inference.watched import WatchedFolder
from manuscript_restore.inference.watching import Watcher

from . import stand_in
from .processes import start

HOUR = 3600


def save(path: Path, number: int = 0) -> Path:
    """A page unlike those with other numbers, put there by a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(number).integers(60, 200, (30, 40, 3), dtype=np.uint8)
    unfinished = path.with_name(f".{path.name}")
    Image.fromarray(array).save(unfinished, "PNG")
    return unfinished.replace(path)


def is_restored(page: Path, result: Path) -> bool:
    """Whether a result is the page, darker by a tenth."""
    expected = np.asarray(Image.open(page)) * 0.9
    return bool(np.abs(np.asarray(Image.open(result)) - expected).max() <= 1)


def files(folder: Path) -> list[str]:
    """All but the journal, which is always there."""
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in found if name != NAME]


def cut_off(path: Path) -> bytes:
    """Leave half of a file; returns the other half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return content[len(content) // 2 :]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    for number, name in enumerate(("1.png", "leaves/2.png", "leaves/10.png")):
        save(folder / name, number)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call ``run(IN, OUT, *options)``: the command in this process, which ends when all is done."""
    monkeypatch.setattr(Restorer, "from_checkpoint", stand_in.load)

    def call(*arguments: object) -> Result:
        arguments = ("watch", *arguments, "--once", "--settle", 0)
        return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)

    return call


def lines(printed: str) -> list[tuple[str, str]]:
    """(place, what became of it) of each line about a page."""
    words = [line.split(" ", 4) for line in printed.splitlines()]
    return [(parts[4].split(": ")[0], parts[1]) for parts in words if len(parts) == 5 and parts[3] == "s"]


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1e9

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (watched, watching):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def said() -> list[tuple[str, ...]]:
    return []


@pytest.fixture
def watcher(scans: Path, out: Path, said: list[tuple[str, ...]]) -> Callable[..., Watcher]:
    """Call ``watcher()`` for one that lets files settle for 3 seconds; what it tells is in ``said``."""
    out.mkdir()

    def make(settle: float = 3) -> Watcher:
        def tell(page: str, status: str, _: float, reason: str) -> None:
            said.append((page, status, reason))

        folder = WatchedFolder(scans, out, settle, lambda text: said.append(("", "warning", text)))
        return Watcher(folder, out, Output(), tell=tell)

    return make


def names(watcher: Watcher) -> list[str]:
    return [task.source.name for task in watcher.look()]


def settled(watcher: Watcher, clock: Clock) -> list[str]:
    watcher.look()
    clock.now += 3
    return names(watcher)


def restore_all(watcher: Watcher, clock: Clock) -> None:
    watcher.look()
    clock.now += 3
    for task in watcher.look():
        watcher.note(Job(Restorer(stand_in.Darker()), Output(overwrite=True)).restore(task))


def test_pages_that_are_there_are_restored_once(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    (scans / "catalogue.txt").write_text("shelf marks")
    (scans / "book.ps").write_bytes(b"%!PS-Adobe-3.0")
    result = run(scans, out)
    assert result.exit_code == 0
    assert files(out) == ["1.png", "leaves/10.png", "leaves/2.png"]
    assert all(is_restored(scans / name, out / name) for name in files(out))
    expected = [(name, "restored") for name in ("1.png", "leaves/2.png", "leaves/10.png")]
    assert sorted(lines(result.stdout)) == sorted([*expected, ("book.ps", "unread")])
    assert lines(run(scans, out).stdout) == []


def test_a_page_that_is_replaced_is_restored_anew(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    run(scans, out)
    save(scans / "1.png", 7)
    assert lines(run(scans, out).stdout) == [("1.png", "restored")]
    assert is_restored(scans / "1.png", out / "1.png")


def test_a_replaced_page_with_an_old_date_is_restored_anew(
    scans: Path, out: Path, run: Callable[..., Result]
) -> None:
    run(scans, out)
    (out / NAME).unlink()
    os.utime(save(scans / "1.png", 7), (0, 0))  # as copies that keep dates have
    assert ("1.png", "restored") in lines(run(scans, out).stdout)
    assert is_restored(scans / "1.png", out / "1.png")


def test_a_result_that_was_deleted_is_made_at_the_next_start(
    scans: Path, out: Path, run: Callable[..., Result]
) -> None:
    run(scans, out)
    (out / "1.png").unlink()
    assert lines(run(scans, out).stdout) == [("1.png", "restored")]


def test_results_of_restore_are_taken_over(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    CliRunner().invoke(
        app, ["restore", str(scans / "leaves"), "-o", str(out / "leaves"), "-m", "default"], catch_exceptions=False
    )
    before = (out / "leaves/2.png").stat().st_mtime_ns
    assert dict(lines(run(scans, out).stdout)) == {
        "1.png": "restored", "leaves/2.png": "skipped", "leaves/10.png": "skipped"
    }  # fmt: skip
    assert (out / "leaves/2.png").stat().st_mtime_ns == before


def test_another_format(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    run(scans, out)
    assert Counter(status for _, status in lines(run(scans, out, "--format", "tif").stdout)) == {"restored": 3}
    assert files(out / "leaves") == ["10.png", "10.tif", "2.png", "2.tif"]


def test_an_output_folder_among_the_pages_is_not_watched(scans: Path, run: Callable[..., Result]) -> None:
    run(scans, scans / "restored")
    assert lines(run(scans, scans / "restored").stdout) == []
    assert files(scans / "restored") == ["1.png", "leaves/10.png", "leaves/2.png"]


def test_a_link_to_the_output_folder_is_not_followed(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    """Else every result would be a page, and its result another, without end."""
    out.mkdir()
    (scans / "a").symlink_to(out)
    run(scans, out)
    assert lines(run(scans, out).stdout) == []
    assert files(out) == ["1.png", "leaves/10.png", "leaves/2.png"]


def test_two_pages_with_one_result(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    """Whichever was first keeps it, at every start."""
    run(scans, out, "--format", "jpg")
    before = (out / "1.jpg").read_bytes()
    Image.new("RGB", (40, 30)).save(scans / "1.jpg")  # before 1.png in the order of names
    for _ in range(2):
        result = run(scans, out, "--format", "jpg", "--retry")
        assert result.exit_code == 1
        assert lines(result.stdout) == [("1.jpg", "failed")]
        assert "1.jpg is already the result of" in result.stdout
    assert (out / "1.jpg").read_bytes() == before


def test_inputs_are_not_overwritten_through_a_link(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    before = (scans / "leaves/2.png").read_bytes()
    out.mkdir()
    (out / "leaves").symlink_to(scans / "leaves")
    result = run(scans, out)
    assert Counter(lines(result.stdout)) == Counter(
        [("1.png", "restored"), ("leaves/2.png", "failed"), ("leaves/10.png", "failed")]
    )
    assert (scans / "leaves/2.png").read_bytes() == before


def test_evidence_is_no_page(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    save(scans / "1.png.change.png")
    result = run(scans, out, "--change-map", "--sidecar")
    assert ("1.png.change.png", "failed") in lines(result.stdout)
    assert len(files(out)) == 9
    assert json.loads((out / "1.png.json").read_text())["input"]["file"] == "1.png"


def test_a_flagged_page_takes_the_place_of_a_restored_one(
    scans: Path, out: Path, run: Callable[..., Result]
) -> None:
    run(scans, out)
    for name in ("1.png", "leaves/2.png", "leaves/10.png"):
        save(scans / name, 5)
    result = run(scans, out, "--max-change", 0.01)
    assert result.exit_code == 1
    assert "1.png: " in result.stdout
    assert "--overwrite" not in result.stdout
    assert files(out) == ["1.flagged.png", "leaves/10.flagged.png", "leaves/2.flagged.png"]
    assert lines(run(scans, out).stdout) == []  # they stay so


def test_a_bad_page_fails_alone_and_is_restored_when_it_is_mended(
    scans: Path, out: Path, run: Callable[..., Result]
) -> None:
    rest = cut_off(scans / "1.png")
    result = run(scans, out)
    assert result.exit_code == 1
    assert Counter(lines(result.stdout)) == Counter(
        [("1.png", "failed"), ("leaves/2.png", "restored"), ("leaves/10.png", "restored")]
    )
    assert "tried again in 30 s" in result.stdout
    assert lines(run(scans, out).stdout) == []  # a new start is no reason
    assert lines(run(scans, out, "--retry").stdout) == [("1.png", "failed")]
    with (scans / "1.png").open("ab") as file:
        file.write(rest)
    assert lines(run(scans, out).stdout) == [("1.png", "restored")]


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes")
def test_names_of_any_bytes(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    name = os.fsdecode(b"caf\xe9\n1.png")
    (scans / "1.png").rename(scans / name)
    result = run(scans, out)
    assert "restored 0.0 s caf\\udce9?1.png" in result.stdout
    assert (out / name).is_file()
    assert lines(run(scans, out).stdout) == []


def test_a_page_that_grows_is_waited_for(scans: Path, watcher: Callable[..., Watcher], clock: Clock) -> None:
    rest = cut_off(scans / "1.png")
    service = watcher()
    assert names(service) == []
    clock.now += 2.9
    assert names(service) == []
    with (scans / "1.png").open("ab") as file:
        file.write(rest[:10])
    clock.now += 0.2
    assert names(service) == ["2.png", "10.png"]
    clock.now += 2.9
    assert "1.png" not in names(service)
    clock.now += 0.2
    assert names(service) == ["1.png", "2.png", "10.png"]  # nothing has been noted


def test_unfinished_and_hidden_files_are_no_pages(
    scans: Path, watcher: Callable[..., Watcher], clock: Clock, said: list[tuple[str, ...]]
) -> None:
    for name in (".1.png", "2.png.part", "3.png.partial", "4.tmp", "5.png.crdownload", "6.png~", ".hidden/7.png"):
        save(scans / name)
    service = watcher()
    assert settled(service, clock) == ["1.png", "2.png", "10.png"]
    (scans / "2.png.part").rename(scans / "11.png")
    assert settled(service, clock) == ["1.png", "11.png", "2.png", "10.png"]
    assert said == []


def test_a_page_that_fails_is_tried_again_with_growing_pauses(
    scans: Path, watcher: Callable[..., Watcher], clock: Clock, said: list[tuple[str, ...]]
) -> None:
    service = watcher()
    for pause in (30, 300, HOUR):
        settled(service, clock)
        task, *others = service.look()
        assert (task.source.name, len(others)) == ("1.png", 2)
        service.note(Outcome(task, "failed", f"{task.source}: is cut off"))
        assert said[-1] == ("1.png", "failed", f"is cut off; tried again in {pause} s")
        clock.now += pause - 4
        assert settled(service, clock) == ["2.png", "10.png"]
        service = watcher()  # a new start does not begin from the beginning
        clock.now += 2
    settled(service, clock)
    task, *_ = service.look()
    service.note(Outcome(task, "failed", f"{task.source}: is cut off"))
    assert said[-1] == ("1.png", "failed", "is cut off; given up until it changes")
    clock.now += 1000 * HOUR
    assert settled(watcher(), clock) == ["2.png", "10.png"]
    save(scans / "1.png", 9)
    assert settled(service, clock) == ["1.png", "2.png", "10.png"]


def test_pages_that_are_gone_are_forgotten(
    scans: Path, out: Path, watcher: Callable[..., Watcher], clock: Clock
) -> None:
    service = watcher()
    restore_all(service, clock)
    (scans / "1.png").rename(scans.parent / "1.png")
    service.look()
    assert set(Journal(out).entries) == {"leaves/2.png", "leaves/10.png"}
    save(scans / "1.png", 8)  # a camera uses its names again
    assert settled(service, clock) == ["1.png"]


def test_a_disk_that_is_not_mounted_looks_empty(
    scans: Path, watcher: Callable[..., Watcher], clock: Clock, said: list[tuple[str, ...]]
) -> None:
    service = watcher()
    restore_all(service, clock)
    scans.rename(scans.with_name("unmounted"))
    service.look()
    service.look()
    assert [status for _, status, _ in said if status == "warning"] == ["warning"]
    scans.mkdir()
    service.look()
    scans.rmdir()
    scans.with_name("unmounted").rename(scans)
    assert settled(service, clock) == []
    assert Counter(status for _, status, _ in said) == {"restored": 3, "warning": 1}  # nothing was forgotten


def test_a_page_that_vanishes_before_its_turn(
    scans: Path, watcher: Callable[..., Watcher], clock: Clock, said: list[tuple[str, ...]]
) -> None:
    service = watcher()
    service.look()
    clock.now += 3
    tasks = service.look()
    (scans / "1.png").unlink()
    service.note(Outcome(tasks[0], "failed", "cannot be opened"))
    assert said == [("1.png", "gone", "")]
    assert names(service) == ["2.png", "10.png"]


def test_killed_between_the_result_and_the_journal(
    scans: Path, out: Path, watcher: Callable[..., Watcher], clock: Clock, said: list[tuple[str, ...]]
) -> None:
    service = watcher()
    restore_all(service, clock)
    save(scans / "1.png", 8)
    batches = watcher(settle=0).batches(once=True)
    (task,) = next(batches)
    time.sleep(0.02)  # longer than the kernel's clock ticks
    Job(Restorer(stand_in.Darker()), Output(overwrite=True)).restore(task)
    assert settled(watcher(), clock) == []
    assert said[3:] == [("1.png", "skipped", "there already")]
    assert is_restored(scans / "1.png", out / "1.png")
    batches.close()


def test_replaced_while_it_was_restored_and_killed_then(
    scans: Path, out: Path, watcher: Callable[..., Watcher], clock: Clock
) -> None:
    """The result is younger than the new page, and of the old one."""
    batches = watcher(settle=0).batches(once=True)
    task, *_ = next(batches)
    restored = Job(Restorer(stand_in.Darker()), Output(overwrite=True)).restore(task)
    save(scans / "1.png", 8)
    time.sleep(0.02)  # longer than the kernel's clock ticks
    os.utime(out / "1.png")
    assert restored.status == "restored"
    assert "1.png" in settled(watcher(), clock)
    batches.close()


def test_what_was_in_work_at_a_kill_comes_last_and_alone(
    scans: Path, watcher: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "BATCH", 2)

    def batches() -> list[list[str]]:
        found, service = [], watcher(settle=0)
        for tasks in service.batches(once=True):
            found.append([task.source.name for task in tasks])
            for task in tasks:
                service.note(Outcome(task, "failed", "no matter"))
        return found

    killed = watcher(settle=0).batches(once=True)
    assert [task.source.name for task in next(killed)] == ["1.png", "2.png"]
    save(scans / "3.png", 3)
    assert batches() == [["3.png", "10.png"], ["1.png"], ["2.png"]]

    save(scans / "1.png", 4)
    save(scans / "3.png", 4)
    stopped = watcher(settle=0).batches(once=True)
    assert len(next(stopped)) == 2
    stopped.close()
    assert batches() == [["1.png", "3.png"]]  # told to stop: none of them is to blame


def test_a_flagged_page_beside_the_one_it_replaces(
    scans: Path, out: Path, watcher: Callable[..., Watcher], clock: Clock
) -> None:
    """What a kill leaves between the rename of the one and the removal of the other."""
    service = watcher()
    restore_all(service, clock)
    save(scans / "1.png", 8)
    batches = watcher(settle=0).batches(once=True)
    assert len(next(batches)) == 1
    time.sleep(0.02)  # longer than the kernel's clock ticks
    save(out / "1.flagged.png")
    assert settled(watcher(), clock) == []
    batches.close()
    assert files(out) == ["1.flagged.png", "leaves/10.png", "leaves/2.png"]


def test_without_events_the_folder_is_looked_at_all_the_same(
    scans: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watchfiles, "watch", refuse)
    monkeypatch.setattr(watched, "TICK", 0.01)
    out.mkdir()
    warnings: list[str] = []
    folder = WatchedFolder(scans, out, 0, warnings.append)
    service = Watcher(folder, out, Output(), rescan=0.05, tell=lambda *_: None)
    seen = []
    for tasks in service.batches():
        for task in tasks:
            seen.append(task.source.name)
            service.note(Outcome(task, "unread"))
        if "new.png" in seen:
            break
        save(scans / "new.png", 4)
    assert seen == ["1.png", "2.png", "10.png", "new.png"]
    (warning,) = warnings
    assert warning.startswith(f"{scans}: the system tells of no changes there (OS file watch limit reached)")


@pytest.mark.parametrize("tail", [b'{"page": "leaves/2.png", "size": 10', b"\0" * 40, b'{"page": 3}\n[]\n7\n{}\n'])
def test_a_journal_that_was_cut_off(tail: bytes, scans: Path, out: Path, run: Callable[..., Result]) -> None:
    run(scans, out)
    with (out / NAME).open("ab") as file:
        file.write(tail)
    save(scans / "new.png")
    assert lines(run(scans, out).stdout) == [("new.png", "restored")]
    assert lines(run(scans, out).stdout) == []


def test_the_journal_is_written_anew_at_the_start(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for size in range(100):
        journal.note({"a.png": Entry(size, 0, "failed", 0.0), "b.png": Entry(size, 0, "unread", 0.0)})
    journal.forget(["b.png"])
    assert Journal(tmp_path).entries == {"a.png": Entry(99, 0, "failed", 0.0)}
    assert len((tmp_path / NAME).read_bytes().splitlines()) == 1


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonesuch", "out"], "nonesuch: no such folder; check the path"),
        (["scans/1.png", "out"], "scans/1.png: no such folder"),
        (["scans", "scans"], "scans: is or holds the folder of the pages"),
        (["scans/leaves", "scans"], "scans: is or holds the folder of the pages"),
        (["scans", "scans/1.png"], "scans/1.png: cannot be made"),
        (["scans", "out", "--format", "gif"], "format=gif"),
        (["scans", "out", "--jobs", "0"], "jobs=0"),
        (["scans", "out", "--damage-map"], "damage map: the model stand-in has none"),
        (["scans", "out", "-m", "nonesuch"], "nonesuch"),
        (["scans", "out", "--like", "nonesuch"], "nonesuch"),
    ],
)
def test_mistakes_are_named_in_one_line(
    arguments: list[str],
    message: str,
    run: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert not Path("out").exists()


def test_a_second_service_is_refused(scans: Path, out: Path, run: Callable[..., Result]) -> None:
    with alone_in(out):
        result = run(scans, out)
    assert result.exit_code == 1
    assert "another job is writing there" in result.stderr
    assert files(out) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes")
def test_events_go_on_after_a_name_that_is_not_utf_8(scans: Path, out: Path) -> None:
    warnings: list[str] = []
    folder = WatchedFolder(scans, out, 0, warnings.append)
    with closing(folder.events()) as events:
        next(events)
        for name in (os.fsdecode(b"caf\xe9.png"), "new.png"):
            save(scans / name)
            assert any(changed for changed, _ in zip(events, range(8), strict=False)), name
            assert not all(changed for changed, _ in zip(events, range(8), strict=False)), "no end"
    assert not warnings


@contextmanager
def service(*arguments: object, said: Path, seconds: float = 0) -> Iterator[ForkServerProcess]:
    """The command in a process of its own, of that many seconds for a page; killed at the end if it is there."""
    process = start(partial(stand_in.main, seconds), "watch", *arguments, said=said)
    try:
        yield process
    finally:
        process.kill()
        process.join()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_pages_that_appear_are_restored_until_it_is_told_to_stop(scans: Path, out: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with service(scans, out, "--settle", 0.1, "--rescan", HOUR, said=said) as process:
        wait_for(lambda: len(files(out)) == 3)
        save(tmp_path / "moved" / "3.png", 3)
        (tmp_path / "moved").rename(scans / "moved")
        save(scans / "made/later/4.png", 4)
        save(scans / "1.png", 5)
        cut_off(save(scans / "bad.png", 6))
        wait_for(lambda: len(lines(said.read_text())) == 7)
        save(scans / "bad.png", 6)
        wait_for(lambda: len(lines(said.read_text())) == 8)  # its file is there before its line
        assert process.pid
        os.kill(process.pid, signal.SIGTERM)
        process.join(timeout=60)
        assert process.exitcode == 0
    assert Counter(lines(said.read_text())) == Counter(
        {("1.png", "restored"): 2, ("bad.png", "failed"): 1}
        | {(name, "restored"): 1 for name in files(out) if name != "1.png"}
    )
    assert len(files(out)) == 6
    assert all(is_restored(scans / name, out / name) for name in files(out))


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_stops_in_the_middle_of_a_page(
    signum: int, status: int, scans: Path, out: Path, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    Image.new("RGB", (100, 30_000), "grey").save(scans / "0.png")  # of a hundred bands
    with service(scans, out, "--settle", 0, "--jobs", 1, said=said) as process:
        wait_for(lambda: any(out.glob(".0.png.partial")) or (out / "0.png").exists())
        assert process.pid
        os.kill(process.pid, signum)
        process.join(timeout=60)
        assert process.exitcode == status
    printed = said.read_text()
    assert "stopped; what was in work is done at the next start" in printed
    assert "Traceback" not in printed
    assert not list(out.rglob("*.partial"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd")
def test_the_unit_in_the_docs(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[1] / "docs/how-to/watch.md"
    (unit,) = re.findall(r"```ini\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    (command,) = re.findall(r"^ExecStart=(\S+) (.*)", unit, re.MULTILINE)
    assert CliRunner().invoke(app, [*command[1].split(), "--help"]).exit_code == 0
    path = tmp_path / "manuscript-restore.service"
    path.write_text(unit.replace(command[0], sys.executable))
    checked = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (checked.returncode, [line for line in checked.stderr.splitlines() if path.name in line]) == (0, [])


@pytest.mark.slow
def test_killed_at_twenty_moments_nothing_is_lost_or_done_twice(tmp_path: Path, out: Path) -> None:
    scans, num_pages = tmp_path / "scans", 60
    for number in range(num_pages):
        save(scans / f"{number % 7}/{number}.png", number)
    random = np.random.default_rng(0)
    made: dict[str, tuple[int, int]] = {}
    after = []
    said = tmp_path / "said"
    for moment in range(20):
        said.write_text("")
        with service(scans, out, "--settle", 0, said=said, seconds=0.04) as process:
            wait_for(lambda: "watching" in said.read_text())
            time.sleep(random.uniform(0.2, 0.5))
            assert process.is_alive()
        there = {name: (out / name).stat() for name in files(out) if not name.endswith(".partial")}
        now = {name: (status.st_ino, status.st_mtime_ns) for name, status in there.items()}
        assert made.items() <= now.items()  # the very same files: none was made twice, none was lost
        assert all(is_restored(scans / name, out / name) for name in now)
        made = now
        after.append(len(made))
        if moment == 10:  # pages that come while it is down
            for number in range(num_pages, num_pages + 20):
                save(scans / f"{number}.png", number)
    assert len(set(after)) > 5  # the moments were in the middle of the work
    with service(scans, out, "--settle", 0, "--once", said=said) as process:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert len(files(out)) == num_pages + 20
    assert all(is_restored(scans / name, out / name) for name in files(out))
