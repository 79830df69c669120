"""What a run leaves behind to look at: pictures of fixed validation pages, and of the worst."""

from heapq import nsmallest
from pathlib import Path
from typing import Any

import lightning as L
import torch.distributed
from PIL import Image
from torch import Tensor

from manuscript_restore.errors import UserError
from manuscript_restore.images.figures import contact_sheet
from manuscript_restore.metrics import psnr, ssim
from manuscript_restore.tracking import logged
from manuscript_restore.tracking.loggers import log_picture, log_table

TITLES = ("degraded", "restored", "clean")


class _Pages(L.Callback):
    """What the two have in common: a folder, a number of pages, and a pause between epochs.

    Args:
        folder: Where pictures go.
        num_pages: How many pages.
        every_n_epochs: Pause between pictures.
        where: Config key, for the message.
    """

    def __init__(self, where: str, *, folder: str, num_pages: int, every_n_epochs: int) -> None:
        if num_pages < 1 or every_n_epochs < 1:
            raise UserError(f"{where}: num_pages and every_n_epochs must be at least 1")
        self.folder = Path(folder)
        self.num_pages = num_pages
        self.every_n_epochs = every_n_epochs

    def _due(self, trainer: L.Trainer) -> bool:
        return not trainer.sanity_checking and trainer.current_epoch % self.every_n_epochs == 0


class ValidationPictures(_Pages):
    """Writes degraded | restored | clean of the first validation pages to a folder and to W&B and TensorBoard.

    Args:
        folder: Where ``epoch_000.png`` and so on go.
        num_pages: How many pages; always the same ones.
        every_n_epochs: Pause between pictures.
    """

    def __init__(self, *, folder: str, num_pages: int = 4, every_n_epochs: int = 1) -> None:
        super().__init__("callbacks.pictures", folder=folder, num_pages=num_pages, every_n_epochs=every_n_epochs)
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
        if not (trainer.is_global_zero and self._due(trainer)):
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

    def _log(self, logger: Any, sheet: Image.Image, step: int) -> None:
        rows = [[captions[0], *row] for row, captions in zip(self._rows, self._captions, strict=True)]
        log_picture(logger, logged.PICTURES, sheet, step=step)
        log_table(logger, logged.PAGES, ["page", *TITLES], rows, step=step)


class WorstPages(_Pages):
    """Shows the validation pages that gain least by being restored: a picture, and a table for W&B and MLflow.

    Args:
        folder: Where ``worst.png`` goes, replaced by that of each later validation.
        num_pages: How many pages.
        every_n_epochs: Pause between tables.
    """

    def __init__(self, *, folder: str, num_pages: int = 4, every_n_epochs: int = 1) -> None:
        super().__init__("callbacks.worst", folder=folder, num_pages=num_pages, every_n_epochs=every_n_epochs)
        self._worst: list[tuple[float, str, list[Tensor]]] = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the pages that are among the worst so far."""
        if not self._due(trainer):
            return
        pictures = [batch["degraded"], outputs["restored"], batch["clean"]]
        gains = psnr(pictures[1], pictures[2]) - psnr(pictures[0], pictures[2])
        limit = self._worst[-1][0] if len(self._worst) == self.num_pages else float("inf")
        for i, gain in enumerate(gains.tolist()):
            if gain < limit:
                self._worst.append((gain, batch["name"][i], [picture[i].cpu() for picture in pictures]))
        self._worst = self._lowest(self._worst)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write and log them; of all processes, where there are several."""
        if not self._due(trainer):
            return
        worst, self._worst = self._worst, []
        if trainer.world_size > 1:
            shares: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(shares, worst)
            worst = self._lowest([each for share in shares for each in share])
        if not worst or not trainer.is_global_zero:
            return
        sheet = contact_sheet([row for _, _, row in worst], [_captions(row, name) for _, name, row in worst])
        self.folder.mkdir(parents=True, exist_ok=True)
        sheet.save(self.folder / "worst.png")
        columns = ["page", "psnr_gain", "input_psnr", "psnr", "input_ssim", "ssim", *TITLES]
        rows = [[name, gain, *_scores(row), *row] for gain, name, row in worst]
        for logger in trainer.loggers:
            log_picture(logger, logged.WORST_PICTURES, sheet, step=trainer.global_step)
            log_table(logger, logged.WORST_PAGES, columns, rows, step=trainer.global_step)

    def _lowest(self, pages: list[tuple[float, str, list[Tensor]]]) -> list[tuple[float, str, list[Tensor]]]:
        return nsmallest(self.num_pages, pages, key=lambda page: page[:2])


def _captions(row: list[Tensor], name: str) -> list[str]:
    degraded, restored, clean = (picture.unsqueeze(0) for picture in row)

    def scores(picture: Tensor) -> str:
        return f"{psnr(picture, clean).item():.2f} dB / {ssim(picture, clean).item():.3f}"

    return [f"degraded {scores(degraded)}", f"restored {scores(restored)}", f"clean {Path(name).stem[:24]}"]


def _scores(row: list[Tensor]) -> list[float]:
    """PSNR of the degraded and of the restored page, then their SSIM."""
    degraded, restored, clean = (picture.unsqueeze(0) for picture in row)
    return [score(picture, clean).item() for score in (psnr, ssim) for picture in (degraded, restored)]
