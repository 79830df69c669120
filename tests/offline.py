"""Python code in a process of its own that cannot reach a network."""

import os
import subprocess
import sys

NO_NETWORK = """
import socket, runpy, sys
def refuse(*place, **_): raise SystemExit(f"network: {place}")
socket.getaddrinfo = refuse
connect = socket.socket.connect
socket.socket.connect = lambda self, place: connect(self, place) if isinstance(place, str) else refuse(place)
"""


def without_network(code: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it, with no variable that tells of tests or CI, as on a user's machine."""
    names = ("PATH", "PYTHONPATH", "OMP_NUM_THREADS", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    command = [sys.executable, "-c", NO_NETWORK + code, *map(str, arguments)]
    return subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=False)
