"""Every config composes, builds, and rejects what it does not know."""

import importlib
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from manuscript_restore import config as config_module
from manuscript_restore.config import build, config_dir, launch, make_new, override, run_dir
from manuscript_restore.errors import UserError
from manuscript_restore.train import main, plain, train
from manuscript_restore.training.module import RestorationModule, Schedule

CONFIGS = Path(config_dir())


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def composed(*overrides: str):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", [*overrides, "output_dir=out"])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_builds(experiment):
    config = composed(f"experiment={experiment}")
    assert config.name == experiment
    assert set(config) == set(train.__kwdefaults__ or {}) | set(train.__annotations__) - {"return"}
    degradation, val_degradation = (build(config[key], key) for key in ("degradation", "val_degradation"))
    build(config.data, "data", seed=0, degradation=degradation, val_degradation=val_degradation)
    module = build(
        config.module,
        "module",
        model=plain(config.model),
        loss=plain(config.loss),
        optimizer=plain(config.optimizer),
        seed=0,
    )
    assert module.model.image_size == config.data.image_size
    assert module.model.encoder.vit.patch_embed.img_size == (config.data.image_size,) * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    [
        f"{group}={name}"
        for group in ("degradation", "model", "decoder", "loss/perceptual", "trainer", "callbacks", "logger")
        for name in options(group)
    ],
)
def test_every_option_composes_and_its_keys_are_known(override, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()  # of MLflow's database, which `build_loggers` makes
    config = composed(override)
    for section in ("callbacks", "logger"):
        for key, each in config[section].items():
            build(each, f"{section}.{key}") if "WandbLogger" not in each["_target_"] else None


def test_vit_base_is_the_reference():
    config = OmegaConf.to_container(composed("experiment=vit_base"), resolve=True)
    assert config["data"]["image_size"] == 256
    assert config["data"]["view"] == "resize"
    assert config["data"]["batch_size"] == 16
    assert config["optimizer"] == {
        "lr": 1e-4,
        "weight_decay": 0.01,
        "min_lr": 1e-6,
        "warmup_steps": 0,
        "frozen": [],
    }
    assert config["trainer"]["max_epochs"] == 100
    assert config["trainer"]["gradient_clip_val"] == 1.0
    assert {name: term["weight"] for name, term in config["loss"].items()} == {
        "l1": 1.0,
        "perceptual": 0.1,
        "ssim": 0.1,
        "psnr": 0,
        "colour_fit": 0,
        "colours": 0,
        "damage": 0.5,  # of maps, which the linear decoder has not
        "ink": 0.1,
    }
    assert config["module"]["train_metrics_every"] == 10


def test_several_loggers_and_callbacks():
    config = composed("logger=[csv,wandb,tensorboard]", "callbacks=[checkpoints,ema,early_stopping]")
    assert set(config.logger) == {"csv", "wandb", "tensorboard"}
    assert {"best", "last", "ema", "early_stopping"} <= set(config.callbacks)


def test_unknown_keys_are_listed():
    config = composed("+data.trian_dir=x")
    with pytest.raises(UserError, match=r"data\.trian_dir: unknown key \(did you mean train_dir\?\); known keys"):
        build(config.data, "data", seed=0, degradation=None, val_degradation=None)


@pytest.mark.parametrize(
    ("section", "key", "message"),
    [
        ("model", "depth", r"model\.depth: unknown key.*encoder"),
        ("loss", "l2", r"loss\.l2: unknown key.*ssim"),
        ("optimizer", "learning_rate", r"optimizer\.learning_rate: unknown key"),
    ],
)
def test_unknown_keys_of_the_module(section, key, message):
    config = composed("experiment=smoke")
    sections = {name: plain(config[name]) for name in ("model", "loss", "optimizer")}
    sections[section][key] = 1
    with pytest.raises(UserError, match=message):
        RestorationModule(**sections)


def test_missing_and_wrong_targets():
    with pytest.raises(UserError, match=r"trainer\._target_: missing"):
        build(OmegaConf.create({}), "trainer")
    with pytest.raises(UserError, match="cannot be imported"):
        build(OmegaConf.create({"_target_": "lightning.Trianer"}), "trainer")


def test_a_resumed_run_goes_on_in_its_folder():
    assert run_dir("outputs/train/a/1/checkpoints/last.ckpt", "b") == "outputs/train/a/1"
    assert run_dir("elsewhere/last.ckpt", "b").startswith("outputs/train/b/")
    assert run_dir(None, "b").startswith("outputs/train/b/")


@pytest.mark.slow
def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    class Still(datetime):
        @classmethod
        def now(cls):
            return cls(2026, 1, 1, 12)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config_module, "datetime", Still)
    monkeypatch.setattr("hydra.core.utils.datetime", Still)  # of ${now:…}
    for arguments in ((), ("-m",)) * 2:
        monkeypatch.setattr(sys, "argv", ["train", *arguments, "experiment=smoke", "seed=-1"])  # fails early
        with pytest.raises(SystemExit):
            main()
    second = "2026-01-01_12-00-00"
    for folder in ("train/smoke", "sweeps"):
        assert {path.name for path in Path("outputs", folder).iterdir()} == {second, f"{second}_2"}
    assert len(list(tmp_path.rglob("summary.json"))) == 4


def test_a_new_folder_is_nobody_elses(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(make_new, [tmp_path / "a" / "run"] * 16))
    assert len(set(folders)) == 16
    assert sorted(folders) == sorted((tmp_path / "a").iterdir())


@pytest.mark.parametrize(
    "text",
    ["a=b", "a,b", "a b", "it's", 'say "x"', "pagés", "a(b)", "[x]", "{a: b}", "a\\b", "a\\", "null", "3", ""],
)
def test_overrides_that_are_printed_are_read_back(text):
    assert composed(override("name", text)).name == text


@pytest.mark.parametrize("entry", ["train", "evaluate", "generate"])
@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["out=a=b/x"], """'out="a=b/x"'"""),
        (["out=a,b"], """'out="a,b"'"""),
        (["out=it's"], """'out="it'"'"'s"'"""),
        (["out={a: b=c}"], """'models={mine: "a=b.ckpt"}'"""),
        (["out=my", "pages"], "'out=my pages'"),
    ],
)
def test_what_hydra_cannot_read_is_followed_by_how_to_write_it(entry, arguments, mend, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [entry, *arguments])
    with pytest.raises(SystemExit) as exit_:
        importlib.import_module(f"manuscript_restore.{entry}").main()
    assert exit_.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(mend)
    if mend.startswith("'out"):
        assert shlex.split(mend)[0].partition("=")[2].strip('"') == " ".join(arguments).partition("=")[2]


@pytest.mark.parametrize(
    ("entry", "argument", "message"),
    [
        ("train", "trainer=null", "trainer=null: must be the name of one of auto, cpu, ddp, fsdp, gpu"),
        ("train", "data=[1]", "data=[1]: must be the name of one of generated,"),
        ("generate", "generator=null", "generator=null: must be the name of one of manuscript, printed"),
        ("evaluate", "logger=csv,tensorboard", "for several, write: 'logger=[csv,tensorboard]'"),
        ("train", "trainer=cpu,gpu", "for a run with each of them, add -m"),
        ("generate", "out=null", "out=null: must name a folder"),
    ],
)
def test_wrong_members_of_groups(entry, argument, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [entry, argument])
    with pytest.raises(SystemExit) as exit_:
        importlib.import_module(f"manuscript_restore.{entry}").main()
    assert exit_.value.code == 1
    printed = capsys.readouterr().err
    assert message in printed.splitlines()[-1]
    assert "Traceback" not in printed


def test_python_that_hydra_does_not_start_on(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    with pytest.raises(SystemExit, match=r"^error: .* Python 3\.14; use Python 3\.11 to 3\.13$"):
        launch(print, "train")


def test_no_member_of_a_group(tmp_path, monkeypatch):
    found = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", "logger=null", "callbacks=null", "experiment=null"])
    launch(lambda config: found.append((config.get("logger"), config.get("callbacks"))), "train")
    assert found == [(None, None)]


@pytest.mark.parametrize(
    ("key", "value", "message"), [("max_epochs", "abc", "a number"), ("barebones", "yes", "true or false")]
)
def test_text_where_a_number_belongs(key, value, message):
    config = OmegaConf.create({"_target_": "lightning.Trainer", key: value})
    with pytest.raises(UserError, match=rf"^trainer\.{key}={value}: must be {message}$"):
        build(config, "trainer")


def test_ctrl_c_in_the_other_commands(tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("manuscript_restore.generate.write_page", interrupt)
    monkeypatch.setattr(sys, "argv", ["generate", "out=pages"])
    with pytest.raises(SystemExit) as exit_:
        importlib.import_module("manuscript_restore.generate").main()
    assert exit_.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("interrupted; nothing is left half-written")


def test_cosine_schedule_equals_torch():
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=1e-6)
    schedule = Schedule(lr=1e-4, weight_decay=0, min_lr=1e-6, warmup_steps=0)
    for step in range(50):
        factor = schedule.factor(step, num_steps=50)
        assert 1e-4 * factor == pytest.approx(reference.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        reference.step()
    assert 1e-4 * schedule.factor(50, num_steps=50) == pytest.approx(1e-6)
    warm = Schedule(lr=1e-4, weight_decay=0, min_lr=1e-6, warmup_steps=4)
    ramp = [warm.factor(step, num_steps=50) for step in range(6)]
    assert ramp[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert ramp[5] < 1
