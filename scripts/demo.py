"""Restore damaged sample pages with the released model, and make it at home in a collection of your own.

    python scripts/demo.py [--pages FOLDER] [--out outputs/demo]

The samples are drawn, the same everywhere: a palm leaf, a paper and a parchment page, each with the damage
of a preset. With --pages, a folder of clean pages, the model is trained on for a few epochs first.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from manuscript_restore.config import build, compose
from manuscript_restore.files import whole_file
from manuscript_restore.images.tensors import from_array, to_array, to_float, to_uint8
from manuscript_restore.synthesis import PageGenerator

SAMPLES = {"palm_leaf": "palm_leaf", "paper": "paper", "parchment": "reference"}
"""Support → preset."""
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pages", type=Path, help="clean pages to go on training with")
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"))
    args = parser.parse_args()
    draw_samples(args.out / "damaged")
    model = "default"
    if args.pages:
        trained = args.out / "finetune"
        run("train", "experiment=finetune", f"data.train_dir='{args.pages}'", f"hydra.run.dir='{trained}'")
        model = str(trained / "checkpoints" / "last.ckpt")
    restored = args.out / "restored"
    run(
        "restore", args.out / "damaged", "-o", restored, "-m", model, "--comparison", "--change-map", "--overwrite"
    )
    print(f"damaged and restored, in one picture: {restored.resolve()}/*.comparison.*")


def draw_samples(folder: Path) -> None:
    """Write a damaged page of each support."""
    folder.mkdir(parents=True, exist_ok=True)
    for support, preset in SAMPLES.items():
        damage = build(compose("train", f"degradation={preset}").degradation, "degradation")
        page = PageGenerator(supports={support: 1.0}).page(SEED, 0).image
        with torch.inference_mode():
            damaged = damage(to_float(from_array(page)[None]), seed=SEED)
        with whole_file(folder / f"{support}.png") as unfinished:
            Image.fromarray(to_array(to_uint8(damaged)[0])).save(unfinished, format="PNG", dpi=(300, 300))


def run(command: str, *arguments: str | Path) -> None:
    """Run a command of the package; its mistakes are told by itself."""
    status = subprocess.run(
        [sys.executable, "-m", f"manuscript_restore.{command}", *map(str, arguments)]
    ).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
