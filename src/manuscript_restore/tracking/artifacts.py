"""What loggers are told of a run's beginning and end, with the files that W&B and MLflow keep of it."""

import base64
import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import MLFlowLogger, WandbLogger

from manuscript_restore.data.sources import PageSource
from manuscript_restore.descriptor import Descriptor
from manuscript_restore.released import CONFIG, WEIGHTS, find_model
from manuscript_restore.tracking.facts import PAGE_LIST, Kind, code_state, fingerprint
from manuscript_restore.tracking.loggers import OfflineWandbLogger


def log_start(
    run: L.Trainer, settings: Mapping[str, Any], kind: Kind, sources: Mapping[str, Mapping[str, PageSource]]
) -> dict[str, Any]:
    """Tell every logger the config, the state of the code and the pages; their files are left in the run's folder.

    Args:
        run: The trainer, before it fits.
        settings: The whole config.
        kind: What is logged of the run's kind.
        sources: Pages by split and kind.

    Returns:
        ``code`` and ``pages``, as `code_state` and `fingerprint` return them.
    """
    folder = Path(settings["output_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"code": code_state(folder), "pages": fingerprint(sources, folder)}
    machine = {"device": run.strategy.root_device.type, "precision": str(run.precision)}
    for each in run.loggers:
        each.log_hyperparams({**settings, **facts, "run": {**asdict(kind), **machine}})
    log_input(run.loggers, "pages", "dataset", [folder / PAGE_LIST], facts["pages"])
    if patch := facts["code"].get("patch"):
        log_input(run.loggers, "code", "code", [folder / patch], facts["code"])
    for model in (settings["init_from"], settings["ckpt_path"]):
        if model is not None:
            log_input_model(run.loggers, find_model(model))
    return facts


def log_input(
    loggers: Sequence[Any], name: str, kind: str, files: Sequence[Path], facts: Mapping[str, Any]
) -> None:
    """Tell W&B and MLflow which files a run was made of.

    Args:
        loggers: Of the run; others than those two take no files.
        name: Of the artifact.
        kind: Its type: ``dataset``, ``code``.
        files: Small ones; a copy goes with the run.
        facts: Metadata.
    """
    for each in loggers:
        if isinstance(each, WandbLogger):
            artifact = _artifact(name, kind, facts)
            for file in files:
                artifact.add_file(_kept(each, file), name=file.name, policy="immutable", skip_cache=True)
            _use(each, artifact)
        elif isinstance(each, MLFlowLogger):
            for file in files:
                each.experiment.log_artifact(each.run_id, str(file), "inputs")


def log_input_model(loggers: Sequence[Any], model: Path) -> None:
    """Tell W&B which model a run began with.

    Only its hash and its place are told. If the run that made it logged it, they are equal to that run's artifact,
    which so becomes the input of this run.
    """
    files = [model / CONFIG, model / WEIGHTS] if model.is_dir() else [model]
    for each in loggers:
        if isinstance(each, WandbLogger):
            artifact = _artifact(artifact_name(model), "model", {"path": str(model)})
            for file in files:
                artifact.manifest.add_entry(_reference(file))
            _use(each, artifact)


def log_models(loggers: Sequence[Any], *, best: str, last: str, facts: Mapping[str, Any]) -> None:
    """Make a run's checkpoints its artifacts in W&B: uploaded when the run is sent, until then no copies.

    Args:
        loggers: Of the run; only those that want models are given them.
        best: Path, or empty; it gets the alias ``best``.
        last: Path, or empty; it gets ``latest``, which W&B gives to what is logged last.
        facts: Metadata.
    """
    for each in loggers:
        if not isinstance(each, OfflineWandbLogger) or not each.wants_models:
            continue
        for alias, checkpoint in (("best", Path(best)), ("latest", Path(last))):
            if checkpoint.is_file():
                artifact = _artifact(artifact_name(checkpoint), "model", facts)
                artifact.add_file(
                    _kept(each, checkpoint), name=checkpoint.name, policy="immutable", skip_cache=True
                )
                each.experiment.log_artifact(artifact, aliases=[alias])


def artifact_name(model: Path) -> str:
    """Name of a model's artifact, the same when a run makes the model and when another begins with it.

    Of a training's checkpoint, the last two names of its folder: ``crops-2026-11-26_23-26-20``. Of a released
    model, its own name.
    """
    if model.is_dir():
        name = Descriptor.read(model / CONFIG).name
    elif model.parent.name == "checkpoints":
        name = "-".join(model.absolute().parent.parent.parts[-2:])
    else:
        name = model.stem
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[-128:]


def _artifact(name: str, kind: str, facts: Mapping[str, Any]) -> Any:
    import wandb  # an extra: only those who log to it have it

    return wandb.Artifact(name, kind, metadata=dict(facts))


def _reference(file: Path) -> Any:
    """What add_reference() makes of a file, which it does not find where there is a ? or # in its path."""
    from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

    with file.open("rb") as content:
        digest = base64.b64encode(hashlib.file_digest(content, "md5").digest()).decode()
    ref, size = file.resolve().as_uri(), file.stat().st_size
    return ArtifactManifestEntry(path=file.name, digest=digest, ref=ref, size=size)


def _use(logger: WandbLogger, artifact: Any) -> None:
    run = logger.experiment
    if run.offline:
        # use_artifact() refuses to work offline, though this is what it does with a new artifact.
        run._log_artifact(artifact, is_user_created=True, use_after_commit=True)
    else:
        run.use_artifact(artifact)


def _kept(logger: WandbLogger, file: Path) -> str:
    """A second name of the file in the folder of the W&B run: the first may be replaced before the run is sent."""
    kept = Path(logger.experiment.dir).parent.absolute() / "artifacts" / file.name
    kept.parent.mkdir(exist_ok=True)
    try:
        os.link(file, kept)
    except OSError:  # a file system without hard links
        shutil.copy2(file, kept)
    return str(kept)
