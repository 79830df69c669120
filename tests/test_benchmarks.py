"""The benchmarks with small settings, and what they share."""

import csv
import re
import sys
import time
from pathlib import Path

import pytest
from benchmarks import __main__ as way_in
from benchmarks import ablate, cluster, data, degradation, engines, generator, measure, quality, restore, results

from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.results import summary_csv
from manuscript_restore.evaluation.statistics import Estimate, Summary
from manuscript_restore.images import write
from manuscript_restore.synthesis import generate_page


def rows(printed: str) -> dict[str, list[str]]:
    """The rows of the tables, by their first cell."""
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)}


def test_seconds_is_the_median_without_the_first():
    pauses = iter([0.2, 0.001, 0.03, 0.001])
    assert 0.001 <= measure.seconds(lambda: time.sleep(next(pauses)), 3) < 0.03


def test_a_command_is_measured_alone():
    done = measure.run([sys.executable, "-c", "x = b'x' * 100_000_000; print(len(x))"])
    assert done.printed == "100000000"
    assert 100 < done.peak_mb < 200
    stopped = measure.run([sys.executable, "-c", "import time; time.sleep(60)"], time_limit_s=0.1)
    assert (stopped.stopped, stopped.seconds < 10) == (True, True)
    with pytest.raises(SystemExit, match=r"exit status 3"):
        measure.run([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_row_has_the_cells_of_the_head(capsys):
    measure.start_table("title")
    measure.row("a|b", 0.0123, rate="81 pages/s", peak_mb=99.6, beside="2×")
    head, rule, row = capsys.readouterr().out.splitlines()[-3:]
    assert row == r"| a\|b | 12.3 ms | 81 pages/s | 100 | 2× |"
    assert head.count("|") == rule.count("|") == row.replace(r"\|", "").count("|")


def test_the_way_in_names_the_benchmarks(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "nonsense"])
    with pytest.raises(SystemExit) as stopped:
        way_in.main()
    assert stopped.value.code == 1
    assert "quality" in capsys.readouterr().out
    ran = []
    monkeypatch.setattr(way_in, "run", lambda name, _: ran.append(name))
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    way_in.main()
    assert ran == ["degradation", "generator", "data", "restore", "training"]


NAN = float("nan")


def summary(method: str, score: str, value: float, gain: float = NAN, group: str = "") -> Summary:
    before = NAN if score.startswith("no_harm") else 18.9
    estimates = Estimate(value, NAN, NAN), before, Estimate(gain, gain - 1, gain + 1)
    task = "text" if score == "cer" else "degraded"
    return Summary(task, method, score, 72, 36, *estimates, group=group)


def test_the_page_of_results_says_first_who_is_ahead():
    reference = [
        summary("none", "psnr", 18.9),
        *(summary("ours", "psnr", 23.0, 4.1), summary("unet", "psnr", 22.0, 3.1)),
        *(summary("ours", "psnr", 21.0, 2.1, "leaf"), summary("unet", "psnr", 22.0, 3.1, "leaf")),
        summary("median", "psnr", 22.5, 3.6, "leaf"),
        *(summary("ours", "no_harm_psnr", 75.0), summary("unet", "no_harm_psnr", 24.0)),
    ]
    text = [
        *(summary("ours", "cer", 0.11), summary("unet", "cer", 0.10), summary("median", "cer", 0.12)),
        summary("clean page", "cer", 0.01),  # no method
    ]
    networks = {"ours": "0a1b", "unet": "2c3d"}
    page = results.page({"reference": reference, "text": text}, networks, ["leaf"])
    first, second, *_ = page.split("\n## ")[1:]
    assert [line for line in first.splitlines() if line.startswith("| ")][2:] == [
        "| `reference` | leaf (72 of 36) | PSNR | median | +3.60 [+2.60, +4.60] | +2.10 [+1.10, +3.10] |",
        "| Text | all (72 of 36) | CER | unet | 0.100 | 0.110 |",
    ]
    assert "| ours | +4.10 [+3.10, +5.10] | 75.00 |" in second
    assert "| median | +3.60 [+2.60, +4.60] |" in second
    assert "| *the damaged page itself* | 18.90 | – |" in second
    assert "median" not in page.split("## By support and script")[1].split("## Text")[0]


def written(file: Path, *lines: str) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return file


def test_quality_says_what_is_wrong_before_it_measures(tmp_path):
    for folder in ("val", "test"):
        (tmp_path / "it's, (new)" / folder).mkdir(parents=True)
    pages = ["--pages", str(tmp_path / "it's, (new)"), "--out", str(tmp_path / "out"), "--text-pages", "0"]
    for options, said in (
        (["--model", "default"], "--model 'default': write NAME=PATH"),
        (["--model", "=default"], "--model '=default': write NAME=PATH"),
        (["--model", "a\nb=default"], "write NAME=PATH"),
        (["--model", "median=default"], "--model median=default: the name is taken"),
        (["--model", "ours=default", "--model", "ours=default"], "--model ours=default: the name is taken"),
        (["--presets", "nonsense"], "--presets nonsense: "),
        ([], "no images there"),
    ):
        with pytest.raises(SystemExit, match=f"^error: .*{re.escape(said)}"):
            quality.main([*pages, *options])
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"^error: .*file: cannot be made"):
        quality.main([*pages, "--out", str(tmp_path / "file")])


def test_a_part_is_measured_again_where_its_pages_are_others(tmp_path, monkeypatch):
    (tmp_path / "pages").mkdir()
    written(tmp_path / "pages" / "a.png", "one")
    scored = []

    def evaluate(output_dir: str, **_: object) -> list[Summary]:
        scored.append(output_dir)
        Path(output_dir).mkdir(exist_ok=True)
        written(Path(output_dir) / "summary.csv", *summary_csv([summary("ours", "psnr", 20.0)]).splitlines())
        return [summary("ours", "psnr", 20.0)]

    monkeypatch.setattr(quality, "evaluate", evaluate)

    def made() -> list[Summary]:
        return quality.made(
            tmp_path / "reference", "reference", [], {}, {}, [], quality.files_of(tmp_path / "pages")
        )

    assert [s.value.mean for s in (*made(), *made())] == [20, 20]
    assert len(scored) == 1
    written(tmp_path / "pages" / "b.png", "two")
    made()
    (tmp_path / "reference" / "summary.csv").unlink()
    made()
    assert len(scored) == 3


def test_a_later_run_adds_to_the_page_of_results(tmp_path):
    earlier = {
        "reference": [
            *(summary("none", "psnr", 18.9), summary("ours", "psnr", 23.0, 4.1)),
            summary("median", "psnr", 19.0, 0.1),
            *(summary("none", "psnr", 18.0, group="leaf"), summary("ours", "psnr", 21.0, 2.1, "leaf")),
        ],
        "foreign": [summary("ours", "psnr", 20.0, 1.1)],
    }
    file = tmp_path / "results.csv"
    file.write_text(results.to_csv(earlier, {"ours": "0a1b"}), "utf-8")
    read, networks = results.read_csv(file)
    assert networks == {"ours": "0a1b"}
    assert results.page(read, networks, []) == results.page(earlier, networks, [])
    now = {
        "reference": [summary("none", "psnr", 18.9), summary("unet", "psnr", 22.0, 3.1)],
        "ink": [summary("unet", "otsu/f_measure", 0.8)],
    }
    assert "median" in results.page({"reference": earlier["reference"][::2]}, {}, [])  # no network at all
    joined = results.joined(read, now, {"ours": "0a1b", "unet": "2c3d"})
    assert [(s.group, s.method) for s in joined["reference"]] == [
        *(("", "none"), ("", "ours"), ("", "unet"), ("", "median")),
        *(("leaf", "none"), ("leaf", "ours")),
    ]
    assert [len(joined[part]) for part in ("foreign", "ink")] == [1, 1]
    new_ours = [summary("none", "psnr", 18.9), summary("ours", "psnr", 24.0, 5.1)]
    again = results.joined(read, {"reference": new_ours}, networks)["reference"]
    assert [s.gain.mean for s in again if s.method == "ours" and not s.group] == [5.1]
    with pytest.raises(UserError, match=r"--add: 'reference' was measured on other pages"):
        results.joined(read, {"reference": [summary("none", "psnr", 17.0)]}, networks)
    with pytest.raises(UserError, match=r"--add: 'reference' was measured on other pages"):
        results.joined(read, {"reference": [summary("ours", "psnr", 24.0, 5.1)]}, networks)  # on which?
    left = results.without_other_weights(read, networks, {"ours": "ffff", "unet": "2c3d"})
    assert [(s.group, s.method) for s in left["reference"]] == [("", "none"), ("", "median"), ("leaf", "none")]
    assert left["foreign"] == []
    head, line = results.to_csv({"text": [summary("ours", "cer", 0.1)]}, {"ours": "0a1b"}).splitlines()
    with pytest.raises(UserError, match=r"ours has two weights"):
        results.read_csv(written(file, head, line, line.replace("0a1b", "2c3d")))
    for lines in (["a,b", "1,2"], ["a,b"], [""], [head], [head, line.replace("cer", "nonsense")]):
        with pytest.raises(UserError, match=r"results.csv: is no results.csv of this benchmark"):
            results.read_csv(written(file, *lines))
    with pytest.raises(UserError, match=r"elsewhere.csv: cannot be read"):
        results.read_csv(tmp_path / "elsewhere.csv")


@pytest.mark.slow
def test_folders_are_read(tmp_path):
    data.make_files(tmp_path / "pages", 1500, side=8)
    assert len(data.PathList(tmp_path / "pages")) == 1500
    used, own, rate = data.read_epochs("index", tmp_path / "pages", tmp_path / "index", num_epochs=1)
    assert used > own[-1] > 0
    assert rate > 0


@pytest.mark.slow
def test_restore_and_generator(capsys):
    restore.main(["--sizes", "200x150", "--engines", "onnx"])
    engines.main(["--engines", "torch", "onnx", "--tiles", "2", "--side", "64", "--repeats", "1"])
    generator.draw(1, (200, 300))
    found = rows(capsys.readouterr().out)
    assert 50 < float(found["200x150, onnx, one file"][2]) < float(found["200x150, torch, untiled"][2])
    assert found["200x150, onnx, beside four busy processes"][3].endswith("× alone")
    assert 100 < float(found["installed for restoring"][3].removesuffix(" MB")) < 400  # PyTorch is more
    assert found["200x150, onnx, one file"][0].endswith("s")
    assert all("× as fast as torch" in found[engine][3] for engine in ("torch", "onnx"))
    assert found["drawing: palm_leaf"][1].endswith("pages/s")


@pytest.mark.processes
@pytest.mark.slow
def test_workers_of_a_cluster_share_the_pages(capsys):
    cluster.main(["--number", "8", "--side", "128", "--repeats", "1"])
    found = rows(capsys.readouterr().out)
    assert found["1 worker"][3].startswith("1.00× one")
    assert found["2 workers"][1].endswith("pages/s")
    assert "of processor in the busier worker" in found["2 workers"][3]


@pytest.mark.slow
def test_degradation_times_every_transform_and_preset(tmp_path, capsys):
    degradation.main(["--sizes", "32", "--batches", "1"])
    found = rows(capsys.readouterr().out)
    assert found.keys() >= {"foxing", "jpeg", "preset reference", "preset palm_leaf"}
    assert "Albumentations GaussianBlur" in found["gaussian_blur"][3]
    bare = tmp_path / "python"  # an interpreter without packages
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(SystemExit, match="No module named"):
        degradation.main(["--sizes", "32", "--batches", "1", "--augraphy", str(bare)])


@pytest.mark.slow
def test_ablation_scores_variants_on_the_same_pairs(tmp_path, monkeypatch):
    for split in ("train", "val"):
        (tmp_path / "pages" / split).mkdir(parents=True)
        for seed in range(4):
            write(generate_page(5, seed, height=280, width=280), tmp_path / "pages" / split / f"{seed}.png")
    monkeypatch.chdir(tmp_path)
    settings = ["--pages", "pages", "--seconds", "2", "--pairs", "32", "--presets", "reference"]
    ablate.main(["release", "no residual", *settings])
    release, without = csv.DictReader((tmp_path / "outputs/ablation/ablation.csv").read_text().splitlines())
    assert release["reference input psnr"] == without["reference input psnr"]
    assert float(release["reference psnr"]) > float(without["reference psnr"])
