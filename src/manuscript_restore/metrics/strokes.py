"""Weights of true ink and of the support around it, for the pseudo-F-measure.

Source: Ntirogiannis, Gatos & Pratikakis 2013, "Performance Evaluation Methodology for Historical Document Image
Binarization", eq. 2, 3, 10 and 11. Distances are chessboard distances from the contour, the ink pixels that have
support above, below, left or right. Where the paper leaves choices (which skeleton, where a gap between letters
begins), the simplest is taken; docs/explanation/evaluation.md has the difference from the contest's own program.
"""

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt, label

Mask = NDArray[np.bool_]
MAX_EXTRA_WEIGHT = 2.0
SQUARE = np.ones((3, 3), np.uint8)


class Strokes:
    """The strokes of a mask (H, W), True is ink, of which some pixels are ink and some are not."""

    def __init__(self, ink: Mask) -> None:
        self.ink = ink
        self.labels, self.num_strokes = label(ink, structure=SQUARE)

    @staticmethod
    def contour_distance(ink: Mask, kind: int = cv2.DIST_C) -> NDArray[np.float32]:
        """Distance of each pixel, inside and outside, from the nearest pixel of the contour."""
        precision = cv2.DIST_MASK_PRECISE if kind == cv2.DIST_L2 else 3
        distance: NDArray[np.float32] = cv2.distanceTransform((~_contour(ink)).astype(np.uint8), kind, precision)
        return distance

    @cached_property
    def distance(self) -> NDArray[np.float32]:
        """Chessboard distance from the contour; 1 on strokes so thin that their skeleton is contour."""
        distance = self.contour_distance(self.ink)
        distance[(distance == 0) & self.skeleton] = 1
        return distance

    @cached_property
    def skeleton(self) -> Mask:
        """Centre lines; a stroke that thinning leaves nothing of keeps its pixel that lies deepest."""
        skeleton = thin(self.ink)
        kept = np.unique(self.labels[skeleton])
        depth = cv2.distanceTransform(self.ink.astype(np.uint8), cv2.DIST_C, 3)
        for lost in np.setdiff1d(np.arange(1, self.num_strokes + 1), kept):
            inside = np.where(self.labels == lost, depth, 0)
            skeleton[np.unravel_index(inside.argmax(), inside.shape)] = True
        return skeleton

    @cached_property
    def _to_skeleton(self) -> tuple[NDArray[np.int32], tuple[NDArray[np.int32], ...]]:
        """Chessboard distance from the nearest pixel of the skeleton, and its row and column."""
        return _nearest(self.skeleton)

    @cached_property
    def half_widths(self) -> NDArray[np.float32]:
        """At pixels of the skeleton: half the width of the stroke there, rounded up for even widths; else 0."""
        to_skeleton, nearest = self._to_skeleton
        farthest = np.zeros(self.ink.shape, np.int32)
        inner = self.ink & (self.distance > 0)
        np.maximum.at(farthest, tuple(axis[inner] for axis in nearest), to_skeleton[inner])
        # An even stroke has two middle lines, of which the skeleton is one.
        even = (farthest >= self.distance) & (farthest > 0)
        return np.where(self.skeleton, self.distance + even, 0).astype(np.float32)

    def recall_weights(self) -> NDArray[np.float64]:
        """Weights of the ink, 0 elsewhere: they rise from the contour to the middle and sum to 1 across a stroke.

        A stroke of half-width r weighs 1 + … + r + … + 1 = r² across, r(r + 1) if its width is even.
        """
        _, nearest = self._to_skeleton
        across = (self.distance * self.half_widths)[nearest]
        return np.where(self.ink, self.distance / np.maximum(across, 1).astype(np.float64), 0)

    def precision_weights(self) -> NDArray[np.float64]:
        """Weights of ink, 1, and of the support, 1 to 3: more the nearer false ink comes to joining strokes.

        Within the width of the nearest stroke the weight is 1 + distance / min(that width, half the gap to the
        next stroke); beyond, it is 1.
        """
        distance, nearest = _nearest(_contour(self.ink))
        widths = self._stroke_widths()
        owner = self.labels[nearest]
        width = widths[owner]
        values = owner.astype(np.float32)
        meeting = ~self.ink & (cv2.dilate(values, SQUARE) != cv2.erode(values, SQUARE))
        limit = width.astype(np.float64)
        if meeting.any():
            to_meeting, meeting_place = _nearest(meeting)
            gap = distance[meeting_place]
            joins = (to_meeting <= width - distance) & (gap < width)
            limit[joins] = np.maximum(gap[joins], 1)
        near = ~self.ink & (distance <= width)
        extra = np.minimum(distance / np.maximum(limit, 1), MAX_EXTRA_WEIGHT)
        return 1 + np.where(near, extra, 0)

    def _stroke_widths(self) -> NDArray[np.int64]:
        """Mean width of each stroke, by label."""
        labels, halves = self.labels[self.skeleton], self.half_widths[self.skeleton]
        sums = np.bincount(labels, halves, minlength=self.num_strokes + 1)
        counts = np.bincount(labels, minlength=self.num_strokes + 1)
        return 2 * np.floor(sums / np.maximum(counts, 1)).astype(np.int64)


def thin(mask: Mask) -> Mask:
    """Centre lines one pixel wide, 8-connected.

    Source: Zhang & Suen 1984.
    """
    pixels = np.pad(mask, 1).astype(np.uint8)
    while True:
        before = pixels.copy()
        for table in _TABLES:
            codes = cv2.filter2D(pixels.astype(np.float32), -1, _NEIGHBOUR_BITS).astype(np.uint8)
            pixels[table[codes]] = 0
        if np.array_equal(pixels, before):
            thinned: Mask = pixels[1:-1, 1:-1].astype(bool)
            return thinned


def _contour(ink: Mask) -> Mask:
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(ink.astype(np.uint8), cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    contour: Mask = ink & (inner == 0)
    return contour


def _nearest(places: Mask) -> tuple[NDArray[np.int32], tuple[NDArray[np.int32], ...]]:
    """Chessboard distance of each pixel from the nearest True one, and the row and column of that."""
    distance, indices = distance_transform_cdt(~places, metric="chessboard", return_indices=True)
    return distance, tuple(indices)


# Bit i is the i-th neighbour, clockwise from the one above.
_NEIGHBOUR_BITS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


def _deletable(code: int, first_pass: bool) -> bool:
    bits = [code >> i & 1 for i in range(8)]
    steps = sum(bits[i] < bits[(i + 1) % 8] for i in range(8))
    above, right, below, left = bits[::2]
    if first_pass:
        open_side = not (above and right and below) and not (right and below and left)
    else:
        open_side = not (above and right and left) and not (above and below and left)
    return 2 <= sum(bits) <= 6 and steps == 1 and open_side


_TABLES = [np.array([_deletable(code, first) for code in range(256)]) for first in (True, False)]
