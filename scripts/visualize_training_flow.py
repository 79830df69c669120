"""The training flow as pictures: a clean page, its degraded copy, what the restorer makes of it, and the error.

    python scripts/visualize_training_flow.py --checkpoint outputs/train/…/best.ckpt --page page.jpg

Without a checkpoint the newest of outputs/train/ is taken; without any, an untrained network.
Without a page a generated one.
"""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from torch import nn

from manuscript_restore import images
from manuscript_restore.checkpoint import load_model, read_checkpoint
from manuscript_restore.config import build, compose, config_dir
from manuscript_restore.data.views import View
from manuscript_restore.errors import UserError
from manuscript_restore.images import tensors
from manuscript_restore.images.figures import contact_sheet, error_map
from manuscript_restore.metrics import psnr, ssim
from manuscript_restore.models import ViTRestorer
from manuscript_restore.synthesis import generate_page

ERROR_LIMIT = 0.25
UNSEEN_PAGE = 3_000_000  # far from those that trainings generate


def main(
    checkpoint: Annotated[Path | None, typer.Option(help="Training checkpoint.")] = None,
    page: Annotated[Path | None, typer.Option(help="Clean page; a generated one without.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("outputs/training_flow"),
    degradation: Annotated[str, typer.Option(help="Preset of configs/degradation.")] = "reference",
    view: Annotated[str, typer.Option(help="resize: the whole page; crop: native resolution.")] = "crop",
    size: Annotated[int, typer.Option(help="Side of the picture in pixels.")] = 256,
    seed: Annotated[int, typer.Option(help="Of the degradation and the place of the crop.")] = 0,
) -> None:
    """Write 1_clean_original, 2_degraded_input, 3_restored_output and training_flow_comparison (JPEG)."""
    try:
        draw(checkpoint, page, out, degradation, View(view, size), seed)
    except UserError as error:
        Console(stderr=True).print(f"error: {error}", style="red", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None


def draw(checkpoint: Path | None, page: Path | None, out: Path, preset: str, view: View, seed: int) -> None:
    """Run the flow on one page and write the four pictures."""
    restorer, label = find_restorer(checkpoint)
    source = images.read(page) if page else generate_page(seed, UNSEEN_PAGE)
    clean = tensors.to_float(tensors.from_array(view.fixed(view.prepare(source), (seed,))))[None]
    pipeline = build_degradation(preset)
    degraded = tensors.quantize(pipeline(clean, seed=seed))
    with torch.inference_mode():
        restored = tensors.quantize(restorer(degraded))

    out.mkdir(parents=True, exist_ok=True)
    pictures = {"1_clean_original": clean, "2_degraded_input": degraded, "3_restored_output": restored}
    for name, picture in pictures.items():
        images.write(picture[0], out / f"{name}.jpg")
    captions = [
        f"clean: {page.name if page else 'generated page'}"[:60],
        f"degraded ({preset}): {scores(degraded, clean)}",
        f"restored ({label}): {scores(restored, clean)}",
        f"error of the restored, 0 to {ERROR_LIMIT:.2f} (white)",
    ]
    panels = [clean[0], degraded[0], restored[0], error_map(restored[0], clean[0], limit=ERROR_LIMIT)]
    sheet = contact_sheet([panels[:2], panels[2:]], [captions[:2], captions[2:]])
    comparison = out / "training_flow_comparison.jpg"
    sheet.save(comparison, quality=95)
    for caption in captions:
        print(caption)
    print(f"pictures: {out}")


def scores(picture: torch.Tensor, clean: torch.Tensor) -> str:
    """PSNR and SSIM of one picture, for a caption."""
    return f"{psnr(picture, clean).item():.2f} dB, SSIM {ssim(picture, clean).item():.3f}"


def find_restorer(checkpoint: Path | None) -> tuple[nn.Module, str]:
    """The restorer and what to call it."""
    if checkpoint is None:
        trained = sorted(Path("outputs/train").glob("*/*/checkpoints/best.ckpt"), key=lambda p: p.stat().st_mtime)
        if not trained:
            print("no checkpoint given and none in outputs/train/: drawing an untrained network")
            return ViTRestorer(encoder="vit_tiny_patch16_224", decoder={"name": "progressive"}).eval(), "untrained"
        checkpoint = trained[-1]
        print(f"checkpoint: {checkpoint}")
    epoch = read_checkpoint(checkpoint)["epoch"]
    return load_model(checkpoint), f"epoch {epoch + 1}"


def build_degradation(preset: str) -> Any:
    """The degradation pipeline of a preset."""
    known = sorted(path.stem for path in (Path(config_dir()) / "degradation").glob("*.yaml"))
    if preset not in known:
        raise UserError(f"--degradation {preset}: unknown preset; use one of {', '.join(known)}")
    return build(compose("train", f"degradation={preset}").degradation, "degradation")


if __name__ == "__main__":
    typer.run(main)
