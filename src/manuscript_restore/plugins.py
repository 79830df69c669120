"""What other packages add by name: degradations, models and page sources.

Such a package says in its pyproject.toml, and need say nothing else:

    [project.entry-points."manuscript_restore.degradations"]
    soot = "lamp_damage:Soot"               # degradation.transforms.soot.p=0.3

    [project.entry-points."manuscript_restore.models"]
    tiny = "lamp_damage:Tiny"               # model.name=tiny

    [project.entry-points."manuscript_restore.page_sources"]
    archive = "lamp_damage:ArchiveSource"   # data.train_dir=archive://shelf/7

Only a name that the project itself does not know is looked up, so that starting takes no longer.
"""

from importlib.metadata import entry_points
from typing import TypeVar

from manuscript_restore.errors import UserError

T = TypeVar("T")


def find(group: str, name: str, kind: type[T]) -> type[T] | None:
    """The class of that name which an installed package adds; None: there is none.

    Args:
        group: ``degradations``, ``models`` or ``page_sources``.
        name: Of the entry point.
        kind: What the class must derive from.

    Raises:
        UserError: Several packages add the name, or the one that does is broken.
    """
    found = [
        (entry, entry.dist.name if entry.dist else "?") for entry in entry_points(group=_full(group), name=name)
    ]
    if not found:
        return None
    if len(found) > 1:
        packages = " and ".join(sorted(package for _, package in found))
        raise UserError(f"{name}: {packages} both add it to {_full(group)}; uninstall all but one")
    ((entry, package),) = found
    try:
        loaded = entry.load()
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises
        raise UserError(
            f"{name}: {entry.value} of the package {package} cannot be loaded ({type(error).__name__}: {error}); "
            "update or uninstall it"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, kind)):
        raise UserError(
            f"{name}: {entry.value} of the package {package} is no {kind.__name__}; update or uninstall it"
        )
    if missing := ", ".join(sorted(getattr(loaded, "__abstractmethods__", ()))):
        raise UserError(f"{name}: {entry.value} of the package {package} lacks {missing}; update or uninstall it")
    return loaded


def names(group: str) -> list[str]:
    """The names that installed packages add, for a message."""
    return sorted(entry_points(group=_full(group)).names)


def _full(group: str) -> str:
    return f"manuscript_restore.{group}"
