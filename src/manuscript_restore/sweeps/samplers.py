"""Samplers of sweeps, on top of Optuna's."""

import itertools
import math
import random
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

TRIES = 20


class NoRepeats(BaseSampler):  # type: ignore[misc]
    """Another sampler, asked again as long as it proposes what has been tried; in the end, by chance of the rest.

    TPE repeats itself in spaces of a few choices.

    Args:
        sampler: The other one.
        space: Distribution of each parameter.
        seed: Of what is left to chance.
    """

    def __init__(self, sampler: BaseSampler, space: Mapping[str, BaseDistribution], seed: int) -> None:
        self.sampler, self.space, self.seed = sampler, dict(space), seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All of it: whole sets of parameters are compared."""
        return self.space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A new set of parameters."""
        others = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number]
        tried = {_key(each.params) for each in others}
        waiting = [each for each in others if each.state == TrialState.WAITING]
        tried |= {_key(each.system_attrs.get("fixed_params", {})) for each in waiting}
        relative = self.sampler.infer_relative_search_space(study, trial)
        for _ in range(TRIES):
            params = dict(self.sampler.sample_relative(study, trial, relative))
            for name, distribution in search_space.items():
                if name not in params:
                    params[name] = self.sampler.sample_independent(study, trial, name, distribution)
            if _key(params) not in tried:
                return params
        values = [list(_values(distribution)) for distribution in search_space.values()]
        sets = (dict(zip(search_space, each, strict=True)) for each in itertools.product(*values))
        return random.Random(self.seed).choice([each for each in sets if _key(each) not in tried] or [params])

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """As the other."""
        return self.sampler.sample_independent(study, trial, name, distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the other."""
        self.sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """As the other."""
        self.sampler.after_trial(study, trial, state, values)


def num_sets(space: Mapping[str, BaseDistribution]) -> float:
    """How many sets of parameters there are: infinity if one is continuous."""
    return math.prod(_num_values(each) for each in space.values())


def _num_values(distribution: BaseDistribution) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if distribution.step is None:  # else a whole number, or one with steps
        return math.inf
    return 1 + round(float(distribution.high - distribution.low) / float(distribution.step))


def _values(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    if distribution.step is None:
        return ()  # continuous: nothing to choose from, and nothing that repeats itself
    return (distribution.low + i * distribution.step for i in range(int(_num_values(distribution))))


def _key(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The parameters as text: a float that was stepped to in another way is the same."""
    return tuple(
        (name, f"{value:.12g}" if isinstance(value, float) else str(value))
        for name, value in sorted(params.items())
    )
