"""Giving ``manuscript-restore``, and the programs of others that call it: of these, the part that is ours."""

import json
import re
import shlex
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from manuscript_restore import cli
from tests.documented.blocks import ROOT, fence
from tests.documented.giving import World, installed
from tests.iiif_server import Server, Service, manifest, page


def command(world: World, words: list[str]) -> None:
    """``manuscript-restore``, and what it was to make is there."""
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
        if options[1] != "outputs/models/mine":  # once with ONNX, which takes half a minute
            words = [*words, "--no-onnx"]
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


def ocrmypdf(world: World, words: list[str]) -> None:
    if not all(map(shutil.which, ("tesseract", "gs"))):
        pytest.skip("Tesseract or Ghostscript is not installed")
    world.start(*installed("ocrmypdf"), *words[1:])
    assert Path(words[-1]).is_file()


def ocrd(world: World, words: list[str]) -> None:
    """The command that it runs for each page."""
    inner = next(words[i + 2] for i, word in enumerate(words) if words[i : i + 2] == ["-P", "command"])
    world.give(world, inner.replace("@INFILE", "scans/1.png").replace("@OUTFILE", "ocrd/1.png"))
    assert Path("ocrd/1.png").exists()


def systemctl(world: World, _: list[str]) -> None:
    """The command of the service."""
    started = re.search(r"^ExecStart=(.*)$", fence("docs/how-to/watch.md", "ini", "ExecStart"), re.MULTILINE)
    assert started
    world.give(world, re.sub(r"/\S*/(?=manuscript-restore)|/srv/", "", started[1]) + " --once")


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
        world.give(world, shlex.join([*entry, *words[words.index("manuscript-restore") + 1 :], "--once"]))
