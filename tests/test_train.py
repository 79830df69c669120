"""Whole trainings through the real entry point."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch import Callback
from PIL import Image

from manuscript_restore.checkpoint import PREFIX, export, load_model, start_from
from manuscript_restore.config import build, config_dir
from manuscript_restore.errors import UserError
from manuscript_restore.images.tensors import quantize
from manuscript_restore.metrics import psnr
from manuscript_restore.models import build_model
from manuscript_restore.train import main
from manuscript_restore.training.module import RestorationModule
from tests.test_stopping import QUICK as FAST

SMOKE = ("experiment=smoke",)
QUICK = (*SMOKE, "loss.perceptual.weight=0", "test=false", "data.num_generated.train=4")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    """The output folder of one smoke run, started as a user starts it, outside the repository."""
    folder = tmp_path_factory.mktemp("smoke")
    subprocess.run(
        [sys.executable, "-m", "manuscript_restore.train", *SMOKE, f"hydra.run.dir={folder}/run"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "run"


@pytest.mark.slow
def test_smoke_leaves_everything(smoke):
    summary = json.loads((smoke / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["epochs"] == 2
    assert summary["steps"] == 4
    assert summary["perceptual_network"] == "efficientnet_lite0"
    for split in ("val", "test"):
        scores = summary["scores"]
        gain = scores[f"{split}/psnr"] - scores[f"{split}/input_psnr"]
        assert scores[f"{split}/psnr_gain"] == pytest.approx(gain, abs=1e-4)
        assert 0 < scores[f"{split}/mse"] < 1
    assert Path(summary["best_checkpoint"]).is_file()
    assert Path(summary["last_checkpoint"]).is_file()
    with Image.open(smoke / "pictures" / "epoch_001.png") as picture:
        assert picture.width > 3 * 256
    with next(smoke.glob("csv/*/metrics.csv")).open() as file:
        columns = set(next(csv.reader(file)))
    assert {
        "train/loss_l1",
        "train/loss_ssim",
        "train/loss_perceptual",
        "train/loss",
        "train/psnr",
        "val/psnr_gain",
    } <= columns
    assert "lr-AdamW" in columns


def score_again(summary, *overrides: str) -> float:
    """PSNR of the best checkpoint on the test pages, from the file and the data alone."""
    with initialize_config_dir(config_dir(), version_base="1.3"):
        config = compose("train", [*SMOKE, *overrides])
    degradation = build(config.val_degradation, "val_degradation")
    datamodule = build(config.data, "data", seed=0, degradation=degradation, val_degradation=degradation)
    datamodule.setup("test")
    restorer = load_model(summary["best_checkpoint"])
    values = []
    for batch in datamodule.test_dataloader():
        batch = datamodule.on_after_batch_transfer(batch, 0)
        with torch.inference_mode():
            values.append(psnr(quantize(restorer(batch["degraded"])), batch["clean"]))
    return torch.cat(values).mean().item()


@pytest.mark.slow
def test_test_scores_are_those_of_the_best_checkpoint(smoke):
    summary = json.loads((smoke / "summary.json").read_text())
    assert score_again(summary) == pytest.approx(summary["scores"]["test/psnr"], abs=1e-3)


@pytest.mark.slow
def test_with_ema_the_averaged_weights_are_tested(train):
    options = ("callbacks=[checkpoints,ema]", "optimizer.lr=1e-2", "loss.perceptual.weight=0")
    summary = train(*SMOKE, *options)
    assert score_again(summary) == pytest.approx(summary["scores"]["test/psnr"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("none", [("logger=[]",), ("callbacks=[]", "+trainer.enable_checkpointing=false")])
def test_runs_without_loggers_or_callbacks(train, none):
    assert train(*QUICK, "trainer.max_epochs=1", *none)["status"] == "finished"


@pytest.mark.slow
def test_training_starts_from_given_weights(smoke, train, tmp_path):
    best = json.loads((smoke / "summary.json").read_text())["best_checkpoint"]
    export(best, tmp_path / "released", name="mine", half=False, onnx=False)
    still = ("loss.perceptual.weight=0", "trainer.max_epochs=1", "optimizer.lr=1e-12", "optimizer.min_lr=0")
    for source in (best, tmp_path / "released"):
        summary = train(*SMOKE, *still, f"init_from={source}")
        left = load_model(summary["last_checkpoint"]).state_dict()
        for name, weights in load_model(best).state_dict().items():
            torch.testing.assert_close(left[name], weights, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_frozen_parts_stay_as_they_were(smoke, train):
    best = json.loads((smoke / "summary.json").read_text())["best_checkpoint"]
    learn = ("trainer.max_epochs=1", f"init_from={best}", "optimizer.lr=1e-2", "optimizer.weight_decay=0.1")
    summary = train(*QUICK, *learn, "optimizer.frozen=[encoder]")
    before, after = (load_model(path).state_dict() for path in (best, summary["last_checkpoint"]))
    changed = {name for name, weights in before.items() if not torch.equal(after[name], weights)}
    assert changed
    assert not [name for name in changed if name.startswith("encoder.")]


@pytest.mark.parametrize(
    ("frozen", "message"), [(["head"], "head: no part.*encoder"), (["encoder", "decoder"], "nothing")]
)
def test_what_cannot_be_frozen_is_named(frozen, message):
    model = {"encoder": "test_vit", "decoder": {"name": "reference"}, "image_size": 32}
    settings = {"lr": 1.0, "weight_decay": 0.0, "min_lr": 0.0, "warmup_steps": 0, "frozen": frozen}
    with pytest.raises(UserError, match=rf"optimizer\.frozen.*{message}"):
        RestorationModule(model=model, loss={"l1": {"weight": 1}}, optimizer=settings)


def test_weights_fit_views_of_another_size(tmp_path):
    options = {"encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}}
    source, network = (build_model(options | {"image_size": size}).eval() for size in (32, 64))
    for parameter in source.parameters():
        torch.nn.init.normal_(parameter, std=0.05)  # it starts as the identity, whatever its positions
    state = {f"{PREFIX}{key}": value for key, value in source.state_dict().items()}
    checkpoint = {"hyper_parameters": {"model": options | {"image_size": 32}}, "state_dict": state}
    torch.save(checkpoint, tmp_path / "small.ckpt")
    start_from(network, str(tmp_path / "small.ckpt"), key="init_from")
    page = torch.rand(1, 3, 64, 64)
    with torch.no_grad():  # as the small one sees a page that is larger than its views
        torch.testing.assert_close(network(page), source(page))


class StopAfter(Callback):
    """Ends a run after an epoch, as a kill between epochs would, with the schedule of the long run."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epoch


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra", [(), ("callbacks=[checkpoints,ema]", "model.drop_path_rate=0.2", "data.num_workers=2")]
)
def test_resume_is_exact(train, tmp_path, extra):
    """Four epochs equal two, a stop, and two more, to the bit."""
    options = (
        *QUICK,
        "data.num_generated.train=6",
        "trainer.max_epochs=4",
        "data.augment.photometric=1",
        "data.view=crop",
        *extra,
    )
    train(*options, folder=tmp_path / "straight")
    stop = "+callbacks.stop={_target_: tests.test_train.StopAfter, epoch: 2}"
    train(*options, stop, folder=tmp_path / "halves")
    checkpoint = tmp_path / "halves" / "checkpoints" / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 1
    train(*options, f"ckpt_path={checkpoint}", folder=tmp_path / "halves")

    straight, resumed = (
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)
        for run in ("straight", "halves")
    )
    assert straight["global_step"] == resumed["global_step"] == 8
    for part in ("state_dict", *(["current_model_state"] if extra else [])):
        for name, value in straight[part].items():
            assert torch.equal(value, resumed[part][name]), name
    for name, value in straight["optimizer_states"][0]["state"][0].items():
        assert torch.equal(value, resumed["optimizer_states"][0]["state"][0][name]), name
    assert straight["lr_schedulers"][0]["_last_lr"] == resumed["lr_schedulers"][0]["_last_lr"]


@pytest.mark.slow
def test_the_last_checkpoint_is_of_the_last_epoch_however_it_scores(train, tmp_path):
    """From the identity on undamaged pages training can only make the scores worse."""
    summary = train(
        *QUICK, "degradation=none", "degradation@val_degradation=none", "trainer.max_epochs=3", "optimizer.lr=1e-3"
    )
    epochs = {
        name: torch.load(summary[f"{name}_checkpoint"], weights_only=True)["epoch"] for name in ("best", "last")
    }
    with next((tmp_path / "run").glob("csv/*/metrics.csv")).open() as file:
        scores = [float(row["val/psnr"]) for row in csv.DictReader(file) if row["val/psnr"]]
    assert epochs == {"best": scores.index(max(scores)), "last": 2}
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        "previous.ckpt",
    }


@pytest.mark.slow
def test_same_seed_same_run_other_seed_other_run(train, tmp_path):
    losses = [
        train(*QUICK, f"seed={seed}", "trainer.max_epochs=1", folder=tmp_path / f"{i}")["scores"]["val/loss"]
        for i, seed in enumerate((0, 0, 1))
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
def test_trains_on_a_folder(train, pages):
    summary = train(
        *QUICK, "data=pages", f"data.train_dir={pages}", "data.view=crop", "test=true", "trainer.max_epochs=1"
    )
    assert summary["status"] == "finished"
    assert "val/psnr" in summary["scores"]
    assert "test/psnr" not in summary["scores"]  # the validation pages would be scored twice


@pytest.mark.slow
def test_sweep_survives_a_failed_job(tmp_path, monkeypatch):
    from manuscript_restore.train import main

    monkeypatch.chdir(tmp_path)
    overrides = [
        *QUICK,
        "trainer.max_epochs=1",
        "degradation.severity=0.5,-1,1.0",
        f"hydra.sweep.dir={tmp_path}/sweep",
    ]
    monkeypatch.setattr(sys, "argv", ["train", "-m", *overrides])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    with (tmp_path / "sweep" / "results.csv").open() as file:
        rows = {row["degradation.severity"]: row for row in csv.DictReader(file)}
    assert {key: row["status"] for key, row in rows.items()} == {
        "0.5": "finished",
        "1.0": "finished",
        "-1": "failed",
    }
    assert "severity" in rows["-1"]["error"]
    assert all((tmp_path / "sweep" / str(job) / "summary.json").is_file() for job in range(3))
    assert float(rows["0.5"]["best val/psnr"]) != float(rows["1.0"]["best val/psnr"])


NO_VALIDATION = (*FAST, "trainer.limit_val_batches=0", "trainer.max_epochs=1")


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_without_validation_the_last_weights_are_tested(train, tmp_path, capfd):
    shutil.copytree(tmp_path / "pages", tmp_path / "others")
    options = (*NO_VALIDATION, "callbacks=[checkpoints,early_stopping]", "data.test_dir=others")
    summary = train(*options)
    printed = "".join(capfd.readouterr())
    assert printed.count("trainer.limit_val_batches=0: no validation, so no best checkpoint") == 1
    assert "test, last weights: PSNR" in printed
    assert (summary["objective"], summary["best_checkpoint"]) == (None, "")
    assert Path(summary["last_checkpoint"]).is_file()
    assert {name.split("/")[0] for name in summary["scores"]} == {"test"}


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_without_validation_and_test_there_is_no_empty_table(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    sweep = ("-m", *NO_VALIDATION, "test=false", "seed=1", f"hydra.sweep.dir={tmp_path}/sweep")
    monkeypatch.setattr(sys, "argv", ["train", *sweep])
    main()
    printed = "".join(capfd.readouterr())
    assert "no scores, as there was neither validation nor test" in printed
    assert "degraded" not in printed
    with (tmp_path / "sweep" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["status"], row["best val/psnr"]) == ("finished", "")
