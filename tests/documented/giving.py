"""The means by which tests give commands: in this process, as a program, as a service that is ended."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest


@dataclass
class World:
    """Where commands are given, and by what means."""

    root: Path
    patch: pytest.MonkeyPatch
    give: Callable[["World", str], None]  # another command, which the one in hand leads to

    def call(self, main: Callable[[], object], *words: str) -> None:
        """An entry point in this process."""
        self.patch.setattr(sys, "argv", list(words))
        status = None
        try:
            main()
        except SystemExit as end:
            status = end.code
        assert status in (None, 0), shlex.join(words)

    def start(self, *words: str, cwd: Path | None = None, fails: bool = False, **variables: str) -> str:
        """A program, to its end; returns what it printed."""
        done = subprocess.run(
            words,
            cwd=cwd,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert fails or done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}"
        return done.stdout

    def serve(self, ready: str, *words: str) -> None:
        """A program that runs until Ctrl-C: once ready, it is asked for the address that it names, and ended."""
        with subprocess.Popen(
            words,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # not ignored, as in a background job
        ) as process:
            late = threading.Timer(120, process.kill)
            late.start()
            said = []
            try:
                for line in process.stdout or ():
                    said.append(line)
                    if ready in line:
                        for address in re.findall(r"http://[^\s)]+", "".join(said))[-1:]:
                            urlopen(address).close()
                        process.send_signal(signal.SIGINT)
                process.wait()
            finally:
                late.cancel()
                process.kill()
        assert process.returncode in (0, 130), "".join(said)
        assert ready in "".join(said)
        assert "Traceback" not in "".join(said)


def installed(name: str) -> tuple[str, str]:
    """A program of this environment."""
    return sys.executable, str(Path(sys.executable).with_name(name))


def program(path: Path, body: str) -> None:
    """In the place of one that is not here."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
