"""One font: HarfBuzz shapes its text, FreeType fills its outlines, each glyph bent by the hand that writes it.

HarfBuzz comes with its Python package and needs no system library, unlike Pillow's Raqm layout.
"""

import ctypes
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import freetype
import numpy as np
import uharfbuzz as hb
from freetype import raw
from numpy.typing import NDArray

from manuscript_restore.errors import UserError
from manuscript_restore.synthesis.scripts import RIGHT_TO_LEFT, SCRIPTS, sample_letters

Coverage = NDArray[np.uint8]
Matrix = NDArray[np.float64]

LOAD_FLAGS = freetype.FT_LOAD_NO_SCALE | freetype.FT_LOAD_NO_BITMAP


@dataclass(frozen=True)
class Cluster:
    """One orthographic syllable, shaped: glyph ids, their places and the advance, in font units."""

    glyphs: tuple[tuple[int, int, int], ...]  # (glyph id, x, y), y upwards from the baseline
    advance: int


class Typeface:
    """A font file and what has been shaped with it.

    Lengths are in *bodies*: from the headline (Devanagari, Bengali) or the letters' top to the baseline.
    Not for several threads at once.

    Args:
        path: A TrueType or OpenType file.
        script: One of `SCRIPTS`.

    Raises:
        UserError: The file is no font, or has no letters of the script.
    """

    def __init__(self, path: Path, script: str) -> None:
        self.path, self.script = path, script
        try:
            self._face = freetype.Face(str(path))
            self._hb_face = hb.Face(hb.Blob.from_file_path(str(path)))
        except (freetype.FT_Exception, hb.HarfBuzzError, OSError) as error:
            raise UserError(f"{path}: is not a font that can be read ({error}); remove it") from error
        self._font = hb.Font(self._hb_face)
        self._clusters: dict[str, Cluster] = {}
        if not self.covers(sample_letters(script)[0]):
            raise UserError(f"{path}: has no letters of the script {script}; choose another font or script")

    @cached_property
    def body(self) -> float:
        """Height of a letter's body in font units."""
        box = self._outline(self._face.get_char_index(sample_letters(self.script)[0]))
        return float(box[:, 1].max() - max(0, box[:, 1].min()))

    @cached_property
    def stroke(self) -> float:
        """Mean thickness of strokes in bodies: twice a letter's area over its perimeter."""
        self.body  # noqa: B018 - it would load the letter anew, below the points
        points = self._outline(self._face.get_char_index(sample_letters(self.script)[0])).astype(float)
        ends = list(self._slot.outline.contours[: self._slot.outline.n_contours])
        area = perimeter = 0.0
        for start, end in zip([0, *(e + 1 for e in ends[:-1])], ends, strict=True):
            contour = points[start : end + 1]
            following = np.roll(contour, -1, axis=0)
            area += float((contour[:, 0] * following[:, 1] - contour[:, 1] * following[:, 0]).sum()) / 2
            perimeter += float(np.hypot(*(following - contour).T).sum())
        return 2 * abs(area) / perimeter / self.body

    @property
    def right_to_left(self) -> bool:
        """Direction of the script."""
        return SCRIPTS[self.script] in RIGHT_TO_LEFT

    @property
    def family(self) -> str:
        """Name of the font's family."""
        return (self._face.family_name or b"").decode("utf-8", "replace") or self.path.stem

    def covers(self, text: str) -> bool:
        """Tell whether the font has every character."""
        return all(self._face.get_char_index(character) for character in text if not character.isspace())

    def shape(self, syllable: str) -> Cluster:
        """Shape one orthographic syllable: conjuncts, marks and reph in place."""
        if syllable not in self._clusters:
            buffer = hb.Buffer()
            buffer.add_str(syllable)
            buffer.direction = "rtl" if self.right_to_left else "ltr"
            buffer.script, buffer.language = SCRIPTS[self.script], "sa"
            hb.shape(self._font, buffer)
            glyphs, x = [], 0
            for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
                glyphs.append((info.codepoint, x + position.x_offset, position.y_offset))
                x += position.x_advance
            self._clusters[syllable] = Cluster(tuple(glyphs), x)
        return self._clusters[syllable]

    def advance(self, syllable: str) -> float:
        """Width of a syllable in bodies."""
        return self.shape(syllable).advance / self.body

    def draw(
        self,
        cluster: Cluster,
        plane: Coverage,
        origin: tuple[float, float],
        matrix: Matrix,
        *,
        weight: float = 0,
        strength: float = 1,
        wobble: tuple[float, float] = (0, 0),
    ) -> tuple[int, int, int, int] | None:
        """Ink a syllable into a plane, which keeps the darker of what it had and what comes.

        Args:
            cluster: What `shape` gave.
            plane: (H, W) uint8, changed in place; what falls outside is cut off.
            origin: x and y of the pen on the baseline, in pixels from the top left.
            matrix: (2, 2), bodies with y upwards → pixels with y upwards.
            weight: Pixels by which strokes grow (or shrink).
            strength: Coverage of full ink, in [0, 1].
            wobble: Amplitude in bodies and phase in radians of the bending of strokes.

        Returns:
            Box of what was inked, (left, top, right, bottom) in pixels, or None where nothing was.
        """
        boxes = []
        scale = matrix.T * (64 / self.body)  # font units -> 26.6 pixels
        for glyph, x, y in cluster.glyphs:
            points = self._outline(glyph)
            if not len(points):
                continue
            place: Matrix = points + np.array((x, y), float)
            amplitude, phase = wobble
            if amplitude:
                # Waves along the other axis, about one and a half to a body: strokes bend, and stay whole.
                place += amplitude * self.body * np.sin(place[:, ::-1] * (9 / self.body) + phase)
            place = place @ scale
            place[:, 0] += 64 * origin[0]
            place[:, 1] -= 64 * origin[1]
            points[:] = np.rint(place)
            boxes.append(self._fill(plane, weight, strength))
        found = [box for box in boxes if box is not None]
        if not found:
            return None
        low, high = np.min(found, axis=0), np.max(found, axis=0)
        return int(low[0]), int(low[1]), int(high[2]), int(high[3])

    def _outline(self, glyph: int) -> NDArray[np.int64]:
        """Load a glyph; the points (n, 2) of its outline, in place: what is written there is what is filled."""
        self._face.load_glyph(glyph, LOAD_FLAGS)
        outline = self._slot.outline
        if not outline.n_points:
            return np.empty((0, 2), np.int64)
        pointer = ctypes.cast(outline.points, ctypes.POINTER(ctypes.c_long))  # FT_Vector: two longs
        return np.ctypeslib.as_array(pointer, (outline.n_points, 2))

    def _fill(self, plane: Coverage, weight: float, strength: float) -> tuple[int, int, int, int] | None:
        slot = self._slot
        if weight:
            raw.FT_Outline_Embolden(ctypes.byref(slot.outline), round(64 * weight))
        if raw.FT_Render_Glyph(self._face._FT_Face.contents.glyph, freetype.FT_RENDER_MODE_NORMAL):
            return None  # a glyph bent beyond what FreeType can fill
        bitmap = slot.bitmap
        if not bitmap.rows or not bitmap.width:
            return None
        mask = np.ctypeslib.as_array(bitmap.buffer, (bitmap.rows, bitmap.pitch))[:, : bitmap.width]
        left, top = slot.bitmap_left, -slot.bitmap_top
        x, y = max(0, left), max(0, top)
        target = plane[y : max(0, top + bitmap.rows), x : max(0, left + bitmap.width)]
        if not target.size:
            return None
        mask = mask[y - top : y - top + target.shape[0], x - left : x - left + target.shape[1]]
        if strength < 1:
            mask = (mask * np.float32(strength)).astype(np.uint8)
        np.maximum(target, mask, out=target)
        return x, y, x + target.shape[1], y + target.shape[0]

    @property
    def _slot(self) -> raw.FT_GlyphSlotRec:
        return self._face._FT_Face.contents.glyph.contents
