"""The gallery's sheet: pictures of both directions under their names."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence

import numpy as np

from ..inference.labels import shortened, text_lines
from ..pictures import as_three_channels

KINDS = ("real", "fake", "cycle", "identity")
_GAP, _TEXT, _NARROWEST = 6, 12, 96


def label(kind: str, domain: str, width: int) -> np.ndarray:
    """What a column shows, uint8 (H, width, 3): in a line, or the domain's name in a second one."""
    return text_lines(f"{kind} {shortened(domain, width, _TEXT)}", width, _TEXT)


def gallery_sheet(rows: Sequence[Mapping]) -> tuple[np.ndarray, str]:
    """A sheet with a row for each picture, and where on it what is shown.

    Args:
        rows: `source`, `target` and, by KINDS, uint8 pictures (H, W, C), BGR if C is 3; `cycle` and
            `identity` may be absent. Those of one direction follow each other.

    Returns:
        uint8 (H', W', 3) on white; JSON: `rows`, each with `source`, `target` and, by KINDS, the
        box [x, y, width, height] in pixels.
    """
    width = max(row[kind].shape[1] for row in rows for kind in KINDS if kind in row)
    step = max(width, _NARROWEST) + _GAP
    kinds = [kind for kind in KINDS if any(kind in row for row in rows)]
    strips, boxes, top = [], [], 0

    def add(cells: Sequence[np.ndarray]) -> int:
        """Add cells from left to right below the last ones; return where their top is."""
        nonlocal top
        high = max(cell.shape[0] for cell in cells)
        strip = np.full((high + _GAP, len(kinds) * step + _GAP, 3), 255, np.uint8)
        for i, cell in enumerate(cells):
            x = _GAP + i * step
            strip[: cell.shape[0], x : x + cell.shape[1]] = cell
        strips.append(strip)
        top += len(strip)
        return top - len(strip)

    for (source, target), group in itertools.groupby(rows, lambda r: (r["source"], r["target"])):
        add([label(kind, target if kind == "fake" else source, step - _GAP) for kind in kinds])
        for row in group:
            there = [kind for kind in kinds if kind in row]
            y = add([as_three_channels(row[kind]) for kind in there])
            box = {
                k: [_GAP + i * step, y, row[k].shape[1], row[k].shape[0]]
                for i, k in enumerate(there)
            }
            boxes.append(dict(source=source, target=target, **box))
    return np.concatenate(strips), json.dumps(dict(rows=boxes), ensure_ascii=False)
