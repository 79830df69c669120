"""The scores of one restored picture, with the name and meaning of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from manuscript_restore import metrics
from manuscript_restore.evaluation import ocr
from manuscript_restore.evaluation.pairs import Pair
from manuscript_restore.evaluation.peers import BINARISERS
from manuscript_restore.images.tensors import to_array, to_uint8
from manuscript_restore.metrics.binary import Mask, binary_scores
from manuscript_restore.metrics.learned import Score


@dataclass(frozen=True)
class ScoreInfo:
    """How a score is shown: title, unit, digits after the point, and which way is better."""

    title: str
    digits: int
    higher_is_better: bool
    unit: str = ""


PICTURE_SCORES: dict[str, tuple[ScoreInfo, Callable[[Tensor, Tensor], Tensor]]] = {
    "psnr": (ScoreInfo("PSNR", 2, True, "dB"), metrics.psnr),
    "psnr_colour_fit": (ScoreInfo("PSNR after colour fit", 2, True, "dB"), metrics.psnr_after_colour_fit),
    "ssim": (ScoreInfo("SSIM", 4, True), metrics.ssim),
    "ms_ssim": (ScoreInfo("MS-SSIM", 4, True), metrics.ms_ssim),
    "mse": (ScoreInfo("MSE", 5, False), metrics.mse),
    "delta_e": (ScoreInfo("ΔE2000", 2, False), metrics.delta_e),
}
NO_HARM, UNTOUCHED_SHARE = "no_harm_psnr", "no_harm_untouched"
OF_CLEAN = {
    NO_HARM: ScoreInfo("PSNR of clean pages, restored", 2, True, "dB"),
    UNTOUCHED_SHARE: ScoreInfo("clean pages left as they are", 0, True, "%"),
}
MASK_INFO = {
    "f_measure": ScoreInfo("F-measure", 2, True, "%"),
    "pseudo_f_measure": ScoreInfo("pseudo-F-measure", 2, True, "%"),
    "binary_psnr": ScoreInfo("binary PSNR", 2, True, "dB"),
    "drd": ScoreInfo("DRD", 2, False),
    "nrm": ScoreInfo("NRM", 4, False),
    "mpm": ScoreInfo("MPM", 5, False),
}
INK_MAP = "ink"
INK_SOURCES = {"otsu": "Otsu", "sauvola": "Sauvola", INK_MAP: "ink map"}
READING_INFO = {
    "cer": ScoreInfo("CER", 3, False),
    "cer_unsafe": ScoreInfo("CER, unsafe part", 3, False),
    "cer_safe": ScoreInfo("CER, safe part", 3, False),
    "wer": ScoreInfo("WER", 3, False),
    "wer_unsafe": ScoreInfo("WER, unsafe part", 3, False),
    "wer_safe": ScoreInfo("WER, safe part", 3, False),
}


def describe(score: str) -> ScoreInfo:
    """What is known about a score of any name that `Judge` gives."""
    if score in OF_CLEAN:
        return OF_CLEAN[score]
    if score in PICTURE_SCORES:
        return PICTURE_SCORES[score][0]
    if score in READING_INFO:
        return READING_INFO[score]
    threshold, _, mask_score = score.partition("/")
    if mask_score in MASK_INFO:
        info = MASK_INFO[mask_score]
        title = f"{info.title} ({INK_SOURCES[threshold]})"
        return ScoreInfo(title, info.digits, info.higher_is_better, info.unit)
    return ScoreInfo(score.upper(), 4, False)  # LPIPS and DISTS


@dataclass(frozen=True)
class Judge:
    """Scores pictures by whatever their pair knows: the clean page, the ink, the text.

    Args:
        learned: Further scores of pictures, by name.
        language: Of Tesseract.
        layout: Tesseract's page segmentation mode.
    """

    learned: Mapping[str, Score] = field(default_factory=dict)
    language: str = "san"
    layout: int = 6

    def scores(self, picture: Tensor, pair: Pair, ink: Mask | None = None) -> dict[str, float]:
        """All scores of a picture (3, H, W) in [0, 1], rounded to 8 bits beforehand.

        Args:
            picture: Restored or not.
            pair: What it is judged by.
            ink: What the method itself takes for ink, if it says so, bool (H, W).
        """
        scores: dict[str, float] = {}
        if pair.clean is not None:
            scores |= self._compare(picture[None], pair.clean[None])
        if pair.ink is not None:
            masks = {threshold: binarise(picture) for threshold, binarise in BINARISERS.items()}
            masks |= {} if ink is None else {INK_MAP: ink}
            for source, mask in masks.items():
                found = binary_scores(mask, pair.ink)
                scores |= {f"{source}/{name}": value for name, value in found.items()}
        if pair.text is not None:
            scores |= self.reading(picture, pair.text)
        return scores

    def reading(self, picture: Tensor, truth: str) -> dict[str, float]:
        """Error rates of what Tesseract reads on a picture (3, H, W) in [0, 1]."""
        read = ocr.read_text(to_array(to_uint8(picture)), language=self.language, layout=self.layout)
        scores = {}
        for name, errors in (("cer", ocr.character_errors(read, truth)), ("wer", ocr.word_errors(read, truth))):
            scores[name] = errors.rate
            scores[f"{name}_unsafe"] = errors.unsafe_rate
            scores[f"{name}_safe"] = errors.safe_rate
        return scores

    def _compare(self, picture: Tensor, clean: Tensor) -> dict[str, float]:
        functions = {name: function for name, (_, function) in PICTURE_SCORES.items()} | dict(self.learned)
        with torch.inference_mode():
            return {name: float(function(picture, clean)[0]) for name, function in functions.items()}
