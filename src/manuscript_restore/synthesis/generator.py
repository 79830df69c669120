"""Clean manuscript pages drawn from nothing, with their exact text and ink."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manuscript_restore import images
from manuscript_restore.errors import UserError
from manuscript_restore.synthesis import decoration, layout, marginalia, painting, supports, surroundings
from manuscript_restore.synthesis.fonts import find_fonts, find_other_scripts, load_typeface
from manuscript_restore.synthesis.hand import draw_hand, printing_hand
from manuscript_restore.synthesis.scribe import Inks, Line, Scribe, TextFlow
from manuscript_restore.synthesis.text import TextSource

VERSION = 3
"""Part of the generator's tag: raised whenever the same settings give other pictures."""

STYLES = ("scribe", "printed")
MIN_SIDE = 32


@dataclass(frozen=True)
class GeneratedPage:
    """A page and everything that is known about it.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        ink: bool (H, W): where ink of any colour covers at least half a pixel: writing, rules, drawings and
            outlines, painted letters, stamps. Not ink are painted fields, washes and bands, seals, and all that is
            no page: its surround, rulers and their figures, colour targets, labels.
        lines: What is written, in reading order; then folio number, title and glosses.
        support: Kind of the support.
        font: The font file.
        body_px: Size of the writing: from headline to baseline.
    """

    image: NDArray[np.uint8]
    ink: NDArray[np.bool_]
    lines: tuple[Line, ...]
    support: str
    font: Path
    body_px: float


class PageGenerator:
    """An endless sequence of clean pages: page ``index`` of ``seed`` is always the same picture.

    This holds for the same settings and fonts; `tag` identifies both.

    Args:
        size: (height, width) in pixels; None: the natural size of each support.
        supports: How often each kind of support comes, relative to the others: keys ``palm_leaf``, ``paper``,
            ``parchment``.
        style: ``"scribe"``: a hand writes continuously; ``"printed"``: movable type, words apart.
        script: ``devanagari`` or another key of `scripts.SCRIPTS`.
        irregularity: In [0, 1], of the hand; 0 draws every letter alike.
        text_file: UTF-8 text to write, a paragraph a passage; None: the packaged Sanskrit.
        generated_text: Share of passages that a syllable grammar makes up.
        fonts_dir: Folder of TTF or OTF files to use instead of the packaged ones.
        system_fonts: Add the system's fonts. Off, the pages are the same on every machine.
        textures_dir: Folder of photographs of blank pages to write on instead of drawn supports.
        textures_share: Part of the pages that take one.
        variety: Part of the pages that may have any sound surface, surround, colour and decoration; the others
            keep to the common ones.
        other_scripts: Part of the pages in another script than ``script``, of those that this machine has fonts
            for; none where it has none.

    Raises:
        UserError: A value out of range, or a font, text or texture that is not there.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] | list[int] | None = None,
        supports: Mapping[str, float] | None = None,
        style: str = "scribe",
        script: str = "devanagari",
        irregularity: float = 1.0,
        text_file: str | None = None,
        generated_text: float = 0.5,
        fonts_dir: str | None = None,
        system_fonts: bool = False,
        textures_dir: str | None = None,
        textures_share: float = 0.5,
        variety: float = 0.0,
        other_scripts: float = 0.0,
    ) -> None:
        for name, value in (
            ("irregularity", irregularity),
            ("generated_text", generated_text),
            ("textures_share", textures_share),
            ("variety", variety),
            ("other_scripts", other_scripts),
        ):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise UserError(f"generator.{name}={value}: must be between 0 and 1")
        if style not in STYLES:
            raise UserError(f"generator.style={style}: must be one of {', '.join(STYLES)}")
        self.size = _check_size(size)
        self.shares = _check_shares(supports)
        self.style, self.irregularity = style, irregularity
        self.script, self.variety = script, variety
        self.text = TextSource(script, text_file, generated_text)
        self.fonts = find_fonts(script, style, folder=fonts_dir, system=system_fonts)
        self.other_fonts = find_other_scripts(script) if other_scripts else {}
        self.other_scripts = other_scripts if self.other_fonts else 0.0
        self.textures = images.find_images(textures_dir, key="generator.textures_dir") if textures_dir else []
        self.textures_share = textures_share if textures_dir else 0.0
        self._settings = (
            VERSION, self.size, self.shares, style, script, irregularity, text_file, generated_text,
            textures_share, variety, other_scripts
        )  # fmt: skip

    @cached_property
    def tag(self) -> str:
        """Identity of the settings, fonts and textures: equal tags, equal pages."""
        files = [(path.name, path.stat().st_size) for path in [*self.all_fonts, *self.textures]]
        text = Path(self.text.text_file).read_bytes() if self.text.text_file else b""
        return sha256(repr((self._settings, files)).encode() + text).hexdigest()[:12]

    @property
    def all_fonts(self) -> list[Path]:
        """Every font that a page may be written with."""
        return list(dict.fromkeys([*self.fonts, *(path for fonts in self.other_fonts.values() for path in fonts)]))

    def page(self, seed: int, index: int) -> GeneratedPage:
        """Draw page ``index``, at least 0, of the sequence ``seed``, at least 0.

        Raises:
            UserError: A texture cannot be read.
        """
        rng = np.random.default_rng([seed, index])
        kind = str(rng.choice(list(self.shares), p=list(self.shares.values())))
        height, width = self.size or supports.draw_size(rng, kind)
        wild = self.variety > 0 and rng.random() < self.variety  # no draw at 0: those pages stay the same
        support = supports.draw_support(rng, kind, height, width, texture=self._draw_texture(rng), wild=wild)
        script, fonts, text = self._draw_script(rng)
        paths = list(fonts)
        weights = np.array(list(fonts.values()))
        font = paths[int(rng.choice(len(paths), p=weights / weights.sum()))]
        printed = self.style == "printed"
        typeface = load_typeface(font, script)
        plan = layout.plan(rng, support, printed=printed, right_to_left=typeface.right_to_left)
        hand = (
            printing_hand(plan.body_px)
            if printed
            else draw_hand(rng, typeface, kind, plan.body_px, self.irregularity)
        )
        inks = Inks.blank(height, width)
        scribe = Scribe(rng, typeface, hand, inks)
        flow = TextFlow(text, rng, typeface, continuous=not printed)
        paints: list[painting.Paint] = []
        if wild:
            paints = decoration.decorate(rng, support, plan, flow, typeface)
        lines = [scribe.write_line(flow, slot) for slot in plan.slots]
        lines += marginalia.write(rng, scribe, plan, flow, printed=printed)
        if not printed and rng.random() < {"paper": 0.6, "parchment": 0.8, "palm_leaf": 0.1}[kind]:
            layout.rule(rng, plan, inks, kind)
        image = painting.apply(rng, support, inks, plan.body_px, paints=paints, wild=wild)
        ink = painting.ink_mask(inks, paints)
        if wild:
            surroundings.surround(rng, support, image, ink)
        if rng.random() < painting.GREY_SHARE[kind]:
            image = painting.reproduce_in_grey(rng, image, brighten=wild)
        return GeneratedPage(image, ink, tuple(line for line in lines if line), kind, font, plan.body_px)

    def _draw_script(self, rng: np.random.Generator) -> tuple[str, Mapping[Path, float], TextSource]:
        """The script of a page, its fonts and its text."""
        if self.other_scripts and rng.random() < self.other_scripts:
            script = str(rng.choice(list(self.other_fonts)))
            return script, self.other_fonts[script], TextSource(script, None, self.text.generated_share)
        return self.script, self.fonts, self.text

    def _draw_texture(self, rng: np.random.Generator) -> NDArray[np.uint8] | None:
        if rng.random() >= self.textures_share:
            return None
        return _read_texture(self.textures[int(rng.integers(len(self.textures)))])


@lru_cache(maxsize=16)
def _read_texture(path: Path) -> NDArray[np.uint8]:
    return images.read(path)


def _check_size(size: tuple[int, int] | list[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if len(size) != 2 or not all(isinstance(side, int) and side >= MIN_SIDE for side in size):
        raise UserError(
            f"generator.size={list(size)}: must be [height, width], whole numbers from {MIN_SIDE}, or null"
        )
    return size[0], size[1]


def _check_shares(shares: Mapping[str, float] | None) -> dict[str, float]:
    shares = {"palm_leaf": 0.3, "paper": 0.5, "parchment": 0.2} if shares is None else dict(shares)
    if unknown := shares.keys() - set(supports.KINDS):
        raise UserError(f"generator.supports.{min(unknown)}: unknown; known: {', '.join(supports.KINDS)}")
    if any(share < 0 for share in shares.values()) or not sum(shares.values()) > 0:
        raise UserError(f"generator.supports={shares}: shares must be at least 0, and one above it")
    return {kind: share / sum(shares.values()) for kind, share in shares.items()}
