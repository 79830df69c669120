"""The base class of all kinds of damage."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from kornia.augmentation import IntensityAugmentationBase2D
from kornia.augmentation.random_generator import PlainUniformGenerator
from torch import Tensor

from manuscript_restore.errors import UserError

Params = dict[str, Tensor]
Severity = float | Tensor
"""Of all pages, or (b,) on the CPU: of each."""


class Degradation(IntensityAugmentationBase2D):  # type: ignore[misc]  # Kornia has no types
    """One kind of damage, as a Kornia augmentation: (B, 3, H, W) in [0, 1] to the same shape and range.

    Every sample has its own parameters. They are drawn on the CPU, whatever device the pages are on. They are
    small, and enough to repeat the damage exactly: ``transform(pages, params=transform._params)``. Every device
    changes the pages with the same arithmetic.

    A subclass names the ranges of its parameters in ``super().__init__`` and implements `damage`.

    Args:
        p: Probability that a sample is damaged.
        ranges: (low, high) of each uniform parameter, by name.
        high: Upper bound of all of them.
        counts: (fewest, most) of each parameter that is a whole number, by name.

    Attributes:
        severity: Scales the strength of what was drawn: 0 is the identity, 1 the configured range. One number, or
            one for each page, (B,).

    Raises:
        UserError: A probability outside [0, 1], or a range that is not two ascending numbers within its bounds.
    """

    severity: Severity = 1.0

    def __init__(
        self,
        *,
        p: float,
        ranges: dict[str, Sequence[float]],
        high: float = math.inf,
        counts: dict[str, Sequence[int]] | None = None,
    ) -> None:
        name = type(self).__name__
        if not (isinstance(p, int | float) and 0 <= p <= 1):
            raise UserError(f"{name}.p={p}: must be between 0 and 1")
        for key, bounds in ranges.items():
            check_range(f"{name}.{key}", bounds, high=high)
        for key, limits in (counts or {}).items():
            check_range(f"{name}.{key}", limits, whole=True)
        super().__init__(p=p)
        self.counts = {key: (limits[0], limits[1]) for key, limits in (counts or {}).items()}
        self._param_generator = PlainUniformGenerator(
            *((tuple(map(float, bounds)), key, None, None) for key, bounds in ranges.items())
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor | None:
        """Damage pages in place.

        The pages come one by one. A gathered batch would have to be copied there and back; a single page fits into
        a CPU's cache, so that several operations on it cost little more than one.

        Args:
            pages: At least one; contiguous (3, H, W) in [0, 1]; must stay in it.
            params: What was drawn, (len(pages),) or (len(pages), …) each, on the CPU.
            severity: Greater than 0; of all pages, or (len(pages),) of each.

        Returns:
            Where and how much the pages are covered, (len(pages), 1, h, w) in [0, 1] at any resolution; None if
            the change of the pixels says it.
        """
        raise NotImplementedError

    def borrow(self, batch: Tensor, params: Params) -> Params:
        """What the damage needs from other pages of the batch, before they are damaged; by default nothing."""
        return {}

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw the uniform parameters, and for each sample a seed for everything else that is random."""
        params: Params = super().generate_parameters(batch_shape)
        params["seed"] = torch.randint(2**31 - 1, (batch_shape[0],))
        for key, (fewest, most) in self.counts.items():
            params[key] = torch.randint(fewest, most + 1, (batch_shape[0],))
        return params

    def with_mask(self, pages: Tensor, params: Params | None = None) -> tuple[Tensor, Tensor]:
        """Damage a copy of the pages, and say where.

        Args:
            pages: (B, 3, H, W) in [0, 1].
            params: What an earlier call drew; new if not given.

        Returns:
            The damaged pages, and the mask (B, 1, H, W): 0 where nothing was touched, up to 1.
        """
        self._params = self.forward_parameters(pages.shape) if params is None else params
        mask = torch.zeros_like(pages[:, :1])
        damaged = pages.clone(memory_format=torch.contiguous_format)
        return self.damage_chosen(damaged, self._params, mask), mask

    def transform_inputs(
        self,
        input: Tensor,
        params: Params,
        flags: dict[str, Any],
        transform: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Kornia's gate; its own damages every sample and then chooses."""
        return self.damage_chosen(input.clone(memory_format=torch.contiguous_format), params)

    def damage_chosen(
        self, pages: Tensor, params: Params, damage_map: Tensor | None = None, severity: Severity | None = None
    ) -> Tensor:
        """Damage in place the samples that the draw has chosen, and return the batch.

        Args:
            pages: (B, 3, H, W), contiguous.
            params: What was drawn.
            damage_map: (B, 1, H, W), to which what is touched is added as a soft union.
            severity: In place of the transform's own; a number, or (B,).
        """
        severity = self.severity if severity is None else severity
        chosen = ((params["batch_prob"] > 0.5) & (torch.as_tensor(severity) > 0)).nonzero().flatten()
        if len(chosen):
            # Kornia adds the shape, and its containers further options, to what was drawn.
            others = ("batch_prob", "forward_input_shape")
            drawn = {k: v[chosen] for k, v in params.items() if isinstance(v, Tensor) and k not in others}
            drawn |= self.borrow(pages, drawn)
            before = None if damage_map is None else pages[chosen]
            severity = severity[chosen] if isinstance(severity, Tensor) else severity
            cover = self.damage([pages[i] for i in chosen.tolist()], drawn, severity)
            if damage_map is not None and before is not None:
                touched = change(before, pages[chosen]) if cover is None else cover.clamp(0, 1)
                add_to_map(damage_map, touched, chosen)
        return pages


def per_page(severity: Severity, num_pages: int) -> list[float]:
    """The severity of each page as a number."""
    return severity.tolist() if isinstance(severity, Tensor) else [severity] * num_pages


def change(before: Tensor, after: Tensor) -> Tensor:
    """How much pixels have changed, (b, 1, h, w) in [0, 1]: 1 from a quarter of the range on."""
    return (4 * (after - before).abs().amax(dim=1, keepdim=True)).clamp(max=1)


def add_to_map(damage_map: Tensor, touched: Tensor, chosen: Tensor) -> None:
    """Soft union in place, 1 − (1 − a)(1 − b), of the chosen samples' map and what is touched, scaled up."""
    if touched.shape[-2:] != damage_map.shape[-2:]:
        touched = F.interpolate(touched, damage_map.shape[-2:], mode="bilinear")
    chosen = chosen.to(damage_map.device)
    damage_map[chosen] = 1 - (1 - damage_map[chosen]) * (1 - touched.to(damage_map))


def check_range(where: str, bounds: Any, *, high: float = math.inf, whole: bool = False) -> None:
    """Check a range that a config gives.

    Args:
        where: Class and argument, for the message.
        bounds: Should be two finite numbers, ascending from 0 or more.
        high: The most that the larger one may be.
        whole: Whether they must be integers.

    Raises:
        UserError: They are not.
    """
    kinds = int if whole else int | float
    pair = isinstance(bounds, Sequence) and len(bounds) == 2 and all(isinstance(b, kinds) for b in bounds)
    if pair and 0 <= bounds[0] <= bounds[1] <= high and bounds[1] < math.inf:
        return
    limit = "" if high == math.inf else f" ≤ {high:g}"
    numbers = "whole numbers " if whole else ""
    raise UserError(f"{where}={bounds}: must be {numbers}[low, high] with 0 ≤ low ≤ high{limit}")
