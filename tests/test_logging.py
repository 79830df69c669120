"""What the loggers' own readers find in the files of a run."""

import json

import pytest


@pytest.mark.slow
def test_wandb_offline_run_holds_metrics_pictures_and_config(train, tmp_path, monkeypatch):
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)  # offline by the config alone
    summary = train("experiment=smoke", "logger=[csv,wandb]", "trainer.max_epochs=1", "test=false")
    (sync,) = summary["wandb_sync"]
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    assert str(file.parent) == sync

    store, history, config = DataStore(), {}, {}
    store.open_for_scan(str(file))
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for item in record.history.item:
            history[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        for update in record.config.update:
            config[update.key] = json.loads(update.value_json)
    assert {"train/loss", "train/loss_l1", "val/psnr", "val/psnr_gain", "val/ssim", "lr-AdamW"} <= set(history)
    assert history["val/psnr"] == pytest.approx(summary["scores"]["val/psnr"])
    pictures = history["val/pictures"]
    assert pictures["_type"] == "images/separated"
    assert all((file.parent / "files" / name).is_file() for name in pictures["filenames"])
    assert history["val/pages"]["_type"] == "table-file"
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
    assert events.Tags()["images"] == ["val/pictures"]


def test_wandb_online_without_an_account_says_so(train, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no .netrc
    with pytest.raises(SystemExit):
        train("experiment=smoke", "logger=wandb", "logger.wandb.offline=false")
    assert "wandb login" in (tmp_path / "run" / "train.log").read_text() + capsys.readouterr().out
