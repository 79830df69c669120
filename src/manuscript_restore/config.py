"""Where the configs are, how a config section becomes an object, and how a command line becomes a job."""

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from manuscript_restore.errors import UserError, check_keys, needs_section

SEVERAL = ("logger", "callbacks")
"""Groups of which a run takes any number of members."""
_NO_MEMBER = [f"{group}=null" for group in (*SEVERAL, "experiment", "debug", "hparams_search")]
"""What Hydra only reads as an empty list."""


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


class NewFolder(Callback):
    """Hydra callback: a run or sweep that starts in the same second as another gets a folder of its own.

    A folder that the command line names (a user, or Lightning for the further processes of ``trainer=ddp``), and
    the one that a resumed run or a study goes on in, are taken as they are.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Make the folder of a run."""
        if config.get("ckpt_path") is None or not Path(config.hydra.run.dir, "checkpoints").is_dir():
            self._make(config, "run")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Make the folder of a sweep."""
        self._make(config, "sweep")

    def _make(self, config: DictConfig, mode: str) -> None:
        if any(override.startswith(f"hydra.{mode}.dir=") for override in config.hydra.overrides.hydra):
            return
        wanted = Path(config.hydra[mode].dir)
        goes_on = mode == "sweep" and config.hydra.runtime.choices.get("hydra/sweeper") == "optuna"
        try:
            folder = wanted if goes_on else make_new(wanted)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # as an exception, Hydra would only warn of it and go on
            print(f"error: {config.hydra[mode].dir}: cannot be made ({error.strerror})", file=sys.stderr)
            sys.exit(1)
        with read_write(config.hydra):
            config.hydra[mode].dir = str(folder)
            config.hydra.overrides.hydra.append(override(f"hydra.{mode}.dir", str(folder)))  # for a sweep's jobs


def make_new(wanted: Path) -> Path:
    """Make a folder that nobody else has: of that name, or with ``_2``, ``_3`` … after it."""
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError


def build(config: DictConfig, where: str, **kwargs: Any) -> Any:
    """Instantiate a config section with a ``_target_``; nested sections become plain Python values or objects.

    Args:
        config: The section.
        where: Its config key, for messages.
        kwargs: Further arguments of the target that no config holds.

    Raises:
        UserError: A key that the target does not take, or the mistake that the target itself reports.
    """
    _check_section(config, where)
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
                    f"{where}: {cause}; it may be an extra: manuscript-restore[wandb,tensorboard,mlflow]"
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
        check_keys(target, {str(k): v for k, v in config.items() if not str(k).startswith("_")}, where)
    for key, value in config.items():
        if isinstance(value, DictConfig):
            _check(value, f"{where}.{key!s}")


def chosen(group: DictConfig | None, where: str) -> list[tuple[str, DictConfig]]:
    """Key and section of each member of a group; ``callbacks.pictures=null`` leaves one out."""
    members = [(f"{where}.{name!s}", section) for name, section in (group or {}).items() if section is not None]
    for key, section in members:
        _check_section(section, key)
    return members


def _check_section(value: Any, where: str) -> None:
    """Refuse a plain value where a section is needed, and say how one is chosen."""
    if isinstance(value, DictConfig):
        return
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    packages = {str(group): str(group).split("@")[-1].replace("/", ".") for group in choices}
    group = next((group for group, package in packages.items() if package == where), None)
    name = value if isinstance(value, str) else "NAME"
    choose = f"; to choose one by its name: {group}={name}" if group else ""
    raise UserError(f"{where}={value}: must be a section of keys, not a value; set {where}.KEY=…{choose}")


def plain(config: Any) -> Any:
    """A config section as plain Python values."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def call(function: Callable[..., Any], config: DictConfig) -> Any:
    """Call a function with the top-level keys of a config.

    Raises:
        UserError: A key that is no argument, or a plain value where the function needs a section.
    """
    arguments = {str(key): value for key, value in config.items()}
    for key, value in arguments.items():
        if needs_section(function, key, value):
            _check_section(value, key)
    check_keys(function, arguments, "config")
    return function(**arguments)


def run_command(function: Callable[..., object], config_name: str) -> None:
    """Run a function with the keys of a config, and what the command line overrides, as its arguments.

    A user's mistake is printed without a traceback; the exit status is then 1.
    """

    def run(config: DictConfig) -> None:
        try:
            call(function, config)
        except (UserError, OmegaConfBaseException) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted; nothing is left half-written, give the same command again", file=sys.stderr)
            sys.exit(130)

    launch(run, config_name)


def launch(job: Callable[[DictConfig], object], config_name: str) -> None:
    """Give the command line to Hydra; a message on an override that it cannot read is followed by the mend."""
    if sys.version_info >= (3, 14):
        sys.exit("error: Hydra 1.3 reads the settings, and does not start on Python 3.14; use Python 3.11 to 3.13")
    sys.argv[1:] = [f"{word[:-4]}[]" if word in _NO_MEMBER else word for word in sys.argv[1:]]
    _check_groups(sys.argv[1:])
    register_resolvers()
    try:
        hydra.main(version_base="1.3", config_path=config_dir(), config_name=config_name)(job)()
    except SystemExit as end:
        if hint := _how_to_quote(end.__context__):
            print(hint, file=sys.stderr)
        raise
    except BrokenPipeError:  # | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def override(key: str, value: str) -> str:
    """``key=value`` for a command line of Hydra, quoted if the value needs it; not yet for the shell."""
    try:
        read = OverridesParser.create().parse_override(f"{key}={value}")
        if read.value() == value and not read.is_sweep_override():
            return f"{key}={value}"
    except HydraException:
        pass
    return f"{key}={QuotedString(text=value, quote=Quote.double).with_quotes()}"


def _check_groups(arguments: Sequence[str]) -> None:
    """Refuse null, a number and the like in the place of a group's member, of which Hydra makes a traceback."""
    parser = OverridesParser.create()
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if not (equals and (members := _members(key))):
            continue
        try:
            value = parser.parse_override(argument).value()
        except HydraException:  # which Hydra itself explains
            continue
        names = value if isinstance(value, list) else [value]
        if any(name is None or isinstance(name, int | float | dict) for name in names):
            print(f"error: {argument}: must be the name of one of {', '.join(members)}", file=sys.stderr)
            sys.exit(1)


def _members(key: str) -> list[str]:
    """The names that a key of the command line may choose from; none if it is no group."""
    folder = Path(config_dir(), key.partition("@")[0])
    return sorted(path.stem for path in folder.glob("*.yaml")) if key and folder.is_dir() else []


def _how_to_quote(error: BaseException | None) -> str | None:
    """The mend for a message of Hydra's on an override, else None."""
    if isinstance(error, OverrideParseException):
        wrong = str(error.override)
    elif isinstance(error, ConfigCompositionException) and (
        found := re.search(r"Ambiguous value for argument '(.*)'$", str(error), re.MULTILINE)
    ):
        wrong = found[1]
    elif found := re.search(r"Could not override '(.*?)'", str(error)):
        return f"there is no key {found[1]}; check its spelling: --cfg job prints all keys"
    else:
        return None
    key, equals, value = wrong.partition("=")
    if not equals:
        before = sys.argv[sys.argv.index(wrong) - 1] if wrong in sys.argv[1:] else "key=value"
        whole = shlex.quote(f"{before} {wrong}")
        return f"{wrong} is not key=value; if it belongs to the word before it, write: {whole}"
    if value.startswith(("{", "[")):
        return """quote text with special characters inside the brackets: 'models={mine: "a=b.ckpt"}'"""
    if "," in value and key in SEVERAL:
        return f"for several, write: {shlex.quote(f'{key}=[{value}]')}"
    if "," in value and _members(key):
        return "for a run with each of them, add -m"
    return f"if {value} is meant as it stands, write, with both quotes: {shlex.quote(override(key, value))}"
