"""Restore three really damaged pages with the released model, and make it at home in a collection of your own.

    python scripts/demo.py [--pages FOLDER] [--out outputs/demo]

The pages are in scripts/samples, with their sources. With --pages, a folder of clean pages, the model is trained
on for a few epochs first.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

SAMPLES = Path(__file__).parent / "samples"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pages", type=Path, help="clean pages to go on training with")
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"))
    args = parser.parse_args()
    model, restored = "default", args.out / "restored"
    if args.pages:
        trained = args.out / "finetune"
        run("train", "experiment=finetune", f"data.train_dir='{args.pages}'", f"hydra.run.dir='{trained}'")
        model = str(trained / "checkpoints" / "last.ckpt")
    shown = ("--comparison", "--change-map", "--overwrite")
    run("restore", SAMPLES, "-o", restored, "-m", model, "--damaged", *shown)
    command = os.path.relpath(Path(sys.executable).with_name("manuscript-restore"))
    mine = "" if model == "default" else f" -m {model}"
    print("\nBefore and after in one picture:")
    print(*(f"  {path}" for path in sorted(restored.glob("*.comparison.*"))), sep="\n")
    print(f"Look closer, in the browser:\n  {command} view {os.path.relpath(SAMPLES)} -o {restored}{mine}")
    print(f"Now a page of your own:\n  {command} restore PAGE.jpg -o restored/ --damaged --comparison{mine}")


def run(command: str, *arguments: str | Path) -> None:
    """Run a command of the package; its mistakes are told by itself."""
    status = subprocess.run(
        [sys.executable, "-m", f"manuscript_restore.{command}", *map(str, arguments)]
    ).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
