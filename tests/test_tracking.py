"""What a run says about itself, read from the files of its trackers."""

import base64
import gzip
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from manuscript_restore.data.sources import FolderSource, GeneratedSource
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.synthesis import PageGenerator
from manuscript_restore.tracking import facts, logged
from manuscript_restore.tracking.artifacts import artifact_name, log_input_model, log_models
from manuscript_restore.tracking.facts import Kind, code_state, fingerprint
from manuscript_restore.tracking.loggers import OfflineWandbLogger, build_loggers
from manuscript_restore.train import main
from manuscript_restore.training import callbacks
from manuscript_restore.training.callbacks import WorstPages
from tests.offline import without_network
from tests.test_stopping import QUICK
from tests.wandb_runs import only_run

ROOT = Path(__file__).resolve().parents[1]
WORST = "callbacks.worst.num_pages=2"
# What a run says


def test_run_tells_what_it_is_and_what_it_is_made_of(train, tmp_path, pages):
    shutil.copytree(pages, tmp_path / "others")
    (tmp_path / "others" / "page_0.png").rename(tmp_path / "others" / "new.png")
    summary = train(*QUICK, "logger=[csv,wandb]", WORST, "data.test_dir=others", "trainer.max_epochs=1")
    run = only_run(tmp_path / "run")
    assert run.run.job_type == "train"
    assert not run.run.run_group
    assert set(run.run.tags) == {"experiment=smoke", "model=vit_test", "degradation=none"}
    assert run.config["init_from"] is None
    assert run.config["data"]["train_dir"] == "pages"
    assert run.config["callbacks"]["best"]["dirpath"] == str(tmp_path / "run" / "checkpoints")
    assert run.config["pages"] == summary["pages"]
    assert {split: run.config["pages"][split] for split in ("train", "val", "test")} == {
        "train": 4,
        "val": 1,
        "test": 5,
    }
    told = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    assert run.config["code"].get("commit") == (told.stdout.strip() or None)
    assert "digest: " in (tmp_path / "run" / "csv" / "version_0" / "hparams.yaml").read_text()

    data, best, last = run.artifact("dataset"), run.artifact("model", "best"), run.artifacts[-1]
    assert data.use_after_commit  # an input
    assert not best.use_after_commit
    assert [*last.aliases] == ["latest"]  # logged after the best, from which W&B so takes the alias
    for artifact, file in (
        (data, "pages.csv.gz"),
        (best, "checkpoints/best.ckpt"),
        (last, "checkpoints/last.ckpt"),
    ):
        (entry,) = artifact.manifest.contents
        content = (tmp_path / "run" / file).read_bytes()
        assert base64.b64decode(entry.digest) == hashlib.md5(content).digest()
        assert Path(entry.local_path).samefile(tmp_path / "run" / file)  # no copy
    assert json.loads(best.metadata)["best val/psnr"] == pytest.approx(summary["objective"])


@pytest.mark.usefixtures("pages")
def test_finetuning_has_the_other_runs_model_as_input(train, tmp_path):
    first = tmp_path / "runs" / "first"
    quick = (*QUICK, "trainer.max_epochs=1", "test=false", "callbacks.worst=null", "logger=wandb")
    best = train(*quick, folder=first)["best_checkpoint"]
    second = (*quick, f"init_from={best}", "logger.wandb.log_model=false")
    train(*second, folder=tmp_path / "runs" / "second")
    made = only_run(first).artifact("model", "best")
    run = only_run(tmp_path / "runs" / "second")
    (used,) = [each for each in run.artifacts if each.type == "model"]
    assert used.use_after_commit
    assert run.run.job_type == "finetune"
    assert (used.name, used.digest) == (made.name, made.digest) == ("runs-first", made.digest)
    assert not used.manifest.contents[0].local_path  # nothing is uploaded a second time


@pytest.mark.usefixtures("pages")
def test_sweep_names_its_group(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = ("-m", *QUICK, "trainer.max_epochs=1", "test=false", "logger=wandb", "hydra.sweep.dir=sweeps/mine")
    monkeypatch.setattr(sys, "argv", ["train", *sweep, "callbacks.worst=null"])
    main()
    run = only_run(tmp_path / "sweeps" / "mine" / "0").run
    assert (run.job_type, run.run_group) == ("sweep", "mine")


def test_checkpoint_that_is_replaced_later_is_sent_as_it_was(tmp_path):
    logger = offline_logger(tmp_path)
    checkpoint = tmp_path / "a #1, b?" / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"first")
    log_models([logger], best=str(checkpoint), last="", facts={})
    log_input_model([logger], checkpoint)
    logger.experiment.finish()
    with whole_file(checkpoint) as unfinished:
        unfinished.write_bytes(b"second")
    made, used = only_run(tmp_path).artifacts
    assert Path(made.manifest.contents[0].local_path).read_bytes() == b"first"
    assert (made.name, made.digest) == (used.name, used.digest)
    assert (made.use_after_commit, used.use_after_commit) == (False, True)


def offline_logger(folder: Path):
    return OfflineWandbLogger(save_dir=folder, offline=True, project="test")


def test_name_of_a_model():
    assert artifact_name(Path("outputs/train/crops/2026-11-26_1/checkpoints/best.ckpt")) == "crops-2026-11-26_1"
    assert artifact_name(Path("outputs/sweeps/a=b, c/3/checkpoints/last.ckpt")) == "a_b__c-3"
    assert artifact_name(Path("models/mine.ckpt")) == "mine"


# The pages


def page_rows(folder: Path) -> list[list[str]]:
    lines = gzip.decompress((folder / "pages.csv.gz").read_bytes()).decode().splitlines()
    assert lines[0] == "split,page,known_by"
    return [line.split(",") for line in lines[1:]]


def test_pages_are_known_by_name_and_content(pages, tmp_path):
    said = fingerprint({"train": {"real": FolderSource(pages)}}, tmp_path)
    rows = page_rows(tmp_path)
    assert said["files_known_by"] == "content"
    assert {name: known for _, name, known in rows} == {
        path.relative_to(pages).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in pages.rglob("*.png")
    }
    listed = (tmp_path / "pages.csv.gz").read_bytes()

    copied = tmp_path / "elsewhere"
    shutil.copytree(pages, copied, copy_function=shutil.copyfile)  # other times
    assert fingerprint({"train": {"real": FolderSource(copied)}}, tmp_path) == said
    assert (tmp_path / "pages.csv.gz").read_bytes() == listed
    (copied / "page_0.png").write_bytes((copied / "page_1.png").read_bytes())
    other = fingerprint({"train": {"real": FolderSource(copied)}}, tmp_path)
    assert other["digest"] != said["digest"]
    assert other["train"] == said["train"] == 5


def test_pages_of_a_large_folder_are_known_by_time_and_size(pages, tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "MAX_HASHED_PAGES", 4)
    monkeypatch.setattr(facts, "sha256", lambda _: pytest.fail("a page was read"))
    source = {"train": {"real": FolderSource(pages)}}
    said = fingerprint(source, tmp_path)
    stat = (pages / "page_0.png").stat()
    assert said["files_known_by"] == "time and size"
    assert ["train", "page_0.png", f"{stat.st_mtime_ns} {stat.st_size}"] in page_rows(tmp_path)
    os.utime(pages / "page_0.png", ns=(1, 1))
    assert fingerprint(source, tmp_path)["digest"] != said["digest"]


def test_generated_and_missing_pages(pages, tmp_path):
    generated = GeneratedSource(PageGenerator(size=(64, 64)), 2, 7)
    real = FolderSource(pages)
    (pages / "page_1.png").unlink()
    (pages / "page_3.png").unlink()
    (pages / "page_3.png").symlink_to("nowhere.png")
    fingerprint({"train": {"real": real, "generated": generated}}, tmp_path)
    rows = {name: known for _, name, known in page_rows(tmp_path)}
    assert rows["page_1.png"] == rows["page_3.png"] == "unreadable"
    assert generated.generator.tag in rows["generated/7/1"]


# The code


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit that holds "the code"; gives ``git(*arguments)``."""
    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    monkeypatch.setattr(facts, "__file__", str(root / "src" / "tracking.py"))

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", "-C", root, *identity, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    (root / "src" / "tracking.py").write_text("one\n")
    git("init", "-b", "trunk")
    git("add", "-A")
    git("commit", "-m", "first")
    return git


def test_state_of_clean_code(checkout, tmp_path):
    said = code_state(tmp_path)
    assert (said["commit"], said["branch"]) == (checkout("rev-parse", "HEAD"), "trunk")
    assert (said["dirty"], said["patch"], said["new_files"]) == (False, None, [])
    assert not (tmp_path / "code.patch").exists()


def test_changed_code_can_be_had_again_from_commit_and_patch(checkout, tmp_path):
    root = tmp_path / "repository"
    (root / "src" / "tracking.py").write_text("two\n")
    (root / "ein neuer – Name.py").write_text("new\n")
    (root / "scans").mkdir()
    for number in range(3):
        (root / "scans" / f"{number}.jpg").touch()
    for setting in ("color.ui=always", "diff.noprefix=true", "diff.external=false"):  # a user may have
        checkout("config", *setting.split("="))
    said = code_state(tmp_path)
    assert said["dirty"]
    assert said["new_files"] == ["ein neuer – Name.py", "scans/"]
    assert "\x1b" not in (tmp_path / "code.patch").read_text()
    checkout("checkout", "-f", said["commit"])
    checkout("apply", str(tmp_path / "code.patch"))
    assert (root / "src" / "tracking.py").read_text() == "two\n"


@pytest.mark.usefixtures("checkout")
def test_code_that_only_lies_below_a_repository_has_no_commit(tmp_path, monkeypatch):
    installed = tmp_path / "repository" / "venv" / "tracking.py"
    installed.parent.mkdir()
    monkeypatch.setattr(facts, "__file__", str(installed))
    assert set(code_state(tmp_path)) == {"version"}
    monkeypatch.setenv("PATH", str(tmp_path))  # no Git
    assert set(code_state(tmp_path)) == {"version"}


# The worst pages


def show_worst(monkeypatch, folder: Path, batches, *, world_size: int = 1):
    """What the callback logs of batches of (names, degraded, restored, clean): columns and rows."""
    tables = []
    monkeypatch.setattr(
        callbacks, "log_table", lambda _, key, columns, rows, step: tables.append((key, columns, rows, step))
    )
    monkeypatch.setattr(callbacks, "log_picture", lambda *_, **__: None)
    trainer = SimpleNamespace(
        sanity_checking=False,
        current_epoch=0,
        world_size=world_size,
        is_global_zero=True,
        global_step=7,
        loggers=[0],
    )
    watcher = WorstPages(folder=str(folder), num_pages=2)
    for names, degraded, restored, clean in batches:
        batch = {"name": names, "degraded": degraded, "clean": clean}
        watcher.on_validation_batch_end(trainer, None, {"restored": restored}, batch, 0)
    watcher.on_validation_epoch_end(trainer, None)
    ((key, columns, rows, step),) = tables
    assert (key, step) == (logged.WORST_PAGES, 7)
    return columns, rows


def some_batches():
    generator = torch.Generator().manual_seed(0)
    for names in (("a", "b", "c"), ("d", "e")):
        clean = torch.rand(len(names), 3, 16, 16, generator=generator)
        noise = torch.rand(2, len(names), 1, 1, 1, generator=generator) * torch.randn(
            2, len(names), 3, 16, 16, generator=generator
        )
        degraded, restored = (clean + 0.3 * noise).clamp(0, 1)
        yield names, degraded, restored, clean


def reference_gains() -> dict[str, float]:
    def psnr(picture, clean):
        return peak_signal_noise_ratio(clean.numpy(), picture.numpy(), data_range=1)

    return {
        name: psnr(restored[i], clean[i]) - psnr(degraded[i], clean[i])
        for names, degraded, restored, clean in some_batches()
        for i, name in enumerate(names)
    }


def test_worst_pages_are_those_that_gain_least(tmp_path, monkeypatch):
    columns, rows = show_worst(monkeypatch, tmp_path, some_batches())
    gains = reference_gains()
    assert [row[0] for row in rows] == sorted(gains, key=gains.get)[:2]
    for row in rows:
        values = dict(zip(columns, row, strict=True))
        assert values["psnr_gain"] == pytest.approx(gains[row[0]], abs=1e-3)
        assert values["psnr"] - values["input_psnr"] == pytest.approx(gains[row[0]], abs=1e-3)
        clean, restored = values["clean"].numpy(), values["restored"].numpy()
        assert values["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, restored, data_range=1), abs=1e-3)
    assert (tmp_path / "worst.png").is_file()


def test_worst_pages_of_several_processes(tmp_path, monkeypatch):
    """Each finds its own worst; together they show the worst of all."""
    first, second = some_batches()
    found: list = []

    def gather(shares, mine):
        found.append(mine)
        shares[:] = found + [[]] * (2 - len(found))

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    show_worst(monkeypatch, tmp_path, [first], world_size=2)
    _, rows = show_worst(monkeypatch, tmp_path, [second], world_size=2)
    gains = reference_gains()
    assert [row[0] for row in rows] == sorted(gains, key=gains.get)[:2]
    assert {row[0] for row in rows} & {"a", "b", "c"}
    assert {row[0] for row in rows} & {"d", "e"}


def test_worst_pages_reach_the_table(train, tmp_path):
    options = ("data=small", "data.num_generated={train: 2, val: 4, test: 1}", "data.fresh_pages=0")
    quick = [option for option in QUICK if option not in ("data=pages", "data.train_dir=pages")]
    train(*quick, *options, "logger=wandb", WORST, "trainer.max_epochs=1", "test=false")
    run = only_run(tmp_path / "run")
    assert (run.history["val/worst_pages/nrows"], run.history["val/worst_pages/ncols"]) == (2, 9)
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/files/media/table/val/worst_pages*.table.json")
    table = json.loads(file.read_text())
    names = table["columns"]
    gains = [row[names.index("psnr_gain")] for row in table["data"]]
    assert gains == sorted(gains)
    assert np.isfinite(gains).all()


# MLflow


@pytest.mark.usefixtures("pages")
def test_mlflow_keeps_a_run_in_one_file(train, tmp_path):
    summary = train(*QUICK, "logger=mlflow", WORST, "trainer.max_epochs=1", "test=false")
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as database:
        metrics = dict(database.execute("select key, value from metrics where key like 'val/%'"))
        params = dict(database.execute("select key, value from params"))
        tags = dict(database.execute("select key, value from tags"))
        ((place, status),) = database.execute("select artifact_uri, status from runs")
    assert metrics["val/psnr"] == pytest.approx(summary["scores"]["val/psnr"])
    assert params["data/image_size"] == "32"
    assert params["pages/digest"] == summary["pages"]["digest"]
    assert (tags["job_type"], tags["model"], tags["mlflow.runName"]) == ("train", "vit_test", "smoke")
    assert status == "FINISHED"
    files = {path.relative_to(place).as_posix() for path in Path(place).rglob("*") if path.is_file()}
    assert "inputs/pages.csv.gz" in files
    assert any(name.startswith("images/val~worst_pictures") for name in files)
    (table,) = (json.loads((Path(place) / name).read_text()) for name in files if "worst_pages" in name)
    assert table["columns"] == ["page", "psnr_gain", "input_psnr", "psnr", "input_ssim", "ssim"]
    assert len(table["data"][0]) == 6


MLFLOW_RUN = f"""
import os, time
from pathlib import Path
from omegaconf import OmegaConf
from manuscript_restore.tracking.loggers import build_loggers
from manuscript_restore.tracking.facts import Kind
asked = []
socket.getaddrinfo = lambda *place, **_: asked.append(place) or (_ for _ in ()).throw(OSError())
os.chdir(sys.argv[1])
section = OmegaConf.load({str(ROOT / "configs" / "logger" / "mlflow.yaml")!r})
Path(sys.argv[2]).touch()
while len(list(Path().glob("ready_*"))) < int(sys.argv[3]):
    time.sleep(0.01)
(logger,) = build_loggers(OmegaConf.create({{"name": "run", "logger": section}}).logger, Kind("train", None, ()))
logger.log_metrics({{"val/psnr": 1.0}}, step=1)
logger.finalize("success")
time.sleep(1)
print("asked for", asked)
"""


@pytest.mark.slow
def test_mlflow_sends_nothing_and_takes_two_runs_at_once(tmp_path):
    """In processes of their own, for MLflow keeps quiet in tests: on a user's machine it would tell its makers.

    Both find no database, and make it.
    """
    environment = {"HOME": str(tmp_path), "NO_ALBUMENTATIONS_UPDATE": "1"}
    with ThreadPoolExecutor() as pool:
        started = [
            pool.submit(without_network, MLFLOW_RUN, tmp_path, f"ready_{number}", 2, **environment)
            for number in range(2)
        ]
    for done in (each.result() for each in started):
        assert done.stdout.splitlines()[-1:] == ["asked for []"], done.stdout + done.stderr
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as database:
        assert list(database.execute("select status from runs")) == [("FINISHED",)] * 2


def test_trackers_are_imported_on_use_alone(tmp_path):
    code = "import manuscript_restore.train, manuscript_restore.evaluate\n"
    code += "print(sorted({'mlflow', 'wandb_workspaces'} & set(sys.modules)))"  # timm imports wandb
    done = without_network(code, HOME=str(tmp_path), NO_ALBUMENTATIONS_UPDATE="1")
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_mlflow_that_is_missing_names_the_extra(monkeypatch, tmp_path):
    from lightning.pytorch.loggers import mlflow
    from omegaconf import OmegaConf

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mlflow, "_MLFLOW_AVAILABLE", False)
    section = OmegaConf.create({"mlflow": {"_target_": "lightning.pytorch.loggers.MLFlowLogger"}})
    with pytest.raises(UserError, match=r"manuscript-restore\[.*mlflow.*\]"):
        build_loggers(section, Kind("train", None, ()))
