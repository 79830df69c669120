"""Mistakes that the user can mend, and the check of keyword arguments that come from a config."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any


class UserError(Exception):
    """Bad input or configuration: the message names the file or config key and the mend.

    Entry points print the message alone, without a traceback, and exit with status 1.
    """


def check_keys(function: Callable[..., Any], keys: Iterable[str], where: str) -> None:
    """Check config keys against the parameters of the function that will receive them.

    Args:
        function: Function or class; one with ``**kwargs`` accepts every key.
        keys: The keys that the config holds.
        where: Config key of the section, for the message: ``"model.decoder"``.

    Raises:
        UserError: A key is not a parameter of ``function``; the known ones are listed.
    """
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in keys:
        if key not in parameters:
            close = difflib.get_close_matches(key, parameters, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise UserError(f"{where}.{key}: unknown key{hint}; known keys: {', '.join(sorted(parameters))}")
