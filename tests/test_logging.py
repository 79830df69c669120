"""What the loggers' own readers find in the files of a run."""

import re

import pytest
from hydra import compose, initialize_config_dir

from manuscript_restore.config import config_dir
from manuscript_restore.errors import UserError
from manuscript_restore.tracking.facts import Kind
from manuscript_restore.tracking.loggers import build_loggers
from tests.test_stopping import QUICK
from tests.wandb_runs import read_run


@pytest.mark.slow
def test_wandb_offline_run_holds_metrics_pictures_and_config(train, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)  # offline by the config alone
    summary = train("experiment=smoke", "logger=[csv,wandb]", "trainer.max_epochs=1", "test=false")
    (sync,) = summary["wandb_sync"]
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    assert str(file.parent) == sync

    run = read_run(file)
    history, config = run.history, run.config
    assert {"train/loss", "train/loss_l1", "val/psnr", "val/psnr_gain", "val/ssim", "lr-AdamW"} <= set(history)
    assert history["val/psnr"] == pytest.approx(summary["scores"]["val/psnr"])
    assert history["val/pictures/_type"] == "images/separated"
    pictures = [file.parent / "files" / name for name in history["val/pictures/filenames"]]
    assert pictures
    assert all(path.is_file() for path in pictures)
    assert history["val/pages/_type"] == "table-file"
    assert history["val/pages/nrows"] == 2
    assert history["val/pages/ncols"] == 4  # page, degraded, restored, clean
    assert config["data"]["image_size"] == 64
    assert config["loss"]["perceptual"]["network"] == "efficientnet_lite0"


@pytest.mark.slow
def test_tensorboard_holds_metrics_and_pictures(train, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train("experiment=smoke", "logger=tensorboard", "trainer.max_epochs=1", "test=false")
    (folder,) = (tmp_path / "run" / "tensorboard").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert "val/psnr" in events.Tags()["scalars"]
    assert sorted(events.Tags()["images"]) == ["val/pictures", "val/worst_pictures"]


def test_wandb_online_without_an_account_says_so(train, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no .netrc
    with pytest.raises(SystemExit):
        train("experiment=smoke", "logger=wandb", "logger.wandb.offline=false")
    assert "wandb login" in (tmp_path / "run" / "train.log").read_text() + capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "offline", "says"),
    [
        ("offline", "false", None),
        ("online", "true", "WANDB_MODE=online: there is no W&B account"),
        ("", "false", "logger.wandb.offline=false: there is no W&B account"),
        ("", "true", None),
        ("off", "true", "WANDB_MODE=off: must be online, offline or disabled"),
    ],
)
def test_wandb_mode_decides_before_the_config(mode, offline, says, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no .netrc
    monkeypatch.setenv("WANDB_MODE", mode)
    with initialize_config_dir(config_dir(), version_base="1.3"):
        config = compose("train", ["logger=wandb", f"logger.wandb.offline={offline}", f"output_dir={tmp_path}"])
    if says:
        with pytest.raises(UserError, match=re.escape(says)):
            build_loggers(config.logger, Kind("train", None, ()))
        return
    (logger,) = build_loggers(config.logger, Kind("train", None, ()))
    assert logger.experiment.offline
    logger.experiment.finish()


@pytest.mark.usefixtures("pages")
def test_wandb_disabled_leaves_no_run_and_no_files(train, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    summary = train(*QUICK, "logger=[csv,wandb]", "trainer.max_epochs=1", "test=false")
    assert summary["status"] == "finished"
    assert summary["wandb_sync"] == []
    assert not list(tmp_path.rglob("*wandb*"))
    assert list(tmp_path.rglob("metrics.csv"))
