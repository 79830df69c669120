"""The base class of restoration networks: any page size in, the same size and [0, 1] out."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manuscript_restore.errors import UserError
from manuscript_restore.models.colour_head import ColourHead
from manuscript_restore.models.soundness import SoundnessHead

SOUND, DAMAGED = 0.15, 0.35
"""Probability of damage up to which a place counts as sound, and from which on as damaged."""


class Prediction(NamedTuple):
    """What a network makes of a page.

    Args:
        image: The restored page, (B, 3, H, W) in [0, 1]: the very page where ``damage`` is 0.
        damage: How surely the page is visibly damaged about each pixel, (B, 1, H, W) in [0, 1]; None: of a
            network that does not say. In training the plain probability, else 0 to `SOUND` and 1 from `DAMAGED`.
        ink: Probability of ink, (B, 1, H, W); None: of a network that does not say.
    """

    image: Tensor
    damage: Tensor | None = None
    ink: Tensor | None = None


class RestorationNetwork(nn.Module):
    """Maps (B, 3, H, W) in [0, 1] to the same shape and range, for any H and W ≥ 1.

    Padding, cropping, clamping and the gate of the damage map live here, so that training, evaluation and
    restoration cannot disagree. A subclass implements `restore`.

    What is sound stays as it is, to the bit; what is damaged is restored whole, for a tenth of the noise left in
    it would be seen; between, the two are blended.

    Args:
        multiple: Sides that `restore` takes, in pixels.
        image_size: Side in pixels of the views that it is trained on.
        colour_head: Let a `ColourHead` correct the colours first.
        maps: `restore` gives the logits of damage and ink as well, and a `SoundnessHead` has a say in the damage.
    """

    memory_format = torch.channels_last
    """Of weights and images. Convolutions are up to 1.4 times faster so on a CPU (docs/explanation/model.md)."""

    def __init__(self, *, multiple: int, image_size: int, colour_head: bool = False, maps: bool = False) -> None:
        super().__init__()
        self.soundness = SoundnessHead() if maps else None
        self.colour = ColourHead() if colour_head else nn.Identity()
        self.multiple = multiple
        self.image_size = image_size

    def set_image_size(self, image_size: int) -> None:
        """Change the side of the views, in pixels."""
        self.image_size = image_size

    def restore(self, padded: Tensor) -> Tensor:
        """Restore (B, 3, H, W), H and W multiples of ``multiple``, near [0, 1].

        Returns:
            (B, 3, H, W), unbounded; or (B, 5, H, W), with the logits of damage and ink.
        """
        raise NotImplementedError

    @property
    def has_maps(self) -> bool:
        """Whether it says where there is damage and ink."""
        return self.soundness is not None

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore a batch of pages or crops; the output is clamped to [0, 1]."""
        return self.predict(degraded).image

    def look(self, degraded: Tensor) -> Tensor:
        """What is to be said of each picture as a whole, (B, 3, H, W) in [0, 1] → (B, 1): its logit of damage."""
        return degraded.new_zeros(degraded.shape[0], 1) if self.soundness is None else self.soundness(degraded)

    def predict(self, degraded: Tensor, looked: Tensor | None = None) -> Prediction:
        """Restore a batch and say where there is damage and ink.

        Args:
            degraded: (B, 3, H, W) in [0, 1].
            looked: What `look` says, (B, 1) or (1, 1), of the pages that these are tiles of: tiles that judge each
                for itself would show as patches. None: of these pictures.
        """
        height, width = degraded.shape[-2:]
        corrected = self.colour(_pad_to_multiple(degraded, self.multiple))
        raw = self.restore(corrected)[..., :height, :width]
        restored = raw[:, :3]
        if self.soundness is None:
            return Prediction(self._clamp(restored))
        looked = self.look(degraded) if looked is None else looked
        place, ink = raw[:, 3:].float().chunk(2, dim=1)
        probability, ink = (place + looked[:, :, None, None]).sigmoid(), ink.sigmoid()
        damage = ((probability - SOUND) / (DAMAGED - SOUND)).clamp(0, 1)
        gated = degraded + damage * (restored - degraded)
        return Prediction(self._clamp(gated), probability if self.training else damage, ink)

    def _clamp(self, restored: Tensor) -> Tensor:
        clamped = restored.clamp(0, 1)
        if self.training:  # a plain clamp has no gradient outside [0, 1]: such pixels would never come back
            return restored + (clamped - restored).detach()
        return clamped


def _pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Pad at the right and bottom by replication (reflection fails on pages smaller than the padding)."""
    height, width = images.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return F.pad(images, (0, right, 0, bottom), mode="replicate") if bottom or right else images


def check_levels(key: str, values: object, *, count: int | None = None, positive: bool = True) -> list[int]:
    """A list of whole numbers, one for each level, from a config.

    Args:
        key: Config key, for the message.
        values: What the config holds.
        count: How many there must be; None: at least two.
        positive: Whether 0 is refused.

    Raises:
        UserError: It is something else.
    """
    least = 1 if positive else 0
    if isinstance(values, list | tuple) and all(type(value) is int and value >= least for value in values):
        if count is None and len(values) >= 2:
            return list(values)
        if len(values) == count:
            return list(values)
    wanted = f"{count} numbers" if count else "two numbers or more"
    raise UserError(f"{key}={values}: must be {wanted}, whole and at least {least}")
