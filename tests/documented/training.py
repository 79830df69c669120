"""Giving trainings, sweeps, evaluations, generated pages and benchmarks, made small by what is put behind them."""

import json
import os
import re
import runpy
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path

import fsspec
import pytest

from tests.documented.blocks import ROOT
from tests.documented.giving import World, installed, program

SMALL = (
    "data.num_workers=0", "data.cache_gb=0", "data.image_size=64", "data.batch_size=2", "data.val_batch_size=2",
    "data.views_per_page=1", "data.val_views_per_page=1", "data.num_generated={train: 2, val: 2, test: 2}",
    "data.fresh_pages=0", "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.max_epochs=1",
    "trainer.limit_train_batches=1", "trainer.log_every_n_steps=1", "callbacks.progress=null",
)  # fmt: skip
"""A training of a step, behind what the docs say: the last word on a key counts."""
SMALL_BENCHMARKS = {
    "ablate": "release --seconds 1 --pairs 8 --presets reference",
    "cluster": "--number 2 --side 64 --repeats 1",
    "data": "--files 300 --epochs 1",
    "degradation": "--sizes 32 --batches 1",
    "generator": "--pages 1 --size 200 300",
    "ocr_pdf": "--pages 1",
    "quality": "--presets reference --views 1 --tune 1 --like 1 --text-pages 1 --crop 64",
    "restore": "--sizes 200x150 --engines onnx",
    "training": "--batch 1 --steps 1 model=vit_test data.image_size=64",
}
OURS = "manuscript_restore"


def train(world: World, words: list[str]) -> None:
    """Trainings and sweeps of a step, with the smallest network where the command leaves the choice."""
    given = words[words.index(f"{OURS}.train") + 1 :]
    if {"--help", "--cfg"} & set(given):
        return world.call(import_module(f"{OURS}.train").main, "train", *given)
    given = [re.sub(r"=s3://(bucket/\w+)", r"=memory://\1", word) for word in given]
    put_into_memory()
    if "--config-dir" in given:
        given.append("data.train_dir=pages/train")
        world.patch.syspath_prepend(str(world.root))
    small = [*given, *SMALL]
    if "-m" in given:
        small += ["test=false", "callbacks.pictures=null", "callbacks.worst=null"]
    chosen = [word for word in given if re.match(r"experiment=(crops|release|vit_base)$", word)]
    if chosen and not any(word.startswith("model=") for word in given):
        small.append("model=vit_test")
    if {"experiment=release", "data=generated"} & set(given):
        small.append("data.generator.size=[240,320]")
    if "trainer=ddp" in given and "--standalone" not in words:
        small += ["trainer.devices=1", "trainer.num_nodes=1"]
    if any(word.startswith("hparams_search=") and "loss_weights" not in word for word in given):
        small.append("hydra.sweeper.n_trials=2")
    if "hydra/launcher=slurm" in given:
        return by_slurm(world, small)
    before = summaries(world)
    entry = ["-m", f"{OURS}.train"]
    if "--standalone" in words:
        entry = [installed("torchrun")[1], *words[1 : words.index("-m")], *entry]
    if {"trainer=ddp", "hydra/launcher=ray"} & set(given):  # a process has one group of processes, and one Ray
        world.start(sys.executable, *entry, *small, RAY_USAGE_STATS_ENABLED="0")
    else:
        world.call(import_module(f"{OURS}.train").main, "train", *small)
    new = [status for file, status in summaries(world).items() if file not in before]
    assert "finished" in new
    assert {*new} <= {"finished", "pruned"}
    return None


def summaries(world: World) -> dict[Path, str]:
    """What became of the runs so far."""
    return {file: json.loads(file.read_text())["status"] for file in world.root.glob("outputs/**/summary.json")}


def put_into_memory() -> None:
    for file in Path("pages/train").iterdir():
        fsspec.filesystem("memory").pipe_file(f"/bucket/pages/{file.name}", file.read_bytes())


def by_slurm(world: World, words: list[str]) -> None:
    """A ``sbatch`` that keeps what it is given and refuses it."""
    program(world.root / "bin/sbatch", f'cp "$1" {world.root}/submitted.sh; echo no cluster >&2; exit 1')
    program(world.root / "bin/srun", "exit 1")
    call = (sys.executable, "-m", f"{OURS}.train", *words, "hydra.sweeper.max_failed=1")
    said = world.start(*call, fails=True, PATH=f"{world.root}/bin:{os.environ['PATH']}")
    assert "no cluster" in said, said
    assert "#SBATCH --partition=gpu\n" in (world.root / "submitted.sh").read_text()


def torchrun(world: World, words: list[str]) -> None:
    """On one machine as it is; of many machines the options are read, and one process trains."""
    if "--standalone" not in words:
        from torch.distributed.run import get_args_parser

        get_args_parser().parse_args(words[1:])
        words = ["python", *words[words.index("-m") :]]
    train(world, words)


def evaluate(world: World, words: list[str]) -> None:
    given = words[words.index(f"{OURS}.evaluate") + 1 :]
    small = ["data.num_workers=0", "data.cache_gb=0", "data.image_size=64", "data.val_views_per_page=1"]
    small += ["text.num_pages=1", "text.generator.size=[300,400]"] if "tasks=[text]" in given else []
    small += ["tune=1"] if any(word.startswith("tune=") for word in given) else []
    if "tasks=[text]" in given and not shutil.which("tesseract"):
        pytest.skip("Tesseract is not installed")
    world.call(import_module(f"{OURS}.evaluate").main, "evaluate", *given, *small)
    assert list(world.root.glob("outputs/evaluate/*/*/report.html"))


def generate(world: World, words: list[str]) -> None:
    given = words[words.index(f"{OURS}.generate") + 1 :]
    (out,) = (Path(word.removeprefix("out=")) for word in given if word.startswith("out="))
    shutil.rmtree(out, ignore_errors=True)
    world.call(import_module(f"{OURS}.generate").main, "generate", *given, "n=1", "generator.size=[300,400]")
    assert len(list((out / "images").iterdir())) == 1


def benchmark(world: World, words: list[str]) -> None:
    """With small settings behind its own."""
    name, *options = words[words.index("benchmarks") + 1 :]
    options = [sys.executable if option == "PYTHON" else option for option in options]
    if name == "ocr_pdf" and not all(map(shutil.which, ("tesseract", "gs"))):
        pytest.skip("Tesseract or Ghostscript is not installed")
    options += shlex.split(SMALL_BENCHMARKS[name])
    if name == "cluster":  # whose workers find the benchmark in the project's folder
        options = [str(Path(option).resolve()) if Path(option).exists() else option for option in options]
        world.start(sys.executable, "-m", "benchmarks", name, *options, cwd=ROOT)
    else:
        world.call(import_module("benchmarks.__main__").main, "benchmarks", name, *options)


def script(world: World, words: list[str]) -> None:
    name = Path(words[1]).stem
    if name in ("demo", "showcase"):  # of the project's own pages
        assert f'script("{name}"' in (ROOT / "tests" / "test_scripts.py").read_text("utf-8")
    elif name == "wandb_dashboard":  # which imports what warns
        world.start(sys.executable, str(ROOT / words[1]), *words[2:], "-o", "dashboard.json")
    else:
        place = str(ROOT / words[1])
        world.call(lambda: runpy.run_path(place, run_name="__main__"), place, *words[2:], "--size", "64")


def job_script(world: World, words: list[str]) -> None:
    """By a ``srun`` that runs one process here."""
    (text,) = words
    assert text.startswith("#!/bin/bash\n#SBATCH")
    small = [*SMALL, "model=vit_test", "data.generator.size=[240,320]", "trainer.devices=1", "trainer.num_nodes=1"]
    python = f'shift 2; exec "{sys.executable}" "$@" data.train_dir=pages/train {shlex.join(small)}'
    program(world.root / "bin/srun", python)
    program(world.root / "bin/scontrol", "exit 1")
    path = f"{world.root}/bin:{os.environ['PATH']}"
    world.start("bash", "train.sbatch", PATH=path, SLURM_JOB_ID="7")
    assert [*summaries(world).values()] == ["finished"]
