"""Every command of README and docs is given, block by block, in a small world, and made small where it takes long.

`documented.ways` says how; a command that nothing there knows fails. Blocks that take seconds are marked
``slow``, those that train, measure or start a cluster ``processes`` (pytest.mark.processes: make test-processes).
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from manuscript_restore.degradation import DegradationPipeline, Foxing
from manuscript_restore.degradation.record import params_from_json, params_to_json
from tests.documented.blocks import Block, blocks, blocks_of, commands_of, filled, programs
from tests.documented.giving import World
from tests.documented.ways import NOT_RUN, give, way_of
from tests.documented.world import SOOT, make_world

BLOCKS = blocks()
MARKS = ("processes", "slow", "")
HERE = {  # what the pages' programs take from elsewhere
    "page": torch.rand(1, 3, 40, 60),
    "clean": torch.rand(2, 3, 64, 64),
    "pipeline": DegradationPipeline({"foxing": Foxing(p=1)}),
    "Foxing": Foxing,
    "params_to_json": params_to_json,
    "params_from_json": params_from_json,
}


def marks(block: Block) -> list[pytest.MarkDecorator]:
    """The slowest of its commands decides; what nothing gives fails at once."""
    found = {way.mark for line in block.commands if (way := way_of(filled(line)))}
    slowest = next((mark for mark in MARKS if mark in found), "")
    return [getattr(pytest.mark, slowest)] if slowest else []


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    make_world(root)
    return root


@pytest.fixture
def world(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A copy for each block, in which it may write."""
    root = tmp_path / "world"
    shutil.copytree(drawn, root, symlinks=True)
    monkeypatch.chdir(root)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):  # the desk would open a browser
        monkeypatch.delenv(name, raising=False)
    for name, value in {"MASTER": "scans", "RESTORED": "restored"}.items():
        monkeypatch.setenv(name, value)
    yield World(root, monkeypatch, give)
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("block", [pytest.param(each, id=str(each), marks=marks(each)) for each in BLOCKS])
def test_block(block: Block, world: World) -> None:
    for line in block.commands:
        give(world, filled(line))


@pytest.mark.parametrize("block", programs(), ids=str)
@pytest.mark.usefixtures("world")
def test_program(block: Block) -> None:
    shutil.copytree(Path("released").resolve(), "models/mine")
    (program,) = block.commands
    names: dict[str, Any] = dict(HERE)
    exec(SOOT + program if "class Soot" in program else program, names)
    if "restored" in names and isinstance(names["restored"], torch.Tensor):
        assert names["restored"].shape == HERE["page"].shape


def test_blocks_are_found() -> None:
    page = """Text with `make lint`, `pip install 'x[y]'`.

```bash
make demo   # twice
python -m a \\
    b=1 && pip install c
```

1. ```sh
   #!/bin/sh
   exit
   ```
"""
    assert [(each.line, each.commands) for each in blocks_of(page, "page.md")] == [
        (3, ("make demo", "python -m a b=1", "pip install c")),
        (1, ("pip install 'x[y]'",)),
    ]
    assert commands_of("#!/bin/sh\n# why\nexit\n") == ("#!/bin/sh\n# why\nexit\n",)
    assert len(BLOCKS) > 60


def test_a_command_that_nothing_gives_fails(world: World) -> None:
    for line in ("rm -rf scans", "manuscript-restored scans", "python -m antigravity", "pipx install x"):
        with pytest.raises(AssertionError, match="nothing gives this command"):
            give(world, line)


@pytest.mark.parametrize(
    "line",
    [
        "manuscript-restore restore scans/ -o restored/ --sidecars",
        "manuscript-restore describe models/yours",
        "pip install 'manuscript-restore[everything]'",
        "pip install -c limits.txt .",
        "make deploy",
        "python -m http.server --directory nowhere 8000",
    ],
)
def test_a_wrong_command_fails(world: World, line: str) -> None:
    with pytest.raises((AssertionError, OSError, ModuleNotFoundError)):
        give(world, line)


def test_what_is_not_run_is_in_the_docs() -> None:
    lines = [filled(line) for block in BLOCKS for line in block.commands]
    assert [begins for begins in NOT_RUN if not any(re.match(begins, line) for line in lines)] == []
