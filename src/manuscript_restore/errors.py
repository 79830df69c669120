"""Mistakes that the user can mend, and the check of keyword arguments that come from a config."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin


class UserError(Exception):
    """Bad input or configuration: the message names the file or config key and the mend.

    Entry points print the message alone, without a traceback, and exit with status 1.
    """


def check_keys(function: Callable[..., Any], section: Mapping[str, Any], where: str) -> None:
    """Check a config section against the parameters of the function that will receive it.

    Args:
        function: Function or class; one with ``**kwargs`` accepts every key.
        section: Keys and values that the config holds.
        where: Config key of the section, for the message: ``"model.decoder"``.

    Raises:
        UserError: A key is not a parameter of ``function``, and the known ones are listed; or it holds a plain
            value where the parameter is a mapping, or text where it is a number or a truth value.
    """
    parameters = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key, value in section.items():
        if key not in parameters and not takes_all:
            close = difflib.get_close_matches(key, parameters, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise UserError(f"{where}.{key}: unknown key{hint}; known keys: {', '.join(sorted(parameters))}")
        if needs_section(function, key, value):
            name = f"{where}.{key}"
            raise UserError(f"{name}={value}: must be a section of keys, not a value; set {name}.KEY=…")
        if isinstance(value, str) and (kinds := _kinds(function, key)) <= {int, float, bool, NoneType}:
            wanted = "a number" if kinds & {int, float} else "true or false"
            raise UserError(f"{where}.{key}={value}: must be {wanted}")


def needs_section(function: Callable[..., Any], key: str, value: Any) -> bool:
    """Whether a parameter takes nothing but mappings (and perhaps None), and the value is something else."""
    if isinstance(value, Mapping):
        return False
    kinds = _kinds(function, key)
    if value is None and NoneType in kinds:
        return False
    return all(isinstance(kind, type) and issubclass(kind, Mapping | NoneType) for kind in kinds)


def _kinds(function: Callable[..., Any], key: str) -> set[Any]:
    """The types that a parameter is annotated with; `inspect.Parameter.empty` where there is none."""
    parameter = inspect.signature(function).parameters.get(key)
    annotation = parameter.annotation if parameter else inspect.Parameter.empty
    union = get_origin(annotation) in (Union, UnionType)
    return {get_origin(kind) or kind for kind in (get_args(annotation) if union else (annotation,))}
