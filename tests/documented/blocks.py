"""What README and docs tell a reader to type: blocks of commands, commands in running text, programs in Python."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
PROGRAMS = "python|python3|manuscript-restore|make|pip|docker|ray|torchrun|ocrmypdf|wandb|mlflow"
IN_TEXT = re.compile(rf"`((?:{PROGRAMS}) [^`\s]+ [^`\n]+)`")  # two words alone are the name of a command
IN_COMMENT = re.compile(r"^#.*? {2,}(python -m .+)$", re.MULTILINE)  # how a file is used, in its first line
PLACEHOLDERS = {
    r"\bDATE\b": "2026-11-26_23-00-00",
    r"train/NAME\b": "train/mine",
    r"ARGS=NAME\b": "ARGS=generator",
    r"=…/best\.ckpt": "=best.ckpt",
    r"data\.(\w+)_dir=…": r"data.\1_dir=pages/\1",
    r"--checkpoint …": "--checkpoint best.ckpt",
    r"--page …": "--page page.jpg",
    r"\bDIR\b": "pages/train",
    r"--weights OLD\b": "--weights default",
    r"\bHOST\b": "127.0.0.1",
}
"""What a reader puts something of their own in place of, and what the tests put there."""


@dataclass(frozen=True)
class Block:
    """Commands that are given one after the other, or one program."""

    page: str
    line: int
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def inner(fence: re.Match[str]) -> str:
    """What stands in a block, without the indentation of a list."""
    return re.sub(rf"^{fence[1]}", "", fence[3], flags=re.MULTILINE)


def commands_of(body: str) -> tuple[str, ...]:
    """The commands of a block of shell: a line each, without comments; a script is one."""
    if body.startswith("#!"):
        return (body,)
    lines = (re.sub(r"(^|\s+)#.*", "", line) for line in re.sub(r"\\\n\s*", "", body).splitlines())
    return tuple(command.strip() for line in lines for command in line.split(" && ") if command.strip())


def blocks_of(text: str, page: str) -> list[Block]:
    """Those of a page; what two blocks have alike is in both."""

    def line(position: int) -> int:
        return text.count("\n", 0, position) + 1

    found = []
    for fence in FENCE.finditer(text):
        if fence[2] in ("bash", "sh"):
            found.append(Block(page, line(fence.start()), commands_of(inner(fence))))
        for comment in IN_COMMENT.finditer(fence[3]):
            found.append(Block(page, line(fence.start()), (comment[1],)))
    prose = FENCE.sub(lambda fence: re.sub(r"[^\n]", "", fence[0]), text)
    found += [Block(page, prose.count("\n", 0, at.start()) + 1, (at[1],)) for at in IN_TEXT.finditer(prose)]
    return found


def blocks() -> list[Block]:
    """Every block, once."""
    found = [each for path in PAGES for each in blocks_of(path.read_text("utf-8"), name_of(path))]
    return list({each.commands: each for each in reversed(found)}.values())[::-1]


def programs() -> list[Block]:
    """The Python of the pages."""
    return [
        Block(name_of(path), path.read_text("utf-8").count("\n", 0, fence.start()) + 1, (inner(fence),))
        for path in PAGES
        for fence in FENCE.finditer(path.read_text("utf-8"))
        if fence[2] == "python"
    ]


def fence(page: str, kind: str, holds: str) -> str:
    """What stands in the block of a page that holds these words, without its indentation."""
    for found in FENCE.finditer((ROOT / page).read_text("utf-8")):
        if found[2] == kind and holds in found[3]:
            return inner(found)
    raise AssertionError(f"{page}: no block of {kind} with {holds!r}")


def filled(command: str) -> str:
    """A command with something in place of what a reader replaces."""
    for pattern, value in PLACEHOLDERS.items():
        command = re.sub(pattern, value, command)
    return command


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
