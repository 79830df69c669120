"""Where fonts come from: a package, the system's folders, or the user's own folder."""

import threading
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import devanagari_fonts
import freetype
from natsort import natsorted

from manuscript_restore.errors import UserError
from manuscript_restore.synthesis.scripts import SCRIPTS, sample_letters
from manuscript_restore.synthesis.typeface import Typeface

# Of the packaged families those that join conjuncts, near to pens first. Jaini and Jaini Purva are drawn
# after a Kalpasutra of 1503: they weigh more.
SCRIBAL = {
    "Jaini": 4.0,
    "Jaini Purva": 4.0,
    "Yatra One": 1.5,
    "Gotu": 1.0,
    "Arya": 1.0,
    "Asar": 1.0,
    "Sahitya": 1.0,
    "Sura": 1.0,
    "Sumana": 1.0,
    "Vesper Libre": 1.0,
    "Rhodium Libre": 1.0,
    "Annapurna SIL": 1.0,
    "Tiro Devanagari Sanskrit": 1.0,
    "Shobhika-1.05": 1.0,
}
PRINTED = {
    "Shobhika-1.05": 2.0,
    "Tiro Devanagari Sanskrit": 2.0,
    "Sahitya": 1.0,
    "Annapurna SIL": 1.0,
    "Sumana": 1.0,
    "Noto Serif Devanagari": 1.0,
}
SYSTEM_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/Library/Fonts")
FONT_PACKAGES = ("justmytype_intl_south_asia", "justmytype_intl_rtl", "justmytype_intl_sea")
"""The extra ``scripts``: Noto fonts (OFL) of Bengali, Tamil, Telugu, Arabic, Hebrew and Khmer, where installed."""
SUFFIXES = {".ttf", ".otf", ".ttc"}

_local = threading.local()


def find_fonts(script: str, style: str, *, folder: str | None, system: bool) -> dict[Path, float]:
    """Find the fonts for a script: file → how often it is drawn, relative to the others.

    Args:
        script: One of `SCRIPTS`.
        style: ``"scribe"`` or ``"printed"``: which of the packaged families.
        folder: Use all fonts below it that have the script's letters, and no others.
        system: Add those of the system's font folders.

    Raises:
        UserError: There is none.
    """
    if folder is not None:
        root = Path(folder)
        if not root.is_dir():
            raise UserError(f"generator.fonts_dir={folder}: no such folder; give one that holds TTF or OTF files")
        found = _fonts_below(root, script)
        if not found:
            raise UserError(f"generator.fonts_dir={folder}: holds no font with letters of the script {script}")
        return dict.fromkeys(found, 1.0)
    weights: dict[Path, float] = {}
    if SCRIPTS[script] == "Deva":
        families = SCRIBAL if style == "scribe" else PRINTED
        weights = {_packaged(family): weight for family, weight in families.items()}
    elif SCRIPTS[script] == "Latn":
        weights = {_packaged("Noto Sans", upright="NotoSans[wdth,wght].ttf"): 1.0}
    if system:
        known = {path.name for path in weights}
        paths = [path for root in SYSTEM_FOLDERS for path in _fonts_below(Path(root).expanduser(), script)]
        weights |= {path: 1.0 for path in paths if path.name not in known}
    if not weights:
        raise UserError(
            f"generator.script={script}: no font for it is packaged; install one (Debian: fonts-noto-core) and "
            "set generator.system_fonts=true, or give a folder of fonts as generator.fonts_dir"
        )
    return weights


def find_other_scripts(script: str) -> dict[str, dict[Path, float]]:
    """Fonts of all scripts but one that this machine has fonts for, in packages or the system's folders.

    Returns:
        Name of the script → font file → 1; empty where there is none.
    """
    packages = [find_spec(name) for name in FONT_PACKAGES]
    roots = [Path(place) for package in packages if package for place in package.submodule_search_locations or ()]
    roots += [Path(root).expanduser() for root in SYSTEM_FOLDERS]
    found = {
        name: [path for root in roots for path in _fonts_below(root, name) if "Mono" not in path.name]  # no pen's
        for name in SCRIPTS
    }
    found["latin"].append(_packaged("Noto Sans", upright="NotoSans[wdth,wght].ttf"))
    return {name: dict.fromkeys(paths, 1.0) for name, paths in found.items() if paths and name != script}


def load_typeface(path: Path, script: str) -> Typeface:
    """Load a font once per thread: FreeType's faces must not be shared."""
    faces: dict[tuple[Path, str], Typeface] = _local.__dict__.setdefault("faces", {})
    if (path, script) not in faces:
        faces[path, script] = Typeface(path, script)
    return faces[path, script]


def licence_of(path: Path) -> str:
    """Licence in one line, as the font file states it (OpenType name 13 or 14), or a file beside it."""
    face = freetype.Face(str(path))
    names = {}
    for i in range(face.sfnt_name_count):
        name = face.get_sfnt_name(i)
        encoding = "utf-16-be" if name.platform_id in (0, 3) else "mac_roman"
        names[name.name_id] = name.string.decode(encoding, "replace")
    if names.get(13) or names.get(14):
        return " ".join((names.get(13) or names[14]).split())
    if (path.parent / "OFL.txt").is_file():
        return "SIL Open Font License (OFL.txt beside the font)"
    return "not stated; " + " ".join(names.get(0, "").split())


def _packaged(family: str, upright: str | None = None) -> Path:
    fonts = devanagari_fonts.fonts(family)
    regular = [font.path for font in fonts if font.filename == upright or "Regular" in font.name]
    regular = regular or [font.path for font in fonts if font.variable]
    if not regular:
        raise UserError(
            f"the package devanagari-fonts has no family {family!r}; install the version that pyproject.toml names"
        )
    path: Path = regular[0]
    return path


def _fonts_below(root: Path, script: str) -> tuple[Path, ...]:
    """Fonts below a folder that have the script's letters, in natural order."""
    return tuple(path for path, scripts in _scripts_below(root).items() if script in scripts)


@lru_cache
def _scripts_below(root: Path) -> dict[Path, frozenset[str]]:
    """The scripts of each font below a folder, in natural order; unreadable ones are left out."""
    found = {}
    for path in natsorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES):
        try:
            face = freetype.Face(str(path))
        except (freetype.FT_Exception, OSError):
            continue
        found[path] = frozenset(name for name in SCRIPTS if all(map(face.get_char_index, sample_letters(name))))
    return found
