"""What another package adds by name: found without being configured, and its faults told with its name."""

import sys
from pathlib import Path

import pytest
import torch

from manuscript_restore import plugins
from manuscript_restore.data.remote import open_pages
from manuscript_restore.degradation import DegradationPipeline
from manuscript_restore.errors import UserError
from manuscript_restore.models import build_model

CODE = """
import numpy as np
import torch
from torch import nn
from manuscript_restore.data.sources import PageSource
from manuscript_restore.degradation import Degradation
from manuscript_restore.models import RestorationNetwork


class Soot(Degradation):
    def __init__(self, *, strength=(0.5, 0.5), p=0.5):
        super().__init__(p=p, ranges={"strength": strength}, high=1)

    def damage(self, pages, params, severity):
        for page in pages:
            page *= 1 - 0.5 * severity
        return pages[0].new_ones(len(pages), 1, *pages[0].shape[1:])


class ShelfSource(PageSource):
    def __init__(self, where, *, key):
        self.where = where

    def __len__(self):
        return 6

    def name(self, index):
        return f"{index}"

    def key(self, index):
        return f"{self.where}/{index}"

    def read(self, index):
        return np.full((80, 80, 3), 120 + 10 * index, np.uint8)


class OneGain(RestorationNetwork):
    def __init__(self, *, image_size=32, start=1.0):
        super().__init__(multiple=1, image_size=image_size)
        self.gain = nn.Parameter(torch.tensor(start))

    def restore(self, padded):
        return padded * self.gain


NOT_A_CLASS = 7
"""
POINTS = {
    "degradations": {"soot": "Soot"},
    "models": {"one_gain": "OneGain", "unet": "OneGain"},
    "page_sources": {"shelf": "ShelfSource"},
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay out a package as pip would: ``install(package, {group: {name: object}})``; returns its folder."""

    def lay_out(package: str, points: dict[str, dict[str, str]] = POINTS, code: str = CODE) -> Path:
        site = tmp_path / f"site_{package}"
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text(code)
        facts = site / f"{package}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = []
        for group, names in points.items():
            lines += [f"[manuscript_restore.{group}]", *(f"{name} = {package}:{of}" for name, of in names.items())]
        (facts / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, package, raising=False)
        return site / package

    return lay_out


def test_a_degradation_by_name(install):
    install("lamps")
    page = torch.full((1, 3, 8, 8), 0.8)
    pipeline = DegradationPipeline({"soot": {"p": 1.0}})
    torch.testing.assert_close(pipeline(page, seed=0), torch.full_like(page, 0.4))
    with pytest.raises(UserError, match=r"degradation\.transforms\.soot\.q: unknown key; known keys: p, strength"):
        DegradationPipeline({"soot": {"q": 1.0}})
    with pytest.raises(
        UserError, match=r"degradation\.transforms\.rain: .* another package adds \(soot installed\)"
    ):
        DegradationPipeline({"rain": {}})


def test_a_model_by_name(install):
    install("lamps")
    page = torch.rand(1, 3, 5, 7)
    torch.testing.assert_close(build_model({"name": "one_gain", "start": 0.5})(page), page / 2)
    assert len(list(build_model({"name": "unet"}).parameters())) > 1  # the project's own go first
    with pytest.raises(UserError, match=r"model\.name=big: unknown; use one of vit, .*, one_gain"):
        build_model({"name": "big"})


def test_a_page_source_by_its_scheme(install):
    install("lamps")
    source = open_pages("shelf://7", key="data.train_dir")
    assert (len(source), source.key(2), int(source.read(2)[0, 0, 0])) == (6, "shelf://7/2", 140)
    with pytest.raises(
        UserError, match=r"data\.val_dir=crate://7: unknown kind of address; known are .*, shelf and"
    ):
        open_pages("crate://7", key="data.val_dir")


def test_nothing_is_looked_up_for_known_names(monkeypatch, tmp_path):
    monkeypatch.setattr(plugins, "entry_points", None)
    build_model({"name": "unet", "widths": [4, 4]})
    DegradationPipeline({})
    with pytest.raises(UserError, match="no such folder"):
        open_pages(str(tmp_path / "none"), key="data.train_dir")


def test_two_packages_with_the_same_name(install):
    install("lamps")
    install("chimneys", {"degradations": {"soot": "Soot"}})
    with pytest.raises(UserError, match=r"soot: chimneys and lamps both add it to manuscript_res"):
        DegradationPipeline({"soot": {}})


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        (
            "Soot",
            "import nowhere",
            r"lamps:Soot of the package lamps cannot be loaded \(ModuleNotFoundErr",
        ),
        ("Soot", "raise SystemExit(3)", r"lamps:Soot of the package lamps cannot be loaded \(SystemExit: 3\)"),
        ("Sot", CODE, r"lamps:Sot of the package lamps cannot be loaded \(AttributeError"),
        ("OneGain", CODE, "lamps:OneGain of the package lamps is no Degradation"),
        ("NOT_A_CLASS", CODE, "lamps:NOT_A_CLASS of the package lamps is no Degradation"),
    ],
)
def test_a_broken_package_is_named(install, target, code, message):
    install("lamps", {"degradations": {"soot": target}}, code)
    with pytest.raises(UserError, match=rf"^soot: {message}.*; update or uninstall it"):
        DegradationPipeline({"soot": {}})


def test_a_page_source_that_lacks_methods(install):
    install("lamps", code=CODE.replace("def name(", "def nam("))
    with pytest.raises(UserError, match=r"^shelf: lamps:ShelfSource of the package lamps lacks name; update"):
        open_pages("shelf://7", key="data.train_dir")


@pytest.mark.slow
def test_a_training_of_another_packages_parts_and_configs(install, train):
    configs = install("lamps") / "configs"
    (configs / "degradation").mkdir(parents=True)
    (configs / "__init__.py").touch()  # Hydra looks into packages only
    (configs / "degradation" / "smoky.yaml").write_text("defaults: [none]\ntransforms: {soot: {p: 1.0}}\n")
    chosen = ("degradation=smoky", "degradation@val_degradation=smoky", "data.train_dir=shelf://7", "model=unet")
    parts = ("~model.widths", "model.name=one_gain", "+model.start=1.5")
    summary = train(
        "hydra.searchpath=[pkg://lamps.configs]",
        *("experiment=smoke", "data=pages", *chosen, *parts, "debug=fast", "data.val_fraction=0.4"),
        *("data.image_size=32", "data.num_workers=0", "loss.perceptual.weight=0", "callbacks.progress=null"),
    )
    # Soot takes half of the light; the network gives half of that back.
    assert summary["scores"]["val/psnr"] > summary["scores"]["val/input_psnr"] + 3
