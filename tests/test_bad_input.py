"""What a user's mistakes get: a message that names the file or key and the mend, exit status 1, no traceback."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from manuscript_restore.images import write
from manuscript_restore.synthesis import generate_page
from manuscript_restore.train import main

QUICK = ("experiment=smoke", "loss.perceptual.weight=0", "trainer.max_epochs=1", "test=false")


@pytest.fixture
def fails(tmp_path, monkeypatch, capfd):
    """Call ``fails(*overrides)``: run the entry point and return what it printed on its way out."""

    def run(*overrides: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train", *QUICK, *overrides, f"hydra.run.dir={tmp_path}/run"])
        with pytest.raises(SystemExit) as exit_:
            main()
        assert exit_.value.code == 1
        printed = "".join(capfd.readouterr())
        assert "Traceback" not in printed
        return printed

    return run


def odd_pages(folder: Path) -> None:
    """Pages of every unusual kind that can still be read."""
    folder.mkdir()
    page = Image.fromarray(generate_page(0, 0, height=120, width=160))
    page.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.asarray(page.convert("L")).astype(np.uint16) * 257).save(folder / "grey16.png")
    palette = page.quantize(16)
    palette.save(folder / "palette.png", transparency=3)
    page.convert("1").save(folder / "bilevel.tif")
    page.resize((1, 1)).save(folder / "one_pixel.png")
    Image.fromarray(generate_page(0, 1, height=50, width=20_000)).save(folder / "strip.jpg")


def test_empty_folder(fails, tmp_path):
    (tmp_path / "pages").mkdir()
    printed = fails("data=pages", "data.train_dir=pages")
    assert "data.train_dir=pages: no images there or below; looked for .jpg" in printed


def test_missing_folder(fails):
    assert "data.train_dir=nowhere: no such folder" in fails("data=pages", "data.train_dir=nowhere")


def test_folder_of_text_files(fails, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "notes.txt").write_text("no picture")
    assert "no images there or below" in fails("data=pages", "data.train_dir=pages")


def test_folder_of_broken_images(fails, tmp_path, pages):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "empty.jpg").touch()
    (broken / "text.png").write_text("no picture")
    with pytest.warns(UserWarning, match=r"page left out: .*(empty\.jpg: is empty|text\.png: is not an image)"):
        printed = fails("data=pages", f"data.train_dir={broken}", f"data.val_dir={pages}")
    assert "none of its 2 pages can be read" in printed


def test_a_validation_folder_inside_the_training_folder_is_noticed(fails, pages):
    overrides = (
        "data=pages",
        f"data.train_dir={pages}",
        f"data.val_dir={pages}/page_2",
        "ckpt_path=null",
        "optimizer.lr=-1",
    )
    with pytest.warns(UserWarning, match=r"data\.val_dir: 1 of its pages also train"):
        fails(*overrides)


def test_strict_names_every_broken_file(fails, pages):
    whole = (pages / "page_0.png").read_bytes()
    (pages / "short.png").write_bytes(whole[: len(whole) // 2])
    (pages / "empty.jpg").touch()
    printed = fails("data=pages", f"data.train_dir={pages}", "data.strict=true")
    assert "2 pages cannot be read" in printed
    assert "short.png: is truncated" in printed
    assert "empty.jpg: is empty (0 bytes); replace it or remove it" in printed


@pytest.mark.slow
@pytest.mark.parametrize("view", ["resize", "crop"])
def test_odd_pages_train_and_broken_ones_are_left_out(train, tmp_path, pages, view):
    odd_pages(tmp_path / "odd")
    jpeg = tmp_path / "odd" / "truncated.jpg"
    write(generate_page(0, 2, height=200, width=200), jpeg)
    jpeg.write_bytes(jpeg.read_bytes()[:3000])
    (tmp_path / "odd" / "empty.png").touch()
    folders = "data=pages", f"data.train_dir={tmp_path}/odd", f"data.val_dir={pages}"
    with pytest.warns(UserWarning, match="page left out") as warned:
        summary = train(*QUICK, *folders, f"data.view={view}")
    assert summary["status"] == "finished"
    named = [str(w.message) for w in warned if "page left out" in str(w.message)]
    assert any("truncated.jpg: is truncated" in text for text in named)
    assert any("empty.png: is empty" in text for text in named)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.trian_dir=x", "Key 'trian_dir' is not in struct"),
        ("modle=vit_tiny", "Could not override 'modle'"),
        ("model=vit_huge", "Could not find 'model/vit_huge'"),
        ("+data.trian_dir=x", "data.trian_dir: unknown key (did you mean train_dir?)"),
        ("+colour=blue", "config.colour: unknown key"),
        ("data.batch_size=0", "data.batch_size=0: must be at least 1"),
        ("data.view=zoom", "data.view=zoom: must be resize or crop"),
        ("data.image_size=50", "not a multiple of the patch size 16; use 48"),
        ("model.encoder=vit_bse_patch16_224", "timm has no such model"),
        ("trainer=gpu", None if torch.cuda.is_available() else "No supported gpu backend found"),
        ("degradation.transforms.fading.p=2", "Fading.p=2: must be between 0 and 1"),
        ("seed=-1", "seed=-1: must be a whole number"),
        ("optimizer.lr=fast", "optimizer.lr=fast: must be a number"),
        ("optimizer.weight_decay=-1", "optimizer.weight_decay=-1: must be a number of at least 0"),
        (
            "+optimizer.step=1",
            "optimizer.step: unknown key; known keys: frozen, lr, min_lr, warmup_steps, weight_decay",
        ),
        ("+data.seed=5", "data.seed: not to be set here"),
        ("+model.decoder.dim=3", "model.decoder.dim: follows from the encoder"),
        ("loss.l1.weight=0 loss.ssim.weight=0", "loss: no term of the picture has a weight"),
        ("trainer.max_epochs=-1", "trainer.max_epochs=-1: the cosine needs an end"),
        ("trainer.precision=half", "half"),
        ("ckpt_path=none.ckpt", "checkpoint none.ckpt: no such file"),
        ("init_from=none.ckpt", "init_from: model none.ckpt: no such file, and none of that name"),
        ("init_from=.", "init_from: config.json: not there; give a checkpoint, or the folder of"),
        ("optimizer.frozen=encoder", "optimizer.frozen=encoder: must be a list; write optimizer.frozen=[encoder]"),
        ("optimizer.frozen=3", "optimizer.frozen=3: must be a list"),
        ("val_degradation=reference", "to choose one by its name: degradation@val_degradation=reference"),
        ("module=3", "module=3: must be a section of keys, not a value; set module.KEY=…"),
        ("module=null", "module=None: must be a section of keys"),
        ("trainer=3", "trainer=3: must be the name of one of auto, cpu, ddp, fsdp, gpu"),
        ("callbacks=foo", "Could not find 'callbacks/foo'"),
        ("callbacks.best=foo", "callbacks.best=foo: must be a section of keys"),
        ("logger.csv=true", "logger.csv=True: must be a section of keys"),
        ("loss=0.1", "loss=0.1: must be the name of one of combined"),
        ("degradation@val_degradation=1", "degradation@val_degradation=1: must be the name of one of"),
        ("loss.perceptual=0.1", "loss.perceptual=0.1: must be a section of keys"),
        ("model.decoder=linear", "model.decoder=linear: must be a section of keys"),
        ("data.augment=3", "data.augment=3: must be a section of keys"),
        ("data.num_generated=5", "data.num_generated=5: must be a section of keys"),
        ("data.generator=printed", "data.generator=printed: must be a section of keys"),
        ("degradation.transforms=fading", "degradation.transforms=fading: must be a section of keys"),
        ("degradation.transforms.fading=0.5", "degradation.transforms.fading"),
    ],
)
def test_wrong_configuration(fails, override, message):
    if message is None:
        pytest.skip("not a mistake here")
    assert message in fails(*override.split())


def test_vgg16_without_weights(fails, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    printed = fails("loss/perceptual=vgg16", "loss.perceptual.weight=0.1")
    assert "loss.perceptual.download=true" in printed


@pytest.mark.slow
def test_checkpoints_that_do_not_fit(train, fails, tmp_path):
    train(*QUICK, folder=tmp_path / "first")
    checkpoint = tmp_path / "first" / "checkpoints" / "last.ckpt"
    shutil.copy(checkpoint, tmp_path / "mine.ckpt")
    printed = fails("ckpt_path=mine.ckpt", "decoder=reference")
    assert "ckpt_path=mine.ckpt: the checkpoint of another model" in printed
    assert "init_from=mine.ckpt: weights of another model" in fails("init_from=mine.ckpt", "decoder=reference")
    assert "model.decoder" in printed

    (tmp_path / "cut.ckpt").write_bytes(checkpoint.read_bytes()[:5000])
    assert "cut.ckpt: damaged, or not a training checkpoint" in fails("ckpt_path=cut.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    assert "other.ckpt: not a training checkpoint of manuscript_restore" in fails("ckpt_path=other.ckpt")


class Malicious:
    def __reduce__(self):
        return (Path("executed").touch, ())


def test_a_checkpoint_never_executes_code(fails, tmp_path):
    torch.save({"hyper_parameters": Malicious()}, tmp_path / "evil.ckpt")
    assert "damaged, or not a training checkpoint" in fails("ckpt_path=evil.ckpt")
    assert not (tmp_path / "executed").exists()
