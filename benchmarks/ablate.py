"""Compare recipes at equal training time: same seconds, same damaged crops, same validation pairs, same seed.

Seconds are the processor's, a thread: what runs beside it does not count.

    python -m benchmarks ablate --pages FOLDER --seconds 90 [--weights default] [--set optimizer.lr=4e-4] [NAME …]

FOLDER holds clean pages in ``train`` and ``val``. Every variant (or those named) changes one thing of
``experiment=release``, trains for so many seconds, from nothing or from the weights of a model, and is scored on
the same crops of 256×256. The damaged crops are made beforehand, once for each kind of data, so that seconds are
seconds of the network; warm-up, averaging and the cosine are fitted to them. Rows are appended to
``OUT/ablation.csv``; docs/explanation/model.md shows some.
"""

import argparse
import csv
import hashlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from hydra.errors import HydraException
from kornia.filters import spatial_gradient
from numpy.typing import NDArray
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.measure import parser
from manuscript_restore.checkpoint import start_from
from manuscript_restore.config import build, compose, plain
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.images import as_floats
from manuscript_restore.images.colour import to_lab
from manuscript_restore.images.tensors import quantize, to_uint8
from manuscript_restore.metrics.pictures import psnr, psnr_after_colour_fit, ssim
from manuscript_restore.models import RestorationNetwork, build_model
from manuscript_restore.training.losses import CombinedLoss

Pairs = dict[str, Tensor]
"""``clean`` and ``degraded``, uint8 (N, 3, S, S)."""
Extra = Callable[[Tensor, Tensor], Tensor]


def charbonnier(restored: Tensor, clean: Tensor) -> Tensor:
    """L1 rounded at zero (Charbonnier et al. 1994)."""
    return ((restored - clean).square() + 1e-6).sqrt().mean()


def edges(restored: Tensor, clean: Tensor) -> Tensor:
    """L1 of Sobel gradients."""
    return F.l1_loss(spatial_gradient(restored), spatial_gradient(clean))


def frequencies(restored: Tensor, clean: Tensor) -> Tensor:
    """L1 of the Fourier transform (Cho et al. 2021, MIMO-UNet)."""
    distance: Tensor = torch.fft.rfft2(restored - clean, norm="ortho").abs().mean()
    return distance


def ink(restored: Tensor, clean: Tensor) -> Tensor:
    """L1, four times as heavy where the clean page is darker than its surroundings."""
    grey = clean.mean(dim=1, keepdim=True)
    strokes = grey < F.avg_pool2d(grey, 31, stride=1, padding=15, count_include_pad=False) - 0.08
    distance: Tensor = ((restored - clean).abs() * (1 + 3 * strokes)).mean()
    return distance


def vit_tiny_patch8(**options: Any) -> Any:
    """ViT-tiny with four times as many tokens: timm has no name for it."""
    return timm.models.vit_tiny_patch16_224(**{"patch_size": 8, **options})


def vit_tiny_depth6(**options: Any) -> Any:
    """ViT-tiny with half of its blocks."""
    return timm.models.vit_tiny_patch16_224(**{"depth": 6, **options})


for shape in (vit_tiny_patch8, vit_tiny_depth6):
    timm.models.register_model(shape)


@dataclass(frozen=True)
class Variant:
    """What differs from the release.

    Args:
        overrides: Of the config.
        losses: Added terms and their weights.
        without: Part of the decoder that is silenced: ``residual`` or ``skip``.
        precise: float32 with channels first, instead of bfloat16 with channels last.
        ema: Score averaged weights.
    """

    overrides: tuple[str, ...] = ()
    losses: Mapping[Extra, float] = field(default_factory=dict)
    without: str = ""
    precise: bool = False
    ema: bool = True


def of(*overrides: str, **options: Any) -> Variant:
    return Variant(overrides, **options)


NO_PSNR = "loss.psnr.weight=0"  # where another distance takes its place
VARIANTS = {
    "release": of(),
    "float32, channels first": of(precise=True),
    "PSNR × 3": of("loss.psnr.weight=0.1"),
    "PSNR ÷ 3": of("loss.psnr.weight=0.01"),
    "no SSIM term": of("loss.ssim.weight=0"),
    "no colour-fit term": of("loss.colour_fit.weight=0"),
    "colour-fit term × 3": of("loss.colour_fit.weight=0.06"),
    "no colours term": of("loss.colours.weight=0"),
    "no maps": of("model.decoder.maps=false"),
    "+ L1": of("loss.l1.weight=1"),
    "L1 and SSIM": of(NO_PSNR, "loss.l1.weight=1"),
    "L1 alone": of(NO_PSNR, "loss.l1.weight=1", "loss.ssim.weight=0"),
    "Charbonnier and SSIM": of(NO_PSNR, losses={charbonnier: 1.0}),
    "squared error and SSIM": of(NO_PSNR, losses={F.mse_loss: 5.0}),
    "+ perceptual": of("loss.perceptual.weight=0.1"),
    "+ edges": of(losses={edges: 0.5}),
    "+ frequencies": of(losses={frequencies: 0.2}),
    "+ ink-weighted L1": of(losses={ink: 0.7}),
    "reference decoder": of("decoder=reference"),
    "no residual": of(without="residual"),
    "no full-resolution skip": of(without="skip"),
    "last depth only": of("model.decoder.num_features=1"),
    "no colour head": of("model.colour_head=false"),
    "patch 8": of("model.encoder=vit_tiny_patch8"),
    "half the depth": of("model.encoder=vit_tiny_depth6"),
    "ViT-small": of("model=vit_small"),
    "wider pyramid": of("model.decoder.widths=[24,48,72,96,192]"),
    "narrower pyramid": of("model.decoder.widths=[12,24,32,48,96]"),
    "two blocks a scale": of("model.decoder.num_blocks=2"),
    "18 crops of 128": of("data.image_size=128", "data.batch_size=18"),
    "4 crops of 256": of("data.image_size=256", "data.batch_size=4"),
    "whole pages of 192": of("data.view=resize", "data.augment.scale=[1,1]"),
    "half the batch": of("data.batch_size=4"),
    "twice the batch": of("data.batch_size=16"),
    "lr 1e-3": of("optimizer.lr=1e-3"),
    "lr 2.5e-4": of("optimizer.lr=2.5e-4"),
    "no averaging": of(ema=False),
    "no photometric variety": of("data.augment.photometric=0"),
    "photometric variety of all views": of("data.augment.photometric_p=1"),
    "half the photometric variety": of("data.augment.photometric=0.5"),
    "native scale only": of("data.augment.scale=[1,1]"),
    "U-Net": of("model=unet", "+model.colour_head=true"),
    "NAFNet": of("model=nafnet", "+model.colour_head=true"),
    "Restormer": of("model=restormer", "+model.colour_head=true"),
    "real pages only": of("data.generated_share=0"),
    "half generated pages": of("data.generated_share=0.5"),
    "generated pages only": of("data.generated_share=1", "data.train_dir=null", "data.val_dir=null"),
    "drawn by page": of("data.manuscript=null"),
    "no surrounds": of("data.surround=0"),
    "reference damage only": of("degradation=reference"),
    "presets without wild": of("degradation.weights.wild=0"),
    "wild and sound pages only": of("degradation.weights={reference: 0, paper: 0, palm_leaf: 0}"),
    "no sound pages": of("degradation.weights.none=0"),
}


def main(arguments: list[str]) -> None:
    """Train and score the variants."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    try:
        compare(options)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {error}")


def compare(options: argparse.Namespace) -> None:
    """Run the variants one after the other, and write each as soon as it is scored."""
    validation = {preset: pairs_of(options, Variant(), preset) for preset in options.presets}
    table = options.out / "ablation.csv"
    for name in options.names or VARIANTS:
        settings = {"seconds": options.seconds, "weights": options.weights, "set": " ".join(options.set)}
        try:
            row = {"variant": name, **settings, **run(VARIANTS[name], options, validation)}
        except UserError as error:  # weights of another shape: the others go on
            print(f"{name}: {error}", file=sys.stderr)
            continue
        header = ",".join(row)
        if not table.exists():
            table.write_text(header + "\n", encoding="utf-8")
        elif table.read_text(encoding="utf-8").split("\n", 1)[0] != header:
            raise UserError(f"{table}: holds other columns; give another --out")
        with table.open("a", newline="", encoding="utf-8") as lines:
            csv.writer(lines, lineterminator="\n").writerow(row.values())
        print(*(f"{key} {value:.3f}" if isinstance(value, float) else value for key, value in row.items()))


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    known = parser("ablate", __doc__)
    known.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(VARIANTS)}")
    known.add_argument("--pages", type=Path, required=True, help="clean pages in train/ and val/")
    known.add_argument("--seconds", type=float, default=90, help="of training, each")
    known.add_argument("--pairs", type=int, default=2000, help="damaged crops to draw from")
    presets = ["reference", "paper", "palm_leaf"]
    known.add_argument("--presets", nargs="+", default=presets, metavar="PRESET", help="to score on")
    known.add_argument("--crops", type=int, default=2, help="of each page, to score on")
    known.add_argument("--weights", help="begin with those of a model: its path, or its name")
    known.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of all variants")
    known.add_argument("--seed", type=int, default=0)
    known.add_argument("--threads", type=int, default=2)
    known.add_argument("--out", type=Path, default=Path("outputs/ablation"))
    options = known.parse_args(arguments)
    if unknown := set(options.names) - VARIANTS.keys():
        known.error(f"unknown: {', '.join(unknown)}")
    if options.seconds <= 0:
        known.error("--seconds: must be more than 0")
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def configure(options: argparse.Namespace, overrides: tuple[str, ...]) -> DictConfig:
    """The release's recipe with a variant's overrides."""
    folders = [f"data.{split}_dir='{options.pages / split}'" for split in ("train", "val")]
    fixed = [f"output_dir='{options.out}'", "data.num_workers=0"]
    return compose("train", "experiment=release", *folders, *fixed, *options.set, *overrides)


def pairs_of(options: argparse.Namespace, variant: Variant, preset: str = "") -> Pairs:
    """Damaged crops: to train on, or with ``preset`` the fixed ones to score on; kept in a file."""
    scored: tuple[str, ...] = ()
    if preset:
        views = f"data.val_views_per_page={options.crops}"
        scored = ("data.image_size=256", views, f"degradation@val_degradation={preset}")
    # A mixture damages batch by batch: of one size, whatever the variant trains on.
    config = configure(options, (*variant.overrides, *scored, "data.batch_size=8"))
    damage = plain(config.val_degradation if preset else config.degradation)
    pages = sorted((path.name, path.stat().st_size) for path in options.pages.rglob("*") if path.is_file())
    content = (plain(config.data), damage, pages, preset, options.pairs, options.seed)
    key = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
    file = options.out / f"pairs-{key}.pt"
    if file.exists():
        return dict(torch.load(file, weights_only=True))
    damages = [build(config[name], name) for name in ("degradation", "val_degradation")]
    module = build(config.data, "data", seed=options.seed, degradation=damages[0], val_degradation=damages[1])
    module.setup("validate" if preset else "fit")
    found: dict[str, list[Tensor]] = {part: [] for part in ("clean", "degraded", *([] if preset else ["ink"]))}
    for epoch in count():
        loader = module.val_dataloader() if preset else module.train_dataloader()
        if not preset:
            loader.sampler.set_epoch(epoch)
        for batch in loader:
            batch = module.on_after_batch_transfer(batch, 0)
            for part, pictures in found.items():
                pictures.append(to_uint8(batch[part]))
            if not preset and sum(map(len, found["clean"])) >= options.pairs:
                break
        if preset or sum(map(len, found["clean"])) >= options.pairs:
            break
    made = {part: torch.cat(pictures) for part, pictures in found.items()}
    with whole_file(file) as unfinished:
        torch.save(made, unfinished)
    return made


def run(variant: Variant, options: argparse.Namespace, validation: dict[str, Pairs]) -> dict[str, float]:
    """Train for the given seconds and score."""
    pairs = pairs_of(options, variant)
    config = configure(options, variant.overrides)
    torch.manual_seed(options.seed)
    model = build_model(plain(config.model))
    if options.weights:
        start_from(model, options.weights, key="--weights")
    silence(model, variant.without)
    loss = CombinedLoss(**plain(config.loss))
    layout = torch.contiguous_format if variant.precise else torch.channels_last
    model = model.to(memory_format=layout)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay
    )
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.98))  # type: ignore[no-untyped-call]
    drawn = torch.Generator().manual_seed(options.seed)
    start, steps, budget = time.process_time(), 0, options.seconds * options.threads
    while (progress := (time.process_time() - start) / budget) < 1:
        rate = config.optimizer.lr * min(steps / 50, 1) * (1 + math.cos(math.pi * progress)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = torch.randint(len(pairs["clean"]), (config.data.batch_size,), generator=drawn)
        pages = {part: pictures[chosen].float().div(255) for part, pictures in pairs.items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=not variant.precise):
            prediction = model.predict(pages["degraded"].to(memory_format=layout))
        total = loss(prediction, pages)["loss"]
        for term, weight in variant.losses.items():
            total = total + weight * term(prediction.image.float(), pages["clean"])
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(model)
        steps += 1
    scored = average.module if variant.ema else model
    row: dict[str, float] = {"parameters": sum(p.numel() for p in model.parameters()), "steps": steps}
    for preset, each in validation.items():
        row |= {f"{preset} {name}": value for name, value in score(scored, each).items()}
    return row


@torch.no_grad()
def score(model: nn.Module, pairs: Pairs) -> dict[str, float]:
    """Mean scores of the restored and of the degraded (``input …``) pages.

    ``sound``: PSNR of undamaged pages through the network; ``red``: how much of its chroma red ink keeps.
    """
    model.eval()
    scores: dict[str, list[Tensor]] = {}
    chroma: dict[str, float] = {}
    for part in torch.split(torch.arange(len(pairs["clean"])), 4):
        clean, degraded = (pairs[kind][part].float() / 255 for kind in ("clean", "degraded"))
        restored = quantize(model(degraded).float())
        for name, pictures in (("", restored), ("input ", degraded)):
            scores.setdefault(name + "psnr", []).append(psnr(pictures, clean))
            scores.setdefault(name + "fit", []).append(psnr_after_colour_fit(pictures, clean))
            scores.setdefault(name + "ssim", []).append(ssim(pictures, clean))
        scores.setdefault("sound", []).append(psnr(quantize(model(clean).float()), clean))
        red = reds(clean)
        for name, pictures in (("kept", restored), ("wanted", clean)):
            _, a, b = to_lab(as_floats(pictures)).swapaxes(0, 1)
            chroma[name] = chroma.get(name, 0.0) + float(np.hypot(a, b)[red].sum())
    means = {name: float(torch.cat(values).clamp(max=60).mean()) for name, values in scores.items()}
    return {**means, "red": chroma["kept"] / chroma["wanted"] if chroma["wanted"] else math.nan}


def reds(pages: Tensor) -> NDArray[np.bool_]:
    """Where (B, 3, H, W) is red ink: (B, H, W)."""
    lightness, a, b = to_lab(as_floats(pages)).swapaxes(0, 1)
    red: NDArray[np.bool_] = (a > 20) & (np.hypot(a, b) > 35) & (lightness < 70)
    return red


def silence(model: RestorationNetwork, part: str) -> None:
    """Multiply a part of the progressive decoder by zero: its time stays, what it gives is gone."""
    decoder: Any = model.decoder if part else None
    if part == "skip":
        decoder.stem.register_forward_hook(lambda _, __, output: output * 0)
    elif part == "residual":
        decoder.to_colour.register_forward_hook(lambda _, __, output: output * 0)
        # The maps lie behind the colours, and stay.
        decoder.register_forward_hook(
            lambda _, inputs, output: torch.cat([output[:, :3] - inputs[0] + 0.5, output[:, 3:]], dim=1)
        )
