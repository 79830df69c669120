"""Offline W&B runs, read back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768


@dataclass
class OfflineRun:
    """What W&B would be sent.

    Attributes:
        run: Name, project, group, kind and tags.
        history: Last value of each key.
        summary: As W&B's table of runs shows it.
        config: The config.
        artifacts: In the order in which they were logged.
        system: Names of what W&B measured by itself.
    """

    run: Any = None
    history: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    system: set[str] = field(default_factory=set)

    def artifact(self, kind: str, alias: str = "latest") -> Any:
        """The only artifact of a kind with an alias, that of ``run_table`` aside."""
        (found,) = [each for each in self.artifacts if each.type == kind and alias in each.aliases]
        return found


def only_run(folder: Path) -> OfflineRun:
    """The only run in a folder."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return read_run(file)


def read_run(file: Path) -> OfflineRun:
    """Read a ``.wandb`` file."""
    from wandb.proto import wandb_internal_pb2

    found = OfflineRun()
    for data in records(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        match record.WhichOneof("record_type"):
            case "run":
                found.run = record.run
            case "artifact":
                found.artifacts.append(record.artifact)
        for item in record.history.item:
            found.history[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        for update in record.summary.update:
            found.summary[update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
        for update in record.config.update:
            found.config[update.key] = json.loads(update.value_json)
        found.system |= {item.key for item in record.stats.item}
    return found


def records(file: Path) -> Iterator[bytes]:
    """The records of a ``.wandb`` file: LevelDB's log format behind a header of 7 bytes.

    W&B's own reader of it is compiled into its service; the records are decoded by its own classes.
    """
    data, at, parts = file.read_bytes(), 7, []
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:  # the rest of a block that holds no header
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # a full record, or the last part of one
            yield b"".join(parts)
            parts = []
