"""Several kinds of damage, one after the other."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import torch
from kornia.augmentation.base import _BasicAugmentationBase
from kornia.augmentation.random_generator import RandomGeneratorBase
from torch import Tensor, nn

from manuscript_restore import plugins
from manuscript_restore.degradation.base import Degradation, Severity, add_to_map, change, check_range
from manuscript_restore.errors import UserError, check_keys

SECOND = "/"  # marks the parameters of later rounds: "stains", "stains/2"
SEVERITY = "severity"  # among the parameters, where pages differ in it: (rounds, B)


class DegradationPipeline(nn.Module):
    """Applies transforms one after the other: (B, 3, H, W) in [0, 1] to the same shape and range.

    The damage is a pure function of pages and seed; the caller's random state is left alone. Parameters are drawn
    on the CPU and kept in `params`, in the order of application; `replay` repeats them on any device.

    Args:
        transforms: Name → `Degradation`, or any augmentation or container of Kornia's that keeps the shape; or the
            arguments of the `Degradation` that another package adds by that name (`plugins`).
        severity: Scales all strengths: 0 leaves the page as it is; [low, high] is drawn anew for every page. For
            an augmentation of Kornia's, which knows no severity, the result is blended with what came in (and not
            strengthened above 1).
        order: ``fixed``, as in the config, or ``shuffled`` anew for every batch.
        num_per_page: Fewest and most transforms that a page gets, drawn with weights `p` and without repeating
            one; without it, and for Kornia's containers always, each is drawn on its own with probability `p`.
        rounds: The severity of each round, as a share of `severity`: [1.0, 0.5] runs everything twice, the second
            time at half strength, as in the second-order degradation of Real-ESRGAN (Wang et al. 2021).
        rounds_per_page: Fewest and most rounds that a page gets; all of them if not given.
        sound: Share of the pages that stay as they are.

    Raises:
        UserError: A severity that is negative or infinite, a transform that is no augmentation, a wrong order,
            number or share.
    """

    def __init__(
        self,
        transforms: Mapping[str, nn.Module | Mapping[str, Any]] | None = None,
        severity: float | Sequence[float] = 1.0,
        order: Literal["fixed", "shuffled"] = "fixed",
        num_per_page: Sequence[int] | None = None,
        rounds: Sequence[float] = (1.0,),
        rounds_per_page: Sequence[int] | None = None,
        sound: float = 0.0,
    ) -> None:
        super().__init__()
        modules = {name: _transform(name, each) for name, each in (transforms or {}).items()}
        if isinstance(severity, Sequence):
            check_range("degradation.severity", severity)
        for strength in rounds if isinstance(severity, Sequence) else (severity, *rounds):
            if not isinstance(strength, int | float) or not 0 <= strength < math.inf:
                key = "severity" if strength is severity else "rounds"
                raise UserError(f"degradation.{key}={strength}: must be a number of at least 0")
        if order not in ("fixed", "shuffled"):
            raise UserError(f"degradation.order={order}: must be fixed or shuffled")
        if num_per_page is not None:
            check_range("degradation.num_per_page", num_per_page, whole=True)
        if rounds_per_page is not None:
            check_range("degradation.rounds_per_page", rounds_per_page, high=len(rounds), whole=True)
        if not (isinstance(sound, int | float) and 0 <= sound <= 1):
            raise UserError(f"degradation.sound={sound}: must be between 0 and 1")
        self.transforms: Mapping[str, Any] = nn.ModuleDict(modules)  # type: ignore[assignment]
        self.severity = severity
        self.order = order
        self.num_per_page = num_per_page
        self.rounds = tuple(rounds)
        self.rounds_per_page = rounds_per_page
        self.sound = sound
        self.params: dict[str, Any] = {}

    @property
    def kinds(self) -> list[str]:
        """Names of the transforms that a page may get, sorted."""
        strongest = max(self.severity) if isinstance(self.severity, Sequence) else self.severity
        return sorted(n for n, each in self.transforms.items() if getattr(each, "p", 1) and strongest)

    @torch.no_grad()
    def forward(self, clean: Tensor, *, seed: int) -> Tensor:
        """Damage a batch; the same pages and seed give the same result."""
        return self._damage(clean, seed, None)

    @torch.no_grad()
    def with_map(self, clean: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
        """Damage a batch as `forward` does, and say where.

        Returns:
            The degraded pages, and (B, 1, H, W): how much each pixel was touched, 0 to 1, as the soft union
            1 − Π(1 − mask) of all transforms' masks.
        """
        damage_map = torch.zeros_like(clean[:, :1], dtype=torch.float32)
        return self._damage(clean, seed, damage_map), damage_map

    @torch.no_grad()
    def replay(self, clean: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Damage a batch with the `params` of an earlier call.

        Raises:
            UserError: A transform changes the shape, or the pipeline has none of that name.
        """
        return self._apply_all(clean, params)

    def applied(self, page: int = 0) -> tuple[str, ...]:
        """Names of the transforms that a page of the last batch got, in order; a Kornia container counts."""
        names = dict.fromkeys(
            name
            for name, severity, drawn in self._steps(self.params)
            if (severity[page] if isinstance(severity, Tensor) else severity) > 0
            and (not isinstance(drawn, Mapping) or "batch_prob" not in drawn or drawn["batch_prob"][page] > 0.5)
        )
        return tuple(names)

    def _damage(self, clean: Tensor, seed: int, damage_map: Tensor | None) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the caller's CUDA
            self.params = self._draw(clean)
            return self._apply_all(clean, self.params, damage_map)

    def _draw(self, clean: Tensor) -> dict[str, Any]:
        """Draw the parameters of all rounds, in the order of application."""
        params = self._draw_severity(len(clean))
        for number in range(1, len(self.rounds) + 1):
            names = list(self.transforms)
            if self.order == "shuffled":
                names = [names[i] for i in torch.randperm(len(names)).tolist()]
            chosen = self._choose(len(clean))
            for name in names:
                key = name if number == 1 else f"{name}{SECOND}{number}"
                params[key] = self.transforms[name].forward_parameters(clean.shape)
                if name in chosen:
                    params[key]["batch_prob"] = chosen[name]
        return params

    def _draw_severity(self, num_pages: int) -> dict[str, Any]:
        """Where pages differ, the severity of each round on each page, (rounds, B): 0 for what is left out."""
        if not (isinstance(self.severity, Sequence) or self.rounds_per_page or self.sound):
            return {}
        low, high = self.severity if isinstance(self.severity, Sequence) else (self.severity, self.severity)
        severity = (low + (high - low) * torch.rand(num_pages)) * torch.tensor(self.rounds)[:, None]
        fewest, most = self.rounds_per_page or (len(self.rounds), len(self.rounds))
        skipped = torch.arange(len(self.rounds))[:, None] >= torch.randint(fewest, most + 1, (num_pages,))
        return {SEVERITY: severity.masked_fill(skipped | (torch.rand(num_pages) < self.sound), 0)}

    def _choose(self, num_pages: int) -> dict[str, Tensor]:
        """Which pages get which transform, (B,) of 0 and 1 by name, where a number per page is asked for."""
        if self.num_per_page is None:
            return {}
        weights = {name: float(getattr(each, "p", 0)) for name, each in self.transforms.items()}
        weights = {name: weight for name, weight in weights.items() if weight > 0}
        fewest, most = self.num_per_page
        numbers = torch.randint(fewest, most + 1, (num_pages, 1))
        # The largest of u^(1/w) are a weighted draw without repetition (Efraimidis and Spirakis 2006).
        keys = torch.rand(num_pages, len(weights)) ** (1 / torch.tensor(list(weights.values())))
        ranks = keys.argsort(dim=1, descending=True).argsort(dim=1)
        return dict(zip(weights, (ranks < numbers).float().unbind(1), strict=True))

    def _apply_all(self, clean: Tensor, params: Mapping[str, Any], damage_map: Tensor | None = None) -> Tensor:
        degraded = clean.float().clone(memory_format=torch.contiguous_format)
        with torch.autocast(clean.device.type, enabled=False):
            for name, severity, drawn in self._steps(params):
                if name not in self.transforms:
                    raise UserError(f"degradation.transforms.{name}: was drawn, but is not in this pipeline")
                transform = self.transforms[name]
                if isinstance(transform, Degradation):
                    degraded = transform.damage_chosen(degraded, drawn, damage_map, severity)
                else:
                    degraded = _apply_theirs(name, transform, degraded, drawn, severity, damage_map)
        return degraded.clamp_(0, 1)

    def _steps(self, params: Mapping[str, Any]) -> Iterator[tuple[str, Severity, Any]]:
        """Name, severity and parameters of what was drawn, in the order of application."""
        severities: Any = params.get(SEVERITY)
        if severities is None and params:
            if isinstance(self.severity, Sequence):
                raise UserError(f"degradation.severity={self.severity}: the parameters lack what was drawn of it")
            severities = [self.severity * share for share in self.rounds]
        for key, drawn in params.items():
            name, _, number = key.partition(SECOND)
            if key != SEVERITY:
                yield name, severities[int(number or 1) - 1], drawn

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move what has weights, but keep drawing on the CPU in float32: draws must not depend on the device."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for module in self.modules():
            if isinstance(module, _BasicAugmentationBase | RandomGeneratorBase):
                module.set_rng_device_and_dtype(torch.device("cpu"), torch.float32)
        return self


def _transform(name: str, transform: Any) -> nn.Module:
    where = f"degradation.transforms.{name}"
    if isinstance(transform, Mapping) and (kind := plugins.find("degradations", name, Degradation)):
        check_keys(kind, transform, where)
        transform = kind(**transform)
    if not isinstance(transform, nn.Module):
        known = ", ".join(plugins.names("degradations")) or "none"
        raise UserError(
            f"{where}: needs a _target_ that is a transform, and its values; or a name that another package adds "
            f"({known} installed)"
        )
    if not hasattr(transform, "forward_parameters"):
        raise UserError(
            f"{where}: {type(transform).__name__} is no Kornia augmentation; put it into a "
            "kornia.augmentation.ImageSequential"
        )
    if SECOND in name or name == SEVERITY:
        raise UserError(f"{where}: a name must not contain {SECOND!r}, nor be {SEVERITY!r}")
    return transform


def _apply_theirs(
    name: str, transform: nn.Module, pages: Tensor, params: Any, severity: Severity, damage_map: Tensor | None
) -> Tensor:
    """Apply an augmentation of Kornia's, blended by severity."""
    changed = transform(pages, params=params)
    if changed.shape != pages.shape:
        raise UserError(
            f"degradation.transforms.{name}: makes {(*changed.shape,)} of {(*pages.shape,)}; "
            "use augmentations that keep the shape"
        )
    share = torch.as_tensor(severity, dtype=torch.float32, device=pages.device).clamp(max=1)
    degraded = torch.lerp(pages, changed.float(), share.view(-1, 1, 1, 1)).contiguous()
    if damage_map is not None:
        add_to_map(damage_map, change(pages, degraded), torch.arange(len(pages)))
    return degraded
