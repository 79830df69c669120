"""README and docs name only what exists: links, make targets, config groups, options and keys."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MADE = ("reference/commands.md", "reference/config/")  # by docs/hooks.py, when the site is built
USERS_OWN = {"mine", "soot"}  # options and transforms of examples that the reader writes
MOUNTS = {  # where a group's keys stand in the config, if elsewhere than their folders say
    "degradation": ("val_degradation", "degradation.pipelines.reference", "degradation.pipelines.paper"),
    "generator": ("data.generator", "text.generator"),
}
ENTRIES = ("train", "evaluate", "generate")

hooks_spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
hooks = importlib.util.module_from_spec(hooks_spec)
hooks_spec.loader.exec_module(hooks)


@cache
def known_keys() -> set[str]:
    """Every key that some config has, sections too, and those of flow mappings."""
    known = set()
    for path in hooks.CONFIGS.rglob("*.yaml"):
        for key in hooks.keys(path, prefix="" if path.parent == hooks.CONFIGS else None):
            names = [key.name, *(f"{key.name}.{inner}" for inner in re.findall(r"(\w+):", key.default))]
            group = key.name.split(".")[0]
            known.update(names)
            known.update(mount + n[len(group) :] for n in names for mount in MOUNTS.get(group, ()))
    return known


def settings(text: str) -> list[tuple[str, str]]:
    """The key=value pairs in code and code blocks of a page."""
    code = re.findall(r"```bash\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    commands = re.sub(r"--model \S+", "", "\n".join(code))  # NAME=FILE
    found = re.findall(r"""(?:^|[\s'"({])\+?([a-z][\w./]*(?:@[\w.]+)?)=(\S*)""", commands)
    return [(key, value.rstrip("',;)`")) for key, value in found if not key.startswith("hydra.")]


def options_of(value: str) -> list[str]:
    """``a``, ``a|b``, ``a,b``, ``[a,b]``; placeholders such as NAME and … are left out."""
    return [name for name in re.split(r"[|,\[\]]", value) if re.fullmatch(r"[a-z][a-z0-9_]*", name)]


def wrong(text: str) -> list[str]:
    """What a page names and the configs do not have."""
    bad = []
    groups = hooks.groups()
    for key, value in settings(text):
        group = key.split("@")[0]
        if group in groups:
            files = {path.stem for path in hooks.options(group)} | USERS_OWN | {"null"}
            bad += [f"{group}={name}" for name in options_of(value) if name not in files]
        elif key not in known_keys() and not USERS_OWN & set(key.split(".")):
            bad.append(key)
    return bad


def test_readme_is_short():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 110
    assert not [line for line in lines if len(line) > 120]
    assert "make demo" in lines or any(line.startswith("make demo") for line in lines)
    assert any(line.startswith("make test") for line in lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_page(page):
    text = page.read_text("utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path = (page.parent / target.split("#")[0]).resolve() if not target.startswith("#") else page
        made = path.is_relative_to(ROOT / "docs") and path.relative_to(ROOT / "docs").as_posix().startswith(MADE)
        assert "://" in target or made or path.exists(), f"{page.name} links to {target}"
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
    assert set(named) <= set(targets)
    assert not wrong(text)
    modules = re.findall(r"-m manuscript_restore\.(\w+)", text)
    assert set(modules) <= {*ENTRIES, "restore"}
    benchmarks = re.findall(r"-m benchmarks (\w+)", text)
    assert not [name for name in benchmarks if not (ROOT / "benchmarks" / f"{name}.py").is_file()]
    programs = re.findall(r"\b(?:scripts|benchmarks|notebooks)/[\w/]+\.\w+", text)
    assert not [program for program in programs if not (ROOT / program).is_file()]


@pytest.mark.parametrize("page", ["README.md", "docs/reference/model_card.md"])
def test_figures_with_intervals_are_those_that_a_run_wrote(page):
    written = (ROOT / "docs" / "reference" / "results.md").read_text("utf-8")
    figures = re.findall(r"[+−]?\d+\.\d+ \[[^\]]+\]", (ROOT / page).read_text("utf-8").replace("**", ""))
    assert figures
    assert not [figure for figure in figures if figure not in written]


def test_pages_that_the_code_names_are_there():
    named = set()
    for folder, kind in (("src", "*.py"), ("scripts", "*.py"), ("benchmarks", "*.py"), ("configs", "*.yaml")):
        for path in (ROOT / folder).rglob(kind):
            named.update(re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8")))
    assert named
    assert not [page for page in named if not (ROOT / page).is_file()]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("`experiment=crosp`", ["experiment=crosp"]),
        ("```bash\ntrain experiment=crops data.batchsize=8\n```", ["data.batchsize"]),
        ("`logger=[csv,wandbb]`", ["logger=wandbb"]),
        ("`generator@data.generator=typed`", ["generator=typed"]),
        ("`model=unet|nafnet` `data.generator.script=latin` `degradation=PRESET`", []),
    ],
)
def test_the_check_itself(text, named):
    assert wrong(text) == named


def test_a_key_has_its_default_and_its_comment():
    rows = {row.name: row for row in hooks.keys(hooks.CONFIGS / "data" / "pages.yaml")}
    assert rows["data.val_fraction"].default == "0.1"
    assert rows["data.num_generated"].default == "{train: 32, val: 8, test: 8}"
    assert rows["data.augment"].comment == "random changes of the clean view, in training only"
    assert rows["data.augment.scale"][1:] == ("[1.0, 1.0]", "range of the random zoom; crops only")
