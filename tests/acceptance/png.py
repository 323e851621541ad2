"""Smaller PNG files: the pictures of pages have few colours, and Chromium writes them in all of them."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {2: 3, 6: 4}
_COLOURS: Final = 256


def smaller(picture: bytes) -> bytes:
    """The same picture in its 256 most frequent colours, the others as the nearest of them; eight bits a channel.

    ValueError: not such a PNG (PNG specification, 3rd edition, clauses 5 and 9).
    """
    pixels = _pixels(picture)
    flat = pixels.astype(np.int32)
    codes = (flat[..., 0] << 16) | (flat[..., 1] << 8) | flat[..., 2]
    every, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    palette = np.sort(every[np.argsort(counts)[-_COLOURS:]])
    places = _nearest(every, palette)[places]
    table = np.stack([palette >> 16, palette >> 8 & 255, palette & 255], axis=1).astype(np.uint8)
    height, width = pixels.shape[:2]
    lines = np.zeros((height, width + 1), np.uint8)  # the first byte of a line: not filtered
    lines[:, 1:] = places.reshape(height, width)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 9)
    return _SIGNATURE + b"".join(
        _chunk(kind, data)
        for kind, data in ((b"IHDR", head), (b"PLTE", table.tobytes()), (b"IDAT", body), (b"IEND", b""))
    )


def _nearest(colours: NDArray[np.int32], palette: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each colour the place of the nearest in the palette, by the sum of the squares."""
    parts = [(colours >> shift & 255)[:, None] - (palette >> shift & 255)[None, :] for shift in (16, 8, 0)]
    return np.argmin(sum(part * part for part in parts), axis=1)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pixels(picture: bytes) -> NDArray[np.uint8]:
    """Height by width by red, green, blue."""
    if not picture.startswith(_SIGNATURE):
        raise ValueError("not a PNG")
    at, packed, width, height, channels = len(_SIGNATURE), b"", 0, 0, 0
    while at < len(picture):
        length, kind = struct.unpack_from(">I4s", picture, at)
        data = picture[at + 8 : at + 8 + length]
        at += length + 12
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data)
            if depth != 8 or colour not in _CHANNELS or interlaced:
                raise ValueError(f"a PNG of depth {depth}, colour type {colour}")
            channels = _CHANNELS[colour]
        elif kind == b"IDAT":
            packed += data
    raw = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * channels)
    lines = np.zeros((height, width, channels), np.uint8)
    above = np.zeros((width, channels), np.uint8)
    for number, line in enumerate(raw):
        above = lines[number] = _unfiltered(int(line[0]), line[1:].reshape(width, channels), above)
    return lines[..., :3]


def _unfiltered(kind: int, line: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One line: none, sub, up, average, Paeth."""
    if kind == 0:
        return line
    if kind == 1:
        return np.add.accumulate(line, axis=0, dtype=np.uint8)
    if kind == 2:
        return line + above
    left, corner, found = [0] * line.shape[1], [0] * line.shape[1], []
    for pixel, over in zip(line.tolist(), above.tolist(), strict=True):
        if kind == 3:
            left = [(x + (a + b) // 2) & 255 for x, a, b in zip(pixel, left, over, strict=True)]
        else:
            left = [(x + _paeth(a, b, c)) & 255 for x, a, b, c in zip(pixel, left, over, corner, strict=True)]
        corner = over
        found.append(left)
    return np.array(found, np.uint8)


def _paeth(a: int, b: int, c: int) -> int:
    """PNG, 9.4: the neighbour nearest to left + above - corner."""
    toward = a + b - c
    return min((abs(toward - a), 0, a), (abs(toward - b), 1, b), (abs(toward - c), 2, c))[2]
