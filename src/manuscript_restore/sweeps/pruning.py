"""Ends the trainings of a sweep that promise little."""

import logging
from pathlib import Path
from typing import Any

import lightning as L

from manuscript_restore.errors import UserError
from manuscript_restore.sweeps.study import Study

log = logging.getLogger(__name__)


class Pruning(L.Callback):
    """Reports the validation score of each epoch to the study, and ends the run if its pruner says so.

    Args:
        folder: Of the sweep.
        trial: Number of the trial that this run is.
        monitor: The score.
        pruner: One of Optuna's; None only reports.
    """

    def __init__(self, folder: str, trial: str | int, monitor: str, pruner: Any = None) -> None:
        self.study, self.trial, self.monitor, self.pruner = Study(Path(folder)), int(trial), monitor, pruner
        self.pruned = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report, and perhaps stop the trainer after this epoch.

        Raises:
            UserError: The validation has no such score.
        """
        if trainer.sanity_checking:
            return
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
            raise UserError(
                f"callbacks.pruning.monitor={self.monitor}: no score of the validation, which has {known}"
            )
        epoch = trainer.current_epoch
        self.study.report(self.trial, epoch, float(trainer.callback_metrics[self.monitor]))
        trial = self.study.trials()[self.trial]
        if self.pruner is not None and self.pruner.prune(self.study.optuna, trial):
            log.info("pruned after epoch %d: others did better by then", epoch + 1)
            self.study.note(self.trial, "pruned", epoch)
            self.pruned = trainer.should_stop = True
