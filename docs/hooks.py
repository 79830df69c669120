"""Pages of the site that are made from the code when it is built: config keys, commands, make targets.

MkDocs calls ``on_files`` (mkdocs.yml, ``hooks``). Nothing here is written by hand, so nothing here goes stale.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
GENERATOR = ("generator/manuscript", "generator/printed", "generator/wild")
LATER = ("degradation", "experiment", "generator", "debug")  # groups with a page of their own, or shown elsewhere


class Key(NamedTuple):
    """A key of a config file, as it is overridden on the command line."""

    name: str
    default: str
    comment: str


def keys(path: Path, prefix: str | None = None) -> Iterator[Key]:
    """Every key of a YAML file, with the comment that stands behind it; sections come before their keys."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader)

    def comment(mark: yaml.Mark) -> str:
        return str(lines[mark.line][mark.column :]).lstrip(" :").removeprefix("#").strip()

    def walk(node: yaml.MappingNode, above: str) -> Iterator[Key]:
        for key, value in node.value:
            name = f"{above}.{key.value}" if above else key.value
            if name == "defaults" or name.startswith("hydra"):
                continue
            if isinstance(value, yaml.MappingNode) and not value.flow_style:
                yield Key(name, "", comment(key.end_mark))
                yield from walk(value, name)
            else:
                default = " ".join(text[value.start_mark.index : value.end_mark.index].split())
                yield Key(name, default, comment(value.end_mark))

    if isinstance(root, yaml.MappingNode):
        yield from walk(root, package(path) if prefix is None else prefix)


def package(path: Path) -> str:
    """Where Hydra puts a file's keys: its ``# @package`` line, or the names of its folders."""
    header = re.search(r"^# @package (\S+)", path.read_text("utf-8"), re.MULTILINE)
    place = header[1] if header else ".".join(path.relative_to(CONFIGS).parent.parts)
    return "" if place == "_global_" else place


def header(path: Path) -> str:
    """The comment at the top of a file."""
    lines = path.read_text("utf-8").splitlines()
    top = lines[: next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))]
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in top if "@package" not in line).strip()


def table(rows: list[Key]) -> str:
    """Keys as a Markdown table."""
    cells = [f"| `{r.name}` | {code(r.default)} | {escape(r.comment)} |" for r in rows if r.default or r.comment]
    return "\n".join(["| key | default | |", "|---|---|---|", *cells]) + "\n"


def escape(text: str) -> str:
    """Text inside a table's cell."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def code(text: str) -> str:
    """A value inside a table's cell."""
    return f"`{text.replace('|', chr(92) + '|')}`" if text else ""


def section(path: Path, level: int = 3) -> str:
    """One file of a group: what it is, its keys."""
    group = path.relative_to(CONFIGS).parent.as_posix()
    name = path.stem if group == "degradation/transforms" else f"{group}={path.stem}"
    title = f"{'#' * level} `{name}`\n\n"
    rows = list(keys(path))
    return title + quoted(header(path)) + (table(rows) if rows else "Changes other options' values only.\n") + "\n"


def quoted(text: str) -> str:
    """A comment of a config, with its commands as they stand."""
    if "\n" in text or "python -m" in text:
        return f"```text\n{text}\n```\n\n"
    return f"{escape(text)}\n\n" if text else ""


def source(path: Path) -> str:
    """One file of a group as it is."""
    group = path.relative_to(CONFIGS).parent.as_posix()
    return f"## `{group}={path.stem}`\n\n```yaml\n{path.read_text('utf-8').strip()}\n```\n\n"


def options(group: str) -> list[Path]:
    """The files of a group."""
    return sorted((CONFIGS / group).glob("*.yaml"))


def groups() -> list[str]:
    """The config groups, subgroups too: ``data``, ``loss/perceptual``."""
    return sorted({path.parent.relative_to(CONFIGS).as_posix() for path in CONFIGS.glob("*/**/*.yaml")})


def entry(name: str, *more: str) -> str:
    """The page of an entry: its own keys and those of the groups that only it has."""
    page = f"# Config of `{name}`\n\n{quoted(header(CONFIGS / f'{name}.yaml'))}"
    page += table(list(keys(CONFIGS / f"{name}.yaml", prefix=""))) + "\n"
    return page + "".join(section(CONFIGS / f"{file}.yaml", level=2) for file in more)


def train_page() -> str:
    """Every key of a training, group by group."""
    page = entry("train")
    page += "## Groups\n\nA group is chosen by `group=option`; its keys are then overridden one by one.\n\n"
    page += "| group | options |\n|---|---|\n"
    page += "".join(f"| `{g}` | {', '.join(f'`{p.stem}`' for p in options(g))} |\n" for g in groups())
    page += "\n[Experiments](experiments.md) and [degradations](degradations.md) have pages of their own, "
    page += "and `generator` is described with [generate](generate.md).\n\n"
    for group in groups():
        if group.split("/")[0] not in LATER:
            page += f"## {group}\n\n" + "".join(section(path) for path in options(group))
    return page


def degradations_page() -> str:
    """The presets as they are, and every key of every transform."""
    page = "# Config of the degradations\n\nWhat they look like: [Degradations](../degradations.md).\n\n"
    page += "".join(source(path) for path in options("degradation"))
    page += "## Transforms\n\nA preset names them in `transforms`; their keys are then the preset's.\n\n"
    return page + "".join(section(path) for path in options("degradation/transforms"))


def experiments_page() -> str:
    """The experiments, and the debug configs, as they are."""
    page = "# Experiments\n\n`experiment=NAME` chooses one. What follows it on the command line wins.\n\n"
    return page + "".join(source(path) for group in ("experiment", "debug") for path in options(group))


def commands_page() -> str:
    """Every command with its options, and the make targets."""
    import typer
    from typer.cli import get_docs_for_click

    from manuscript_restore.cli import app

    command = typer.main.get_command(app)
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="manuscript-restore")
    page = page.replace("# `manuscript-restore`", "# Commands", 1)
    page = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", page)  # cut off in mid-sentence, and repeated below
    for name in ("train", "evaluate", "generate"):
        usage = f"manuscript-restore {name} [OPTIONS]\n```\n"
        keys_link = f"\n[Every key](config/{name}.md).\n"
        page = page.replace(usage, usage.replace("OPTIONS", "KEY=VALUE …") + keys_link)
    targets = re.findall(r"^([a-z-]+):.*?## (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    page += "\n## make\n\n| target | |\n|---|---|\n"
    return page + "".join(f"| `make {name}` | {escape(words)} |\n" for name, words in targets)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages to those that are written."""
    pages = {
        "config/train": train_page(),
        "config/experiments": experiments_page(),
        "config/degradations": degradations_page(),
        "config/evaluate": entry("evaluate"),
        "config/generate": entry("generate", *GENERATOR),
        "commands": commands_page(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files
