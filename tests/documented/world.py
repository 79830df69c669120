"""A small world in which the docs' commands can be given: pages, books, models and keys, by the docs' names."""

import re
from pathlib import Path

import numpy as np
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from manuscript_restore.images import write
from manuscript_restore.released import find_released
from manuscript_restore.synthesis import generate_page
from tests.documented.blocks import PAGES, fence, filled
from tests.test_onnx import MAPS, save
from tests.test_signing import certificate

PAGE_XML = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">
  <Page imageHeight="{height}" imageWidth="{width}" imageFilename="{name}"/></PcGts>
"""
PLUGIN = """
import torch
from torch import nn
from manuscript_restore.models import RestorationNetwork

class Tiny(RestorationNetwork):
    def __init__(self, *, image_size=32):
        super().__init__(multiple=1, image_size=image_size)
        self.gain = nn.Parameter(torch.ones(()))

    def restore(self, padded):
        return padded * self.gain
"""
SOOT = """
from collections.abc import Sequence
import torch
from torch import Tensor
from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column
from manuscript_restore.degradation.paint import absorb

"""
RUN = "2026-11-26_23-00-00"


def draw(path: Path, number: int, height: int = 90, width: int = 120) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(generate_page(1, number, height=height, width=width), path)


def pages_for_training(root: Path) -> None:
    """Clean pages of a few manuscripts, under all the names that the docs have for such folders."""
    named = [("pages", ""), ("data/raw", ""), ("outputs/collection", "images")]
    for number, (folder, inner) in enumerate(named):
        for split, count in (("train", 4), ("val", 2), ("test", 2)):
            for i in range(count):
                page = root / folder / split / inner / f"{split}{i // 2}_{i % 2}.png"
                draw(page, 20 * number + 7 * i + count, height=100, width=140)


def pages_to_restore(root: Path) -> None:
    for i, name in enumerate(("scans/1.png", "scans/leaves/2.png", "export/1.png", "page.jpg")):
        draw(root / name, i)
    for i, name in enumerate(("12r", "40v")):
        draw(root / "sound" / f"{name}.jpg", 10 + i)
    named = re.findall(r"scripts/samples/([\w-]+\.\w+)", "".join(page.read_text("utf-8") for page in PAGES))
    for name in set(named):  # the demo's
        draw(root / "scripts/samples" / name, 30)
    for page in (*root.glob("scans/**/*.png"), *root.glob("export/*.png")):
        xml = PAGE_XML.format(height=90, width=120, name=page.name)
        page.with_suffix(".xml").write_text(xml)
    for name in ("book.pdf", "in.pdf"):
        Image.fromarray(generate_page(1, 4, height=240, width=320)).save(root / name, resolution=100)
    draw(root / "pairs/a_in.png", 40)
    ink = np.asarray(Image.open(root / "pairs/a_in.png").convert("L")) > 90
    Image.fromarray(np.uint8(ink) * 255).save(root / "pairs/a_gt.png")
    for name in ("book", "site"):
        (root / name).mkdir()


def models(root: Path) -> None:
    checkpoint = save(MAPS, root / "best.ckpt")
    torch.save(torch.load(checkpoint) | {"epoch": 0}, checkpoint)
    for run in ("mine", "finetune", "release"):
        place = root / "outputs/train" / run / RUN / "checkpoints"
        place.mkdir(parents=True)
        (place / "best.ckpt").hardlink_to(checkpoint)
    (root / "models").mkdir()
    (root / "released").symlink_to(find_released("default"))


def keys(root: Path) -> None:
    """A certificate of a root that nobody knows, and its key."""
    issuer, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    leaf = certificate("Signer", key, "Root", issuer, ca=False)
    (root / "chain.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.TraditionalOpenSSL
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (root / "key.pem").write_bytes(secret)


def readers_own(root: Path) -> None:
    """What a page tells its reader to write: a transform, a network, their configs, a job."""
    for page, kind in (("degradation", "degradation"), ("plugins", "model")):
        config = root / "experiments" / kind / "mine.yaml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(fence(f"docs/how-to/{page}.md", "yaml", "experiments/"))
    (root / "my_package.py").write_text(SOOT + fence("docs/how-to/degradation.md", "python", "class Soot"))
    (root / "lamp_damage.py").write_text(PLUGIN)
    installed = root / "lamp_damage-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: lamp-damage\nVersion: 1\n")
    declared = fence("docs/how-to/plugins.md", "toml", "entry-points")
    entry_points = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", declared).replace('"', "")
    (installed / "entry_points.txt").write_text(entry_points)
    (root / "train.sbatch").write_text(filled(fence("docs/how-to/cluster.md", "sh", "SBATCH")))


def make_world(root: Path) -> None:
    """All of it; ``released`` leads to the model in the package, of which a test makes ``models/mine``."""
    for part in (pages_for_training, pages_to_restore, models, keys, readers_own):
        part(root)
