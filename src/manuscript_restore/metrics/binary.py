"""Scores of ink masks as the DIBCO contests measure them: two masks (H, W), True is ink.

Each function's docstring names its source. `binary_scores` computes them all.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from manuscript_restore.metrics.pictures import PSNR_CAP_DB
from manuscript_restore.metrics.strokes import Strokes

Mask = NDArray[np.bool_]
DRD_RADIUS = 2
DRD_BLOCK = 8


def binary_scores(result: Mask, truth: Mask) -> dict[str, float]:
    """F-measure, pseudo-F-measure (both in percent), PSNR (dB), DRD, NRM and MPM of a mask.

    Args:
        result: The mask to judge.
        truth: The true ink; some of its pixels must be ink, and some not.
    """
    counts = Counts.of(result, truth)
    return {
        "f_measure": f_measure(counts.recall, counts.precision),
        "pseudo_f_measure": pseudo_f_measure(result, truth),
        "binary_psnr": counts.psnr,
        "drd": drd(result, truth),
        "nrm": counts.nrm,
        "mpm": mpm(result, truth),
    }


@dataclass(frozen=True)
class Counts:
    """Pixels that are ink in both masks, in the result alone, in the truth alone, in neither."""

    both: int
    result_only: int
    truth_only: int
    neither: int

    @classmethod
    def of(cls, result: Mask, truth: Mask) -> "Counts":
        """Count."""
        both, in_result, in_truth = (int(mask.sum()) for mask in (result & truth, result, truth))
        return cls(both, in_result - both, in_truth - both, truth.size - in_result - in_truth + both)

    @property
    def recall(self) -> float:
        """Share of the true ink that was found."""
        return self.both / (self.both + self.truth_only)

    @property
    def precision(self) -> float:
        """Share of the found ink that is true; 0 if none was found."""
        return self.both / max(1, self.both + self.result_only)

    @property
    def psnr(self) -> float:
        """PSNR of the masks as pictures of 0 and 1, in dB, capped as `metrics.psnr` is."""
        wrong = self.result_only + self.truth_only
        total = wrong + self.both + self.neither
        return min(PSNR_CAP_DB, float(-10 * np.log10(wrong / total))) if wrong else PSNR_CAP_DB

    @property
    def nrm(self) -> float:
        """Negative rate metric, 0 to 1: mean of the rates of missed ink and of false ink.

        Source: DIBCO 2009 (Gatos, Ntirogiannis & Pratikakis 2009), eq. 5.
        """
        missed = self.truth_only / (self.both + self.truth_only)
        return (missed + self.result_only / (self.result_only + self.neither)) / 2


def f_measure(recall: float, precision: float) -> float:
    """Harmonic mean of recall and precision, in percent."""
    return 100 * 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def drd(result: Mask, truth: Mask) -> float:
    """Distance reciprocal distortion, 0 or more: how visible the wrong pixels are.

    A wrong pixel costs the share of its 5×5 neighbourhood in the truth, weighted by 1 / distance, that it differs
    from; the sum is divided by the number of 8×8 blocks of the truth that hold both ink and support. Beyond the
    border nothing is counted.

    Source: Lu, Kot & Shi 2004; as in DIBCO 2011.
    """
    side = np.arange(-DRD_RADIUS, DRD_RADIUS + 1)
    distance = np.hypot(side[:, None], side)
    weights = np.divide(1, distance, out=np.zeros_like(distance), where=distance > 0)
    weights /= weights.sum()
    ink, support = (
        cv2.filter2D(mask.astype(np.float64), -1, weights, borderType=cv2.BORDER_CONSTANT)
        for mask in (truth, ~truth)
    )
    cost = support[result & ~truth].sum() + ink[truth & ~result].sum()
    return float(cost / max(1, _mixed_blocks(truth)))


def _mixed_blocks(truth: Mask) -> int:
    """Number of whole 8×8 blocks that are neither all ink nor all support."""
    height, width = (side - side % DRD_BLOCK for side in truth.shape)
    blocks = truth[:height, :width].reshape(height // DRD_BLOCK, DRD_BLOCK, width // DRD_BLOCK, DRD_BLOCK)
    ink = blocks.sum(axis=(1, 3))
    return int(((ink > 0) & (ink < DRD_BLOCK**2)).sum())


def mpm(result: Mask, truth: Mask) -> float:
    """Misclassification penalty metric, 0 to 1: wrong pixels weighted by their distance from the contour.

    The sums of those (Euclidean) distances, of false and of missed ink, are divided by the sum over all pixels,
    and averaged. The paper's words also allow a sum over the ink alone; that gives values far above the contest's.

    Source: DIBCO 2009 (Gatos, Ntirogiannis & Pratikakis 2009), eq. 6; the contest's tables give it times 1000.
    """
    distance = Strokes.contour_distance(truth, cv2.DIST_L2)
    return float(distance[result != truth].sum(dtype=np.float64) / (2 * distance.sum(dtype=np.float64)))


def pseudo_f_measure(result: Mask, truth: Mask) -> float:
    """F-measure in percent of the weighted recall and precision: what breaks or joins strokes counts most.

    Source: Ntirogiannis, Gatos & Pratikakis 2013, eq. 1–11; see `metrics.strokes`.
    """
    strokes = Strokes(truth)
    recall_weights, precision_weights = strokes.recall_weights(), strokes.precision_weights()
    recall = recall_weights[result & truth].sum() / recall_weights.sum()
    precision = (result & truth).sum() / max(1.0, precision_weights[result].sum())
    return f_measure(float(recall), float(precision))
