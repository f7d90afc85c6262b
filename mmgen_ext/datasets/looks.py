"""What is remembered of a picture's look, and which pictures look the same."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_GRAY = 6  # levels between the channels, which JPEG makes of gray
# How well the shapes of two versions of one picture go together: smaller, recoded, cut by a few
# percent, in other colours. The same without the outer pixels, for pictures in frames.
_ALIKE = 0.78
_SIDE = 16
_RING = 4
_FLAT = 3  # levels; skies and walls differ from others by noise


def look_at(image: np.ndarray) -> dict:
    """What can be said of a picture without keeping it.

    Args:
        image: uint8 (H, W, C), BGR if C is 3.

    Returns:
        Plain data: `size` [H, W], `gray` (whether it has no colours), `lab` (means of L, a, b and
        means of their squares) and `shape` (see _shape; in hexadecimal).
    """
    height, width = image.shape[:2]
    colours = np.repeat(image[:, :, :1], 3, 2) if image.shape[2] < 3 else image[:, :, :3]
    colours = np.ascontiguousarray(colours)
    # Every n-th pixel: as good for statistics, and no averaging that would narrow them.
    step = max(1, min(height, width) // 96)
    some = np.ascontiguousarray(colours[::step, ::step])
    spread = some.max(axis=2) - some.min(axis=2)
    lab = cv2.cvtColor(some.astype(np.float32) / 255, cv2.COLOR_BGR2Lab).reshape(-1, 3)
    lab = lab.astype(np.float64)
    moments = np.concatenate([lab.mean(axis=0), np.square(lab).mean(axis=0)])
    return {
        "size": [height, width],
        "gray": bool(np.percentile(spread, 99) <= _GRAY),
        "lab": [round(float(value), 4) for value in moments],
        "shape": _shape(colours).tobytes().hex(),
    }


def _shape(image: np.ndarray) -> np.ndarray:
    """Light and dark in 16 x 16 pixels without what varies slowly, and the mean colour.

    Args:
        image: uint8 (H, W, 3), BGR.

    Returns:
        int8 (256 + 3,): the root of the difference to a blurred picture, scaled to [-127, 127], 0
        where nothing differs by _FLAT levels, and the mean minus 128.
    """
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    detail = gray - cv2.GaussianBlur(gray, (0, 0), 2)
    most = float(np.abs(detail).max())
    # The root keeps a few strong edges from deciding alone.
    detail = np.sign(detail) * np.sqrt(np.abs(detail) / most) if most >= _FLAT else 0 * detail
    mean = small.mean(axis=(0, 1)) - 128
    return np.rint(np.concatenate([127 * detail.ravel(), mean])).astype(np.int8)


def same_looks(looks: Sequence[dict]) -> np.ndarray:
    """Number pictures so that those that look the same have the same number.

    Args:
        looks: As look_at returns them.

    Returns:
        int (N,). Time grows with N squared: some seconds for 30,000.
    """
    if not looks:
        return np.zeros(0, int)
    # Copies are one: a folder of white pages would have millions of pairs.
    unique, which = np.unique(_shapes(looks), axis=0, return_inverse=True)
    count = len(unique)
    whole, inner = _units(unique), _units(unique, ring=_RING)
    block = max(1, (1 << 23) // count)  # 32 MB for a product
    pairs = []
    for begin in range(0, count, block):
        near = whole[begin : begin + block] @ whole[begin:].T >= _ALIKE
        near &= inner[begin : begin + block] @ inner[begin:].T >= _ALIKE
        pairs.append(np.stack(np.nonzero(np.triu(near, 1))) + begin)
    rows, columns = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), (count, count))
    return connected_components(graph, directed=False)[1][which.ravel()]


def distinct(looks: Sequence[dict], order: Sequence[int]) -> list[int]:
    """Take numbers in `order`, but none of a picture that looks like one that was taken."""
    if not looks:
        return []
    shapes = _shapes(looks)
    whole, inner = _units(shapes), _units(shapes, ring=_RING)
    taken: list[int] = []
    for i in order:
        near = (whole[taken] @ whole[i] >= _ALIKE) & (inner[taken] @ inner[i] >= _ALIKE)
        if not (near | (shapes[taken] == shapes[i]).all(axis=1)).any():
            taken.append(i)
    return taken


def _shapes(looks: Sequence[dict]) -> np.ndarray:
    both = b"".join(bytes.fromhex(look["shape"]) for look in looks)
    return np.frombuffer(both, np.int8).reshape(len(looks), -1)


def _units(shapes: np.ndarray, ring: int = 0) -> np.ndarray:
    """Shapes without colour as vectors of length 1, whose product says how alike they are.

    Args:
        shapes: int8 (N, 256 + 3).
        ring: Pixels to leave out at each edge.
    """
    pixels = shapes[:, : _SIDE**2].astype(np.float32).reshape(-1, _SIDE, _SIDE)
    units = pixels[:, ring : _SIDE - ring, ring : _SIDE - ring].reshape(len(shapes), -1)
    # A picture of one colour has no shape, and looks like none but its copies.
    return units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1)
