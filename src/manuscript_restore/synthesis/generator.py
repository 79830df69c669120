"""Clean manuscript pages drawn from nothing, with their exact text and ink."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from manuscript_restore import images
from manuscript_restore.errors import UserError
from manuscript_restore.synthesis import layout, marginalia, supports
from manuscript_restore.synthesis.fonts import find_fonts, load_typeface
from manuscript_restore.synthesis.hand import draw_hand, printing_hand
from manuscript_restore.synthesis.scribe import Inks, Line, Scribe, TextFlow
from manuscript_restore.synthesis.text import TextSource

VERSION = 3
"""Part of the generator's tag: raised whenever the same settings give other pictures."""

Colour = tuple[float, float, float]
STYLES = ("scribe", "printed")
MIN_SIDE = 32
CARBON, SOOT, GALL = (0.08, 0.075, 0.075), (0.30, 0.25, 0.21), (0.40, 0.28, 0.18)
VERMILION, OCHRE = (0.70, 0.14, 0.08), (0.60, 0.24, 0.14)
PIGMENT = (0.93, 0.86, 0.62)  # orpiment, which hides a mistake

GREY_SHARE = {"palm_leaf": 0.3, "paper": 0.06, "parchment": 0.03}
"""Part of the pages that are black-and-white photographs."""


@dataclass(frozen=True)
class GeneratedPage:
    """A page and everything that is known about it.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        ink: bool (H, W): where ink of any colour (writing, rules) covers at least half a pixel.
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
        script: ``devanagari`` or another key of `text.SCRIPTS`.
        irregularity: In [0, 1], of the hand; 0 draws every letter alike.
        text_file: UTF-8 text to write, a paragraph a passage; None: the packaged Sanskrit.
        generated_text: Share of passages that a syllable grammar makes up.
        fonts_dir: Folder of TTF or OTF files to use instead of the packaged ones.
        system_fonts: Add the system's fonts. Off, the pages are the same on every machine.
        textures_dir: Folder of photographs of blank pages to write on instead of drawn supports.
        textures_share: Part of the pages that take one.
        variety: Part of the pages that may have any sound surface, surround, colour and decoration; the others
            keep to the common ones.

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
    ) -> None:
        for name, value in (
            ("irregularity", irregularity),
            ("generated_text", generated_text),
            ("textures_share", textures_share),
            ("variety", variety),
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
        self.textures = images.find_images(textures_dir, key="generator.textures_dir") if textures_dir else []
        self.textures_share = textures_share if textures_dir else 0.0
        self._settings = (
            VERSION, self.size, self.shares, style, script, irregularity, text_file, generated_text,
            textures_share, variety
        )  # fmt: skip

    @cached_property
    def tag(self) -> str:
        """Identity of the settings, fonts and textures: equal tags, equal pages."""
        files = [(path.name, path.stat().st_size) for path in [*self.fonts, *self.textures]]
        text = Path(self.text.text_file).read_bytes() if self.text.text_file else b""
        return sha256(repr((self._settings, files)).encode() + text).hexdigest()[:12]

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
        paths = list(self.fonts)
        weights = np.array(list(self.fonts.values()))
        font = paths[int(rng.choice(len(paths), p=weights / weights.sum()))]
        printed = self.style == "printed"
        plan = layout.plan(rng, support, printed=printed)
        typeface = load_typeface(font, self.script)
        hand = (
            printing_hand(plan.body_px)
            if printed
            else draw_hand(rng, typeface, kind, plan.body_px, self.irregularity)
        )
        inks = Inks.blank(height, width)
        scribe = Scribe(rng, typeface, hand, inks)
        flow = TextFlow(self.text, rng, continuous=not printed)
        lines = [scribe.write_line(flow, slot) for slot in plan.slots]
        lines += marginalia.write(rng, scribe, plan, flow, printed=printed)
        if not printed and rng.random() < {"paper": 0.6, "parchment": 0.8, "palm_leaf": 0.1}[kind]:
            layout.rule(rng, plan, inks, kind)
        image = _apply_inks(rng, support, inks, plan.body_px, wild=wild)
        ink = np.maximum(inks.dark, inks.red) >= 128
        return GeneratedPage(image, ink, tuple(line for line in lines if line), kind, font, plan.body_px)

    def _draw_texture(self, rng: np.random.Generator) -> NDArray[np.uint8] | None:
        if rng.random() >= self.textures_share:
            return None
        return _read_texture(self.textures[int(rng.integers(len(self.textures)))])


def _apply_inks(
    rng: np.random.Generator, support: supports.Support, inks: Inks, body_px: float, *, wild: bool
) -> NDArray[np.uint8]:
    """Lay the inks on the support: they spread a little, take unevenly, and pool."""
    height, width = support.grain.shape
    page = support.image
    # Pens flow unevenly over the page, and the support's grain takes ink unevenly.
    cells = rng.standard_normal((max(2, height // 60), max(2, width // 60)), np.float32)
    flow = np.abs(cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC))
    uneven = cv2.addWeighted(flow, -rng.uniform(0.02, 0.15), support.grain, -rng.uniform(0, 0.1), 1)
    dark_ink = _between(rng, CARBON, SOOT if support.kind != "parchment" else GALL)
    red_ink = _between(rng, VERMILION, OCHRE)
    if wild:
        dark_ink = _darker_than(support, dark_ink)
    spread = rng.uniform(0.45, 1.1) * min(1.0, body_px / 20)
    smear = 0.07 if support.kind == "palm_leaf" else 0.0
    _lay(page, inks.pigment, PIGMENT, np.full_like(uneven, 0.85), 1.2)
    _lay(page, inks.red, red_ink, uneven, spread)
    _lay(page, inks.dark, dark_ink, uneven, spread, smear=smear, smear_px=0.25 * body_px)
    if rng.random() < GREY_SHARE[support.kind]:
        page = _reproduce_in_grey(rng, page, brighten=wild)
    return page


def _lay(
    page: NDArray[np.uint8],
    coverage: NDArray[np.uint8],
    colour: Colour,
    uneven: NDArray[np.float32],
    spread: float,
    *,
    smear: float = 0,
    smear_px: float = 1,
) -> None:
    """Lay one ink on the page, in place.

    Args:
        page: uint8 (H, W, 3).
        coverage: (H, W).
        colour: RGB in [0, 1].
        uneven: (H, W): opacity of full coverage.
        spread: Standard deviation of the ink's spreading, in pixels.
        smear: Opacity of the soot that was rubbed into cuts and wiped off: a little stays around them.
        smear_px: How far.
    """
    margin = round(3 * spread + smear_px) + 1
    left, top, width, height = cv2.boundingRect(coverage)
    if not width:
        return
    window = np.s_[max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin]
    inked = coverage[window].astype(np.float32) / np.float32(255)
    alpha = cv2.GaussianBlur(inked, (0, 0), max(spread, 0.05)) * uneven[window]
    if smear:
        side = 2 * round(smear_px) + 1
        alpha += smear * cv2.blur(inked, (side, side))
    alpha = alpha.clip(0, 1)
    part = np.ascontiguousarray(page[window])
    # Three times NumPy's speed for page + alpha * (colour - page).
    ink = np.full_like(part, [round(255 * value) for value in colour])
    page[window] = cv2.blendLinear(part, ink, 1 - alpha, alpha)


def _reproduce_in_grey(rng: np.random.Generator, page: NDArray[np.uint8], *, brighten: bool) -> NDArray[np.uint8]:
    """A black-and-white photograph of the page, its contrast stretched, a dark page's by as much as it is lit."""
    light = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY).astype(np.float32)
    gain, middle = rng.uniform(0.9, 1.5), float(np.median(light[::7, ::7]))
    paper = 255 * rng.uniform(0.55, 0.88)
    if brighten:
        gain = max(gain, paper / middle)
    light = (light - middle) * gain + paper
    grey: NDArray[np.uint8] = cv2.merge([np.rint(light.clip(0, 255)).astype(np.uint8)] * 3)
    return grey


def _darker_than(support: supports.Support, colour: Colour) -> Colour:
    """The ink, at most 0.4 times as light as the leaf: what is written on a dark leaf is blacker."""
    left, top, right, bottom = map(int, support.area)
    light = float(np.median(support.image[top:bottom:9, left:right:9])) / 255
    gain = min(1.0, 0.4 * light / max(colour))
    red, green, blue = (gain * value for value in colour)
    return red, green, blue


def _between(rng: np.random.Generator, one: Colour, other: Colour) -> Colour:
    share = rng.uniform()
    red, green, blue = (a + share * (b - a) for a, b in zip(one, other, strict=True))
    return red, green, blue


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
