"""How OpenMP's threads are set before PyTorch is loaded."""

import os
import subprocess
import sys

import pytest

import manuscript_restore
from manuscript_restore.threads import num_threads


@pytest.fixture
def threads(tmp_path, monkeypatch):
    """What is set where control groups say this: ``threads({"cpu.max": "max 100000"})``."""

    def set_in(files, **environment):
        for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        manuscript_restore._set_threads(tmp_path)
        return os.environ["OMP_WAIT_POLICY"], os.environ.get("OMP_NUM_THREADS")

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return set_in


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "200000 100000\n"}, "2"),
        ({"cpu.max": "150000 100000\n"}, "2"),
        ({"cpu.max": "50000 100000\n"}, "1"),
        ({"cpu.max": "6400000 100000\n"}, "8"),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, "3"),
        ({"cpu.max": "nonsense\n"}, None),
    ],
)
def test_as_many_threads_as_the_share_of_the_container(threads, files, number):
    assert threads(files) == ("passive", number)


def test_the_environment_is_heeded(threads):
    files = {"cpu.max": "200000 100000\n"}
    assert threads(files, OMP_NUM_THREADS="5", OMP_WAIT_POLICY="active") == ("active", "5")


def test_set_before_torch_is_loaded():
    code = "import os, sys, manuscript_restore; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["passive", "False"]


@pytest.mark.parametrize(
    ("said", "number"),
    [("3", 3), ("2,1", 2), ("", 5), ("many", 5), ("0", 5), (" 3 ", 3), ("²", 5), ("9" * 5000, 5)],
)
def test_as_many_threads_as_openmp_has(monkeypatch, said, number):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(5)), raising=False)
    assert num_threads() == number
