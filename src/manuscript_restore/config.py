"""Where the configs are, and how a config section becomes an object."""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from manuscript_restore.errors import UserError, check_keys


def config_dir() -> str:
    """Absolute path of the configs: beside the package when installed, else the repository's."""
    packaged = Path(__file__).resolve().parent / "configs"
    if (packaged / "train.yaml").is_file():
        return str(packaged)
    return str(Path(__file__).resolve().parents[2] / "configs")


def register_resolvers() -> None:
    """Make ``${run_dir:ckpt_path,name}`` known to the configs; needed once, before Hydra composes."""
    OmegaConf.register_new_resolver("run_dir", run_dir, replace=True, use_cache=True)


def compose(command: str, *overrides: str) -> DictConfig:
    """The config that a command would get with these words behind it: ``compose("train", "experiment=crops")``."""
    register_resolvers()
    with hydra.initialize_config_dir(config_dir(), version_base="1.3"):
        return hydra.compose(command, list(overrides))


def run_dir(ckpt_path: str | None, name: str) -> str:
    """Output folder of a run: a new one, or the one of the checkpoint that is resumed."""
    if ckpt_path is not None and Path(ckpt_path).parent.name == "checkpoints":
        return str(Path(ckpt_path).parent.parent)
    return f"outputs/train/{name}/{datetime.now():%Y-%m-%d_%H-%M-%S}"


def build(config: DictConfig, where: str, **kwargs: Any) -> Any:
    """Instantiate a config section with a ``_target_``; nested sections become plain Python values or objects.

    Args:
        config: The section.
        where: Its config key, for messages.
        kwargs: Further arguments of the target that no config holds.

    Raises:
        UserError: A key that the target does not take, or the mistake that the target itself reports.
    """
    if not config.get("_target_"):
        raise UserError(f"{where}._target_: missing; name the class to build, or choose one of the {where} group")
    _check(config, where)
    for key in kwargs:
        if key in config:
            raise UserError(f"{where}.{key}: not to be set here, it comes from elsewhere in the config; remove it")
    try:
        return instantiate(config, **kwargs, _convert_="all")
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None:  # Hydra wraps what a target raises
            if isinstance(cause, UserError):
                raise cause from error
            if isinstance(cause, ModuleNotFoundError):
                raise UserError(
                    f"{where}: {cause}; it may be an extra: manuscript-restore[wandb,tensorboard]"
                ) from error
            cause = cause.__cause__
        raise UserError(f"{where}: {error.__cause__ or error}") from error


def _check(config: DictConfig, where: str) -> None:
    """Check the keys of a section, and of those below it, against the targets that will receive them."""
    name = str(config.get("_target_") or "")
    if name:
        try:
            target = get_object(name)
        except Exception as error:
            raise UserError(f"{where}._target_={name}: cannot be imported ({error})") from error
        check_keys(target, [str(key) for key in config if not str(key).startswith("_")], where)
    for key, value in config.items():
        if isinstance(value, DictConfig):
            _check(value, f"{where}.{key!s}")


def chosen(group: DictConfig | None) -> list[tuple[str, DictConfig]]:
    """Name and section of each member of a group; ``callbacks.pictures=null`` leaves one out."""
    return [(str(name), section) for name, section in (group or {}).items() if section]


def plain(config: Any) -> Any:
    """A config section as plain Python values."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def run_command(function: Callable[..., object], config_name: str) -> None:
    """Run a function with the keys of a config, and what the command line overrides, as its arguments.

    A user's mistake is printed without a traceback; the exit status is then 1.
    """

    def run(config: DictConfig) -> None:
        try:
            check_keys(function, [str(key) for key in config], "config")
            function(**{str(key): value for key, value in config.items()})
        except (UserError, OmegaConfBaseException) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)

    register_resolvers()
    hydra.main(version_base="1.3", config_path=config_dir(), config_name=config_name)(run)()
