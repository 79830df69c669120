"""What is measured beside the pictures: ink maps, pages left as they are, neighbours of a page, groups."""

import csv

import doxapy
import numpy as np
import pytest

from manuscript_restore.config import build, compose
from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.measure import Model, measure, methods_of
from manuscript_restore.evaluation.pairs import DegradedPages, Pair, Task, TextPages
from manuscript_restore.evaluation.scores import Judge
from manuscript_restore.images import write
from manuscript_restore.images.tensors import from_array, to_float
from manuscript_restore.synthesis import PageGenerator
from tests.test_evaluate import evaluate as evaluate
from tests.test_evaluate import pair_folders


class Dimmer:
    """An engine with maps: dims tiles by a third where they are damaged; ink is what is dark."""

    description, concurrency = "a test", 1
    has_maps = True

    def __init__(self, damage: float) -> None:
        self.damage = damage

    def default_batch(self, tile: int) -> int:
        return 1

    def look(self, tiles: np.ndarray) -> np.ndarray:
        return np.zeros((len(tiles), 1), np.float32)

    def __call__(self, tiles: np.ndarray, looked: np.ndarray | None = None) -> np.ndarray:
        colours = tiles * (1 - self.damage / 3)
        maps = np.full_like(tiles[:, :1], self.damage), tiles.mean(axis=1, keepdims=True) < 0.4
        return np.concatenate([colours, *maps], axis=1)


class OnePair(Task):
    name = "one"

    def __init__(self, pair: Pair) -> None:
        self.only = pair

    def __len__(self) -> int:
        return 1

    def pair(self, index: int) -> Pair:
        return self.only


@pytest.fixture
def pair():
    page = PageGenerator(size=[160, 200], supports={"paper": 1.0}).page(0, 0)
    clean = to_float(from_array(page.image))
    return Pair("page", "page", (clean * 200).round() / 255, clean=clean, ink=page.ink)


def scores_of(pair: Pair, damage: float) -> dict[tuple[str, str], float]:
    task = OnePair(pair)
    methods = methods_of(task, {"dimmer": Model(Dimmer(damage))}, {"same": lambda picture: picture})
    (rows,) = measure(task, methods, Judge(), no_harm=True)
    return {(row.method, row.score): row.value for row in rows}


def test_an_ink_map_is_scored_as_doxa_does(pair):
    scores = scores_of(pair, 1.0)
    map_of_ink = pair.degraded.mean(dim=0).numpy() < 0.4
    masks = [np.where(mask, 0, 255).astype(np.uint8) for mask in (pair.ink, map_of_ink)]
    theirs = doxapy.calculate_performance(*masks)
    assert scores["dimmer", "ink/f_measure"] == pytest.approx(theirs["fm"], abs=0.01)
    assert scores["dimmer", "ink/drd"] == pytest.approx(theirs["drdm"], rel=0.01)
    assert scores["dimmer", "otsu/f_measure"] != scores["dimmer", "ink/f_measure"]
    assert ("same", "ink/f_measure") not in scores
    assert ("none", "ink/f_measure") not in scores


def test_clean_pages_left_as_they_are_are_counted(pair):
    harmless, harmful = scores_of(pair, 0.0), scores_of(pair, 1.0)
    assert harmless["dimmer", "no_harm_untouched"] == harmless["same", "no_harm_untouched"] == 100
    assert harmless["dimmer", "no_harm_psnr"] == 100
    assert harmful["dimmer", "no_harm_untouched"] == 0
    assert harmful["dimmer", "no_harm_psnr"] < 20


def test_generated_pages_with_text_know_their_ink():
    generator = PageGenerator(size=[160, 200])
    damage = build(compose("evaluate", "degradation=light").degradation, "degradation")
    pair = TextPages(generator, degradation=damage, num_pages=1, seed=3).pair(0)
    assert pair.clean is not None
    assert pair.ink is not None
    grey = pair.clean.mean(dim=0).numpy()
    assert grey[pair.ink].mean() < grey[~pair.ink].mean() - 0.2


COLOURS = {"a_0": (200, 180, 140), "a_1": (90, 80, 60), "a_2": (180, 160, 120), "b_0": (240, 240, 240)}


def plain_pages(folder, **options):
    """Pages of single colours with a line of ink, in two manuscripts, one of them of a single page."""
    for name, colour in COLOURS.items():
        page = np.full((96, 96, 3), colour, np.uint8)
        page[40:44, 10:80] = 10
        write(page, folder / f"{name}.png")
    config = compose("evaluate", f"data.test_dir={folder}", "data.view=crop", "data.image_size=64")
    damage = build(config.degradation, "degradation")
    datamodule = build(config.data, "data", seed=0, degradation=damage, val_degradation=damage)
    return DegradedPages(datamodule, split="test", degradation=damage, **options)


def test_a_page_is_restored_like_others_of_its_manuscript(tmp_path):
    task = plain_pages(tmp_path, manuscript="^(.)_", like=2)
    assert "1 pages have none" in task.note
    looks = {pair.name: pair.look for pair in map(task.pair, range(len(task))) if pair}
    assert {name[:3] for name in looks} == {"a_0", "a_1", "a_2"}
    for name, look in looks.items():
        others = [colour for other, colour in COLOURS.items() if other[0] == "a" and other not in name]
        np.testing.assert_allclose(np.array(look.paper) * 255, np.median(others, axis=0), atol=1.5)


def test_one_page_to_be_like_is_one_of_the_others(tmp_path):
    task = plain_pages(tmp_path, manuscript="^(.)_", like=1)
    look = task.pair(0).look
    assert any(np.allclose(np.array(look.paper) * 255, COLOURS[other], atol=1.5) for other in ("a_1", "a_2"))


def test_manuscripts_that_like_cannot_use(tmp_path):
    with pytest.raises(UserError, match="like=1: needs manuscript"):
        plain_pages(tmp_path, like=1)
    with pytest.raises(UserError, match="like=3: no page has another one of its manuscript"):
        plain_pages(tmp_path, manuscript="^(.+)$", like=3)


def test_scores_by_groups_of_pages(evaluate, tmp_path):
    degraded, clean = pair_folders(tmp_path)
    folders = (f"pairs.degraded_dir={degraded}", f"pairs.clean_dir={clean}", "cases=0")
    evaluate("tasks=[pairs]", *folders, "peers=[median]", "groups={even: '[02]$', first: _0, none: x}")
    folder = tmp_path / "evaluation"
    summary, rows = (
        [row for row in csv.DictReader(lines) if (row["method"], row["score"]) == ("median", "psnr")]
        for lines in ((folder / f"{name}.csv").read_text().splitlines() for name in ("summary", "scores"))
    )
    found = {row["group"]: row for row in summary}
    assert {name: int(row["num_pairs"]) for name, row in found.items()} == {"": 3, "even": 2, "first": 1}
    values = {row["page"]: float(row["value"]) for row in rows}
    assert float(found["even"]["mean"]) == pytest.approx((values["page_0"] + values["page_2"]) / 2, rel=1e-6)
    assert next(row["groups"] for row in rows if row["page"] == "page_0") == "even; first"
    markdown = (folder / "summary.md").read_text()
    assert "**Gain in SSIM by group**" in markdown
    assert "**clean pages left as they are (%) by group**" in markdown
