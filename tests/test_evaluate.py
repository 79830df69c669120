"""Evaluations through the real entry point."""

import csv
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from manuscript_restore.data.manuscripts import compile_pattern, group_of
from manuscript_restore.evaluation.results import read_summaries, summary_csv
from manuscript_restore.evaluation.statistics import Row, bootstrap, by_damage, summarise
from manuscript_restore.images import write
from manuscript_restore.images.tensors import to_float
from manuscript_restore.metrics import psnr
from manuscript_restore.synthesis import PageGenerator, generate_page
from tests.wandb_runs import read_run

GENERATED = ("data=small", "data.view=crop", "data.image_size=64", "data.num_generated.test=3")


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    """Call ``evaluate(*overrides)``; returns the rows of summary.csv by (task, method, score)."""
    from manuscript_restore.evaluate import main

    def run(
        *overrides: str, folder: Path = tmp_path / "evaluation"
    ) -> dict[tuple[str, str, str], dict[str, float]]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["evaluate", *overrides, f"hydra.run.dir={folder}"])
        main()
        with (folder / "summary.csv").open() as file:
            return {
                (row.pop("task"), row.pop("method"), row.pop("score")): {
                    k: float(v or "nan") for k, v in row.items()
                }
                for row in csv.DictReader(file)
                if not row.pop("group")
            }

    return run


@pytest.fixture
def fails(tmp_path, monkeypatch, capfd):
    """Call ``fails(*overrides)``: what the entry point prints on its way out; it must leave no results."""
    from manuscript_restore.evaluate import main

    def run(*overrides: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["evaluate", *GENERATED, *overrides, f"hydra.run.dir={tmp_path}/out"])
        with pytest.raises(SystemExit) as exit_:
            main()
        assert exit_.value.code == 1
        assert not [path for path in (tmp_path / "out").glob("*") if path.is_file()]
        printed = "".join(capfd.readouterr())
        assert "Traceback" not in printed
        return printed

    return run


def pair_folders(tmp_path: Path, num_pages: int = 3) -> tuple[Path, Path]:
    """Clean pages and darker ones of the same names, one of them of another suffix."""
    for i in range(num_pages):
        page = generate_page(6, i, height=70, width=90)
        write(page, tmp_path / "clean" / f"page_{i}.png") if (tmp_path / "clean").mkdir(
            exist_ok=True
        ) is None else None
        (tmp_path / "degraded").mkdir(exist_ok=True)
        write((page * 0.7).astype(np.uint8), tmp_path / "degraded" / f"page_{i}.{'tif' if i else 'png'}")
    return tmp_path / "degraded", tmp_path / "clean"


@pytest.mark.slow
def test_the_settings_of_a_training_give_its_own_test_scores(train, evaluate, tmp_path):
    overrides = ("experiment=smoke", "loss.perceptual.weight=0", "data.view=crop", "data.val_views_per_page=2")
    summary = train(*overrides, folder=tmp_path / "train")
    scores = evaluate(
        f"settings_of={tmp_path}/train",
        f"models={{mine: {summary['best_checkpoint']}}}",
        "peers=[]",
        "no_harm=false",
    )
    for name in ("psnr", "ssim", "mse"):
        found = scores["degraded", "mine", name]
        assert found["mean"] == pytest.approx(summary["scores"][f"test/{name}"], rel=1e-5)
        assert found["input"] == pytest.approx(summary["scores"][f"test/input_{name}"], rel=1e-5)
    gain = scores["degraded", "mine", "psnr"]["gain"]
    assert gain == pytest.approx(summary["scores"]["test/psnr_gain"], abs=1e-4)
    assert scores["degraded", "mine", "psnr"]["num_pairs"] == 4
    assert scores["degraded", "mine", "psnr"]["num_pages"] == 2


@pytest.mark.slow
def test_everything_is_written_and_agrees(evaluate, tmp_path):
    scores = evaluate(*GENERATED, "peers=[median,clahe]", "data.val_views_per_page=2")
    folder = tmp_path / "evaluation"
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert names == {"scores.csv", "summary.csv", "summary.md", "evaluation.json", "report.html"}
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    for method in ("none", "median", "clahe"):
        for score in ("psnr", "ssim", "delta_e", "psnr_colour_fit", "mse"):
            values = [float(r["value"]) for r in rows if (r["method"], r["score"]) == (method, score)]
            assert len(values) == 6
            assert scores["degraded", method, score]["mean"] == pytest.approx(np.mean(values), rel=1e-6)
    found = scores["degraded", "median", "psnr"]
    assert found["low"] < found["mean"] < found["high"]
    assert found["gain"] == pytest.approx(found["mean"] - found["input"], abs=1e-6)
    assert scores["degraded", "median", "delta_e"]["gain"] == pytest.approx(
        scores["degraded", "median", "delta_e"]["input"] - scores["degraded", "median", "delta_e"]["mean"],
        abs=1e-5,
    )
    assert scores["degraded", "none", "psnr"]["gain"] == 0
    assert 0 < scores["degraded", "median", "no_harm_psnr"]["mean"] < 60
    damages = {damage for row in rows for damage in row["damage"].split()}
    assert damages <= {"yellow_tint", "fading", "stains", "gaussian_blur", "gaussian_noise", "salt_and_pepper"}
    assert damages
    record = json.loads((folder / "evaluation.json").read_text())
    assert record["peers"] == {"median": {}, "clahe": {}}
    assert record["data"]["image_size"] == 64
    markdown = (folder / "summary.md").read_text()
    assert "| median |" in markdown
    assert "by kind of damage" in markdown


def test_pairs_of_folders(evaluate, tmp_path):
    degraded, clean = pair_folders(tmp_path)
    scores = evaluate("tasks=[pairs]", f"pairs.degraded_dir={degraded}", f"pairs.clean_dir={clean}", "peers=[]")
    from manuscript_restore.images import read
    from manuscript_restore.images.tensors import from_array

    expected = [
        psnr(*(to_float(from_array(read(p)))[None] for p in (path, clean / f"{path.stem}.png"))).item()
        for path in sorted(degraded.iterdir())
    ]
    assert scores["pairs", "none", "psnr"]["mean"] == pytest.approx(np.mean(expected), abs=1e-4)
    assert scores["pairs", "none", "psnr_colour_fit"]["mean"] > 45  # only contrast was lost


def test_binarisation_with_masks_beside_the_pages(evaluate, tmp_path):
    page = PageGenerator(size=[220, 300], supports={"paper": 1.0}).page(0, 0)
    write(page.image, tmp_path / "a_in.png")
    write(np.repeat(np.where(page.ink, 0, 255).astype(np.uint8)[..., None], 3, 2), tmp_path / "a_gt.png")
    places = (f"binarisation.degraded_dir={tmp_path}", f"binarisation.ink_dir={tmp_path}")
    endings = ("binarisation.degraded_ending=_in", "binarisation.ink_ending=_gt")
    scores = evaluate("tasks=[binarisation]", *places, *endings, "peers=[median]")
    for threshold in ("otsu", "sauvola"):
        assert scores["binarisation", "none", f"{threshold}/f_measure"]["mean"] > 50
        assert {"f_measure", "pseudo_f_measure", "binary_psnr", "drd", "nrm", "mpm"} == {
            score.partition("/")[2] for _, _, score in scores if score.startswith(threshold)
        }
    assert math.isnan(scores["binarisation", "none", "otsu/drd"]["low"])  # one page has no interval


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_reading_before_and_after(evaluate):
    options = ("text.num_pages=2", "text.language=Devanagari", "text.generator.size=[300,700]")
    scores = evaluate("tasks=[text]", *options, "peers=[median]", "no_harm=false", "degradation=light")
    for method in ("none", "median", "clean page"):
        rate = scores["text", method, "cer"]["mean"]
        parts = [scores["text", method, f"cer_{part}"]["mean"] for part in ("unsafe", "safe")]
        assert rate == pytest.approx(sum(parts), abs=1e-6)
    assert scores["text", "clean page", "cer"]["mean"] < 0.3
    assert ("text", "median", "psnr") in scores


@pytest.mark.slow
def test_peers_are_tuned_on_validation_pairs(evaluate, tmp_path):
    evaluate(*GENERATED, "data.num_generated.val=2", "peers=[median,unsharp]", "tune=2")
    record = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert record["peers"]["median"]["size"] in (3, 5)
    assert set(record["peers"]["unsharp"]) == {"amount", "radius"}


@pytest.mark.slow
def test_whole_pages_by_manuscript(evaluate, pages):
    options = ("whole=true", "peers=[]", "no_harm=false", "manuscript='^(page)_'")
    scores = evaluate("data=pages", f"data.test_dir={pages}", *options)
    found = scores["degraded", "none", "psnr"]
    assert found["num_pairs"] == 5
    assert found["num_pages"] == 1  # all are of one manuscript


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tasks=[denoise]"], "tasks=['denoise']: must be some of degraded"),
        (["split=train"], "split=train: must be val or test"),
        (["models={median: x.ckpt}"], "models.median: is the name of another method"),
        (["models={mine: none.ckpt}"], "model none.ckpt: no such file"),
        (["peers=[wiener]"], "peers: wiener is unknown"),
        (["peer_settings={median: {radius: 1}}"], "peers.median.radius: unknown key"),
        (["tune=-1"], "tune=-1: must be a whole number"),
        (["tune=4", "split=val"], "tune: the validation pages are those that are reported"),
        (["settings_of=nowhere"], "settings_of=nowhere: no .hydra/config.yaml there"),
        (["tasks=[pairs]"], "pairs.degraded_dir: is not set"),
        (["tasks=[pairs]", "pairs.degraded_dir=a", "pairs.clean_dir=b"], "pairs.degraded_dir=a: no such folder"),
        (["learned_scores=[fid]"], "learned_scores: fid is unknown"),
        (["manuscript='(['"], "manuscript=([: not a regular expression"),
        (["manuscript='page'"], "manuscript=page: needs a group"),
        (["groups={a: '(['}"], "groups.a=([: not a regular expression"),
        (["like=2", "tasks=[text]"], "like=2: is for the task degraded"),
        (["like=-1"], "like=-1: must be a whole number"),
        (["device=tpu"], None),
        (["data.view=zoom"], "data.view=zoom: must be resize or crop"),
        (["+colour=blue"], "config.colour: unknown key"),
    ],
)
def test_mistakes_are_explained(fails, overrides, message):
    if message is not None:
        assert message in fails(*overrides)


def test_folders_that_do_not_match(fails, tmp_path):
    degraded, clean = pair_folders(tmp_path)
    options = ("tasks=[pairs]", f"pairs.degraded_dir={degraded}", f"pairs.clean_dir={clean}")
    (clean / "page_2.png").rename(clean / "leaf_2.png")
    assert "pairs: 2 pictures have no partner of the same name in the other folder, e.g. leaf_2" in fails(*options)
    (clean / "leaf_2.png").unlink()
    write(generate_page(6, 2, height=70, width=91), clean / "page_2.png")
    printed = fails(*options)
    assert "of different sizes, 90×70 and 91×70" in printed
    assert "page_2.tif" in printed


def test_a_mask_without_ink_is_refused(fails, tmp_path):
    for name in ("in", "gt"):
        (tmp_path / name).mkdir()
        write(np.full((40, 50, 3), 255, np.uint8), tmp_path / name / "a.png")
    printed = fails("tasks=[binarisation]", "binarisation.degraded_dir=in", "binarisation.ink_dir=gt")
    assert "gt/a.png: a mask must have both ink (black) and support (white)" in printed


def test_nothing_is_left_when_a_file_cannot_be_written(tmp_path):
    from manuscript_restore.errors import UserError
    from manuscript_restore.evaluation.results import write_all

    (tmp_path / ".b.csv.partial").mkdir()  # in the way
    with pytest.raises(UserError, match=r"b\.csv: cannot be written"):
        write_all(tmp_path, {"a.csv": "a", "b.csv": "b"})
    assert [path.name for path in tmp_path.iterdir()] == [".b.csv.partial"]


def test_bootstrap_covers_the_mean_as_often_as_it_says():
    """95 % intervals of 12 manuscripts of 5 like pages each: resampling pages would cover far less."""
    rng, covered, narrow = np.random.default_rng(0), 0, 0
    for _ in range(200):
        manuscripts = rng.normal(0, 1, 12)
        values = (manuscripts[:, None] + rng.normal(0, 0.2, (12, 5))).ravel()
        names = [f"m{i}" for i in range(12) for _ in range(5)]
        whole = bootstrap(values, names, seed=1)
        covered += whole.low < 0 < whole.high
        single = bootstrap(values, [str(i) for i in range(60)], seed=1)
        narrow += single.low < 0 < single.high
    assert 0.86 < covered / 200 <= 0.97  # percentile intervals of 12 are a little narrow
    assert narrow / 200 < 0.75


def test_bootstrap_is_numpys_on_single_pages():
    values = np.random.default_rng(1).normal(3, 1, 40)
    estimate = bootstrap(values, [str(i) for i in range(40)])
    means = np.random.default_rng(2).choice(values, (20_000, 40)).mean(axis=1)
    assert estimate.mean == pytest.approx(values.mean())
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.03)


def test_rows_are_grouped_by_damage_and_nans_left_out():
    nan = float("nan")
    rows = [
        Row("t", "a", "a", ("stains", "fading"), "m", "psnr", 20.0, 18.0, 2.0),
        Row("t", "b", "b", ("stains",), "m", "psnr", 10.0, 10.0, 0.0),
        Row("t", "c", "c", (), "m", "psnr", nan, nan, nan),
    ]
    assert {k: len(v) for k, v in by_damage(rows).items()} == {"stains": 2, "fading": 1, "none": 1}
    assert next(iter(by_damage(rows))) == "stains"
    (summary,) = summarise(rows)
    assert (summary.num_pairs, summary.value.mean, summary.gain.mean, summary.input_mean) == (2, 15.0, 1.0, 14.0)
    assert summary.better == 0.5
    assert read_summaries(summary_csv([summary])) == [summary]


def test_manuscripts_by_name():
    pattern = compile_pattern(r"^(.+)_[^_]+$")
    assert group_of("la_7499_3.jpg", pattern) == "la_7499"
    assert group_of("single.jpg", pattern) == "single.jpg"
    assert group_of("a/b_1.jpg", None) == "a/b_1.jpg"
    assert group_of("single.jpg", compile_pattern("^(?:(la)_|s)")) == "single.jpg"  # a match without its group


def test_the_pipeline_tells_what_a_page_got():
    from manuscript_restore.degradation import DegradationPipeline, Fading, GaussianNoise

    pipeline = DegradationPipeline({"never": Fading(p=0.0), "always": GaussianNoise(p=1.0)}, rounds=(1.0, 0.5))
    pipeline(torch.rand(2, 3, 8, 8), seed=0)
    assert pipeline.applied() == ("always",)
    mixed = DegradationPipeline({"fading": Fading(p=0.5)})
    clean = torch.full((8, 3, 4, 4), 0.9)
    degraded = mixed(clean, seed=3)
    changed = (degraded != clean).flatten(1).any(dim=1).tolist()
    assert [mixed.applied(i) == ("fading",) for i in range(8)] == changed


@pytest.mark.slow
def test_wandb_gets_a_table(evaluate, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    evaluate(*GENERATED, "peers=[median]", "logger=[wandb]")
    tables = list((tmp_path / "evaluation" / "wandb").glob("offline-run-*/files/media/table/summary_*.table.json"))
    assert len(tables) == 1
    (file,) = (tmp_path / "evaluation" / "wandb").glob("offline-run-*/run-*.wandb")
    assert read_run(file).run.job_type == "evaluate"
    table = json.loads(tables[0].read_text())
    assert table["columns"][:3] == ["task", "method", "score"]
    assert ["degraded", "median", "psnr"] in [row[:3] for row in table["data"]]
