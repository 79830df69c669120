"""What a run leaves behind to look at: pictures of fixed validation pages."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from manuscript_restore.errors import UserError
from manuscript_restore.images.figures import contact_sheet
from manuscript_restore.metrics import psnr, ssim

TITLES = ("degraded", "restored", "clean")


class ValidationPictures(L.Callback):
    """Writes degraded | restored | clean of the first validation pages to a folder and to W&B and TensorBoard.

    Args:
        folder: Where ``epoch_000.png`` and so on go.
        num_pages: How many pages; always the same ones.
        every_n_epochs: Pause between pictures.
    """

    def __init__(self, *, folder: str, num_pages: int = 4, every_n_epochs: int = 1) -> None:
        if num_pages < 1 or every_n_epochs < 1:
            raise UserError("callbacks.pictures: num_pages and every_n_epochs must be at least 1")
        self.folder = Path(folder)
        self.num_pages = num_pages
        self.every_n_epochs = every_n_epochs
        self._rows: list[list[Tensor]] = []
        self._captions: list[list[str]] = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the pages that are still missing."""
        if not self._due(trainer):
            return
        pictures = [batch["degraded"], outputs["restored"], batch["clean"]]
        for i, name in enumerate(batch["name"][: self.num_pages - len(self._rows)]):
            row = [picture[i].cpu() for picture in pictures]
            self._rows.append(row)
            self._captions.append(_captions(row, name))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write and log the sheet."""
        if not self._rows:
            return
        sheet = contact_sheet(self._rows, self._captions)
        self.folder.mkdir(parents=True, exist_ok=True)
        sheet.save(self.folder / f"epoch_{trainer.current_epoch:03d}.png")
        for logger in trainer.loggers:
            self._log(logger, sheet, trainer.global_step)
        self._rows, self._captions = [], []

    def _due(self, trainer: L.Trainer) -> bool:
        wanted = trainer.current_epoch % self.every_n_epochs == 0
        return trainer.is_global_zero and not trainer.sanity_checking and wanted

    def _log(self, logger: Any, sheet: Image.Image, step: int) -> None:
        if isinstance(logger, WandbLogger):
            logger.log_image("val/pictures", [sheet], step=step, caption=[" | ".join(TITLES)])
            rows = [
                [caption[0], *(wandb_image(picture) for picture in row)]
                for row, caption in zip(self._rows, self._captions, strict=True)
            ]
            logger.log_table("val/pages", columns=["page", *TITLES], data=rows, step=step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image("val/pictures", pil_to_tensor(sheet), step)


def wandb_image(picture: Tensor) -> Any:
    """A (3, H, W) picture in [0, 1] as W&B's image."""
    import wandb  # an extra: only those who log to it have it

    return wandb.Image(picture.permute(1, 2, 0).numpy())


def _captions(row: list[Tensor], name: str) -> list[str]:
    degraded, restored, clean = (picture.unsqueeze(0) for picture in row)

    def scores(picture: Tensor) -> str:
        return f"{psnr(picture, clean).item():.2f} dB / {ssim(picture, clean).item():.3f}"

    return [f"degraded {scores(degraded)}", f"restored {scores(restored)}", f"clean {Path(name).stem[:24]}"]
