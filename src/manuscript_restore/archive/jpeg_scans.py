"""The scans of a JPEG picture: whether they hold all of it, which libjpeg does not tell (ITU-T T.81, annex A)."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARKER = re.compile(rb"\xff([^\0\xff\xd0-\xd7])", re.DOTALL)
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_LOST = re.compile(rb"\xff[\xd0-\xd7]\xff+[\xd0-\xd7]")
"""Two restarts with nothing between them."""

_SCAN, _END, _RESTARTS, _TABLES = b"\xda", b"\xd9", b"\xdd", b"\xc4"
_SEQUENTIAL, _PROGRESSIVE, _LOSSLESS, _ARITHMETIC = (0xC0, 0xC1, 0xC9), 0xC2, 0xC3, (0xC9, 0xCA)
_HOLE = bytes(64)


@dataclass(frozen=True)
class _Scan:
    """One scan."""

    components: bytes  # their numbers
    tables: bytes  # the tables of AC coefficients, one for each component
    spectrum: bytes  # first and last coefficient, bits sent before (high) and left (low)
    interval: int  # MCUs from one restart to the next, 0: no restarts
    coded: bytes  # with its restarts


def _scans_of(segments: list[tuple[bytes, bytes]], data: bytes) -> Iterator[_Scan]:
    """Every scan from the one that ``data`` begins with, given the segments before it."""
    interval = ([0] + [int.from_bytes(s[1][:2], "big") for s in segments if s[0] == _RESTARTS])[-1]
    match = _MARKER.search(data)
    while match and match[1] != _END:
        start = match.end()
        position = start + max(int.from_bytes(data[start : start + 2], "big"), 2)
        content = data[start + 2 : position]
        marker, match = match[1], _MARKER.search(data, position)
        if marker == _RESTARTS:
            interval = int.from_bytes(content[:2], "big")
        elif marker == _SCAN:
            entries, spectrum = content[1 : 1 + 2 * content[0]], content[1 + 2 * content[0] :][:3]
            tables = bytes(entry & 15 for entry in entries[1::2])
            coded = data[position : match.start() if match else None]
            yield _Scan(entries[::2], tables, spectrum, interval, coded)


def _num_units(frame: bytes, components: bytes) -> tuple[int, int]:
    """MCUs of a scan, and blocks of 8×8 in each."""
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    factors = {frame[i]: (frame[i + 1] >> 4, frame[i + 1] & 15) for i in range(6, len(frame) - 2, 3)}
    most_x, most_y = (max(sides) for sides in zip(*factors.values(), strict=True))
    if len(components) > 1:
        blocks = sum(x * y for x, y in (factors[number] for number in components))
        return math.ceil(width / (8 * most_x)) * math.ceil(height / (8 * most_y)), blocks
    x, y = factors[components[0]]
    return math.ceil(math.ceil(width * x / most_x) / 8) * math.ceil(math.ceil(height * y / most_y) / 8), 1


def check(kind: int, frame: bytes, segments: list[tuple[bytes, bytes]], data: bytes) -> bool:
    """Refuse a picture that is not all there.

    Args:
        kind: The second byte of the frame's marker.
        frame: The frame.
        segments: The segments before the first scan, each with its marker's second byte.
        data: The scans, from the first one's marker.

    Returns:
        Whether a row of zeros at the end is no part of the picture.

    Raises:
        ValueError: No scan brings a coefficient down to its last bit, restarts are missing, there are fewer bits
            than blocks, or such a row of zeros as no picture is coded with.
    """
    if kind == _LOSSLESS:  # whose units are no blocks
        return True
    zeros_are_odd = True
    codes = [content for marker, content in segments if marker == _TABLES]
    missing = {(component, number): 1 for component in frame[6::3] for number in range(64)}
    for scan in _scans_of(segments, data):
        first, last, bits = (0, 63, 0) if kind in _SEQUENTIAL else scan.spectrum
        for component in scan.components:
            missing |= {(component, number): bits & 15 for number in range(first, last + 1)}
        num_mcus, num_blocks = _num_units(frame, scan.components)
        if scan.interval:
            _check_restarts(scan.coded, math.ceil(num_mcus / scan.interval) - 1, kind not in _ARITHMETIC)
        if kind in _ARITHMETIC:
            continue
        shortest = 1 if kind == _PROGRESSIVE else 2  # the codes of no change in DC, and of no AC coefficients
        if first == 0 and 8 * len(scan.coded) < shortest * num_mcus * num_blocks:
            raise ValueError("the file ends before the picture does")
        if kind == _PROGRESSIVE:
            continue
        zeros_are_odd = _zeros_are_odd(scan, codes)
        if zeros_are_odd and _HOLE in scan.coded.rstrip(b"\0"):
            raise ValueError("bytes of the picture are lost: there are zeros instead")
    if any(missing.values()):
        raise ValueError("the file ends before the last scan of the picture")
    return zeros_are_odd


def _check_restarts(coded: bytes, expected: int, never_empty: bool) -> None:
    found = b"".join(_RESTART.findall(coded))
    in_order = (bytes(range(0xD0, 0xD8)) * (len(found) // 8 + 1))[: len(found)]
    if found != in_order or len(found) - expected not in (0, 1):  # some cameras write one more, at the end
        raise ValueError("restarts of the picture are missing")
    if never_empty and _LOST.search(coded):
        raise ValueError("the picture is empty between two restarts")


def _zeros_are_odd(scan: _Scan, codes: list[bytes]) -> bool:
    """Whether zero bits mean 63 coefficients of -1 in a block of some component, and not that it is flat."""
    meanings = {}
    for content in codes:
        while len(content) > 17:
            meanings[content[0]] = content[17]  # of the code of zeros alone
            content = content[17 + sum(content[1:17]) :]
    return any(meanings.get(0x10 | table, 0) for table in scan.tables)
