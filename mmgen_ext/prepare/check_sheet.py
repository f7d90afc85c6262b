"""Samples of a data set on one labelled sheet, and pairs that look the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..datasets.images import read_image
from ..inference.labels import text_lines
from ..pictures import resize_image
from ..words import counted
from .check import Findings

_SIDE = 144  # pixels of a sample's long side
_COLUMNS = 8
_GAP = 6
_WIDTH = _COLUMNS * (_SIDE + _GAP) + _GAP


def sample_sheet(findings: Findings) -> np.ndarray:
    """Eight pictures of each folder, from its beginning to its end, and pairs that are the same.

    Returns:
        uint8 (H, W, 3), BGR on white.
    """
    rows = []
    for name, folder in findings.folders.items():
        paths = list(folder.looks)
        places = np.linspace(0, len(paths) - 1, min(_COLUMNS, len(paths))).round().astype(int)
        rows += _row(f"{name}: {counted(len(folder.paths), 'picture')}", [paths[i] for i in places])
    for kind, words in ((findings.copies, "the same"), (findings.alike, "nearly the same")):
        for key, pairs in kind.items():
            where = f"in {' and '.join(key.split(' '))}" if findings.paired else ""
            shown = [path for pair in pairs[: _COLUMNS // 2] for path in pair]
            rows += _row(f"{words} {where}: {counted(len(pairs), 'pair')}", shown)
    return np.concatenate(rows)


def _row(title: str, paths: list[Path]) -> list[np.ndarray]:
    if not paths:
        return []
    label = text_lines(title, _WIDTH - 2 * _GAP, 18)
    label = np.pad(label, ((_GAP, 0), (_GAP, _GAP), (0, 0)), constant_values=255)
    strip = np.full((_SIDE + _GAP, _WIDTH, 3), 255, np.uint8)
    for column, path in enumerate(paths):
        image = _thumbnail(path)
        left = _GAP + column * (_SIDE + _GAP)
        strip[: image.shape[0], left : left + image.shape[1]] = image
    return [label, strip]


def _thumbnail(path: Path) -> np.ndarray:
    image = read_image(path, at_least=_SIDE)
    scale = _SIDE / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return resize_image(image, height, width, "area" if scale < 1 else "nearest")
