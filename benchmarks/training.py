"""Training beside a plain PyTorch loop with the same network, batches and loss.

Each loop runs in a process of its own and makes a step when it is its turn, so that whatever else the machine does
falls on all alike. Only the ratios mean something on another machine. For what an older processor would do, put
MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 before the command.
"""

import csv
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import mean, median
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchmetrics.functional.image import structural_similarity_index_measure
from torchvision.models import vgg16

from benchmarks.measure import parser, row, run, start_table
from manuscript_restore.config import build, compose, plain
from manuscript_restore.data.sampler import EpochSampler
from manuscript_restore.models import build_model
from manuscript_restore.train import quiet
from manuscript_restore.training.memory import keep_memory
from manuscript_restore.training.precision import AUTO, resolve
from manuscript_restore.training.timing import PARTS, StepTimes

MATMUL_SIDE = 4096
RELU3_3 = 16
"""Layers of VGG16 up to there."""


@dataclass(frozen=True)
class Loop:
    """One of the loops: what it is called, what it does, and the one that it is compared with.

    Args:
        name: In the table.
        run: Makes the steps, as `plain_loop` does.
        overrides: Of the config of training.
        beside: Name of a plain loop.
    """

    name: str
    run: Callable[[DictConfig, DataLoader[dict[str, Tensor]]], dict[str, Any]]
    overrides: tuple[str, ...]
    beside: str


def main(options: list[str]) -> None:
    """Run the comparison that the options ask for."""
    arguments = parser("training", __doc__)
    arguments.add_argument("--experiment", default="vit_base")
    arguments.add_argument("--batch", type=int, default=16, help="images a step (16)")
    arguments.add_argument("--steps", type=int, default=4, help="steps that count, after one to warm up (4)")
    arguments.add_argument("--perceptual", action="store_true", help="also with that loss: VGG16 beside ours")
    arguments.add_argument("--float32", action="store_true", help="without trainer.precision=auto")
    arguments.add_argument("--pages", type=Path, help="folder of clean pages: real runs as well")
    experiments = ["vit_base", "crops", "release"]
    arguments.add_argument("--runs", nargs="*", default=experiments, help="experiments of the real runs")
    arguments.add_argument("overrides", nargs="*", help="of the config, as in model=vit_test")
    chosen = arguments.parse_args(options)
    common = (f"experiment={chosen.experiment}", f"data.batch_size={chosen.batch}", *chosen.overrides)
    bare = (*common, "loss.perceptual.weight=0")
    loops = [
        Loop("plain loop", plain_loop, bare, "plain loop"),
        Loop("this project", project, (*bare, "trainer.precision=32-true"), "plain loop"),
    ]
    if not chosen.float32 and resolve(AUTO, accelerator="auto") != "32-true":
        loops.append(Loop("the same, trainer.precision=auto", project, bare, "plain loop"))
    if chosen.perceptual:
        loops.append(Loop("plain loop, VGG16", plain_loop, common, "plain loop, VGG16"))
        ours = (*common, "trainer.precision=32-true")
        loops.append(Loop("this project, EfficientNet-Lite0", project, ours, "plain loop, VGG16"))
    start_table("Training", f"{chosen.experiment}, {chosen.batch} images a step; beside: images/s as a ratio")
    compare(loops, num_steps=chosen.steps)
    if chosen.pages:
        start_table("Waiting for pages", "real runs, after the first ten steps; shares of a step; data: waiting")
        for experiment in chosen.runs:
            real_run(experiment, chosen.pages, num_steps=10 + 5 * chosen.steps)
    start_table("An epoch of many pages", "time until its first position, and to go through all of them")
    for number in (415, 4150, 41500):
        epoch(number)


def compare(loops: list[Loop], *, num_steps: int) -> None:
    """Let the loops take turns; print the peak of a matrix product, then a row for each."""
    context = get_context("spawn")
    pipes = {}
    for loop in loops:
        pipes[loop.name], theirs = context.Pipe()
        context.Process(target=_take_part, args=(loop, theirs, num_steps + 1), daemon=True).start()
        pipes[loop.name].recv()  # ready
    taken: dict[str, list[float]] = {loop.name: [] for loop in loops}
    rates = []
    for number in range(num_steps + 1):
        rates.append(matmul_rate())
        # To and fro: who comes after another loop takes longer than who comes after the pause between rounds.
        names = list(pipes) if number % 2 else list(reversed(pipes))
        for name in names:
            pipes[name].send("go")
            taken[name].append(pipes[name].recv())
    ends = {name: pipe.recv() for name, pipe in pipes.items()}
    row(f"a product of {MATMUL_SIDE}² matrices, float32", rate=f"{max(rates) / 1e9:.0f} GFLOP/s")
    for loop in loops:
        own, end = mean(taken[loop.name][1:]), ends[loop.name]
        ratio = mean(taken[loop.beside][1:]) / own
        share = ends[loop.beside]["flops"] / own / max(rates)
        parts = "".join(f"; {part} {of_step:.1%}" for part, of_step in end["parts"].items())
        rate = f"{end['images'] / own:.2f} images/s"
        beside = f"{ratio:.2f}×; {share:.0%} of the peak{parts}"
        row(loop.name, own, rate=rate, peak_mb=end["peak_mb"], beside=beside)


def matmul_rate() -> float:
    """FLOP/s of a product of two large float32 matrices: what a network cannot surpass."""
    matrix = torch.rand(MATMUL_SIDE, MATMUL_SIDE)
    start = time.perf_counter()
    matrix @ matrix
    return 2 * MATMUL_SIDE**3 / (time.perf_counter() - start)


class InTurn(Dataset[dict[str, Tensor]]):
    """Batches, each given out when it is this process's turn; tells how long the one before took.

    Of known number: else Lightning would fetch one more before each step.

    Args:
        size: (B, 3, H, W).
        number: Of batches; all are the same.
        pipe: To who says whose turn it is.
    """

    def __init__(self, size: tuple[int, int, int, int], number: int, pipe: Connection) -> None:
        self.batch = {"degraded": torch.rand(size), "clean": torch.rand(size)}
        self.number, self.pipe, self.start = number, pipe, math.nan

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        self.tell()
        self.pipe.recv()
        self.start = time.perf_counter()
        return self.batch

    def tell(self) -> None:
        """Send the seconds since the last batch; NaN at first: ready."""
        self.pipe.send(time.perf_counter() - self.start)


def _take_part(loop: Loop, pipe: Connection, num_steps: int) -> None:
    """In a process: make steps when told to, and say at the end what is to be said."""
    config = compose("train", *loop.overrides)
    torch.manual_seed(0)
    side = config.data.image_size
    batches = InTurn((config.data.batch_size, 3, side, side), num_steps, pipe)
    end = loop.run(config, DataLoader(batches, batch_size=None))
    batches.tell()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send({**end, "peak_mb": peak_mb, "images": config.data.batch_size})


def plain_loop(config: DictConfig, batches: DataLoader[dict[str, Tensor]]) -> dict[str, Any]:
    """What one writes down: the network, AdamW, L1 + SSIM (torchmetrics) and, with a weight, VGG16's features."""
    network = build_model(plain(config.model))
    optimizer = torch.optim.AdamW(network.parameters(), config.optimizer.lr)
    weights = {name: config.loss[name].weight for name in ("l1", "ssim", "perceptual")}
    features = vgg16().features[:RELU3_3].eval().requires_grad_(False) if weights["perceptual"] else None
    flops = 0
    for batch in batches:
        with FlopCounterMode(display=False) as counter:
            restored, clean = network(batch["degraded"]), batch["clean"]
            loss = weights["l1"] * F.l1_loss(restored, clean)
            ssim = structural_similarity_index_measure(restored, clean, data_range=1.0)
            assert isinstance(ssim, Tensor)
            loss = loss + weights["ssim"] * (1 - ssim)
            if features is not None:
                loss = loss + weights["perceptual"] * _feature_distance(features, restored, clean)
            optimizer.zero_grad()
            loss.backward()
        flops = counter.get_total_flops()
        nn.utils.clip_grad_norm_(network.parameters(), config.trainer.gradient_clip_val)
        optimizer.step()
    return {"flops": flops, "parts": {}}


def _feature_distance(features: nn.Sequential, restored: Tensor, clean: Tensor) -> Tensor:
    distance = restored.new_zeros(())
    for index, layer in enumerate(features):
        restored, clean = layer(restored), layer(clean)
        if index in (3, 8, 15):
            distance = distance + F.l1_loss(restored, clean)
    return distance


def project(config: DictConfig, batches: DataLoader[dict[str, Tensor]]) -> dict[str, Any]:
    """The same by ``manuscript_restore.train``: its module, callbacks and Trainer."""
    keep_memory()
    quiet()
    sections = {name: plain(config[name]) for name in ("model", "loss", "optimizer")}
    module = build(config.module, "module", **sections)
    config.trainer.precision = resolve(config.trainer.precision, accelerator="cpu")
    config.trainer.max_epochs = 1
    with tempfile.TemporaryDirectory() as folder:
        logger = CSVLogger(folder)
        callbacks: list[L.Callback] = [StepTimes(every_n_steps=1)]
        silent = {"enable_progress_bar": False, "enable_checkpointing": False, "default_root_dir": folder}
        trainer = build(config.trainer, "trainer", callbacks=callbacks, logger=logger, **silent)
        trainer.fit(module, batches)
        parts = _parts(Path(logger.log_dir, "metrics.csv"), skip=1)
    total = parts.pop("step") - parts.pop("data")
    return {"parts": {part: seconds / total for part, seconds in parts.items()}}


def real_run(experiment: str, pages: Path, *, num_steps: int) -> None:
    """Train for some steps by the command, and print the parts of a step."""
    with tempfile.TemporaryDirectory() as folder:
        limits = [f"trainer.limit_train_batches={num_steps}", "trainer.max_epochs=1"]
        where = [f'data.train_dir="{pages}"', "data.val_dir=null", "test=false", f"hydra.run.dir={folder}"]
        rest = ["trainer.limit_val_batches=0", "callbacks.progress=null", "callbacks.step_times.every_n_steps=5"]
        command = ["-m", "manuscript_restore.train", f"experiment={experiment}", *limits, *where, *rest]
        done = run([sys.executable, *command])
        (metrics,) = Path(folder, "csv").glob("*/metrics.csv")
        parts = _parts(metrics, skip=2)
    step = parts.pop("step")
    beside = ", ".join(f"{part} {seconds / step:.1%}" for part, seconds in parts.items())
    row(experiment, step, peak_mb=done.peak_mb, beside=beside)


def _parts(metrics: Path, *, skip: int) -> dict[str, float]:
    """Median seconds of each part of a step, and of the whole, as `StepTimes` logged them."""
    with metrics.open(encoding="utf-8") as file:
        logged = [line for line in csv.DictReader(file) if line["time/step"]][skip:]
    return {part: median(float(line[f"time/{part}"]) for line in logged) for part in (*PARTS, "step")}


def epoch(num_pages: int) -> None:
    """Go through the positions of an epoch of so many pages, without reading them."""
    start = time.perf_counter()
    positions = iter(EpochSampler(range(num_pages), 1, 0, seed=0))  # type: ignore[arg-type]
    next(positions)
    first = time.perf_counter() - start
    for _ in positions:
        pass
    each = (time.perf_counter() - start) / num_pages
    row(f"{num_pages:,} pages", first, rate=f"{1e6 * each:.2f} µs a page")
