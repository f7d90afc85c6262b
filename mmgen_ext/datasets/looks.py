"""What is remembered of a picture's look, and which pictures look the same."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_GRAY = 6  # levels between the channels, which JPEG makes of gray
# Versions of one picture (smaller, recoded, cut a little, other colours) differ in so few of 128
# bits, and their thumbnails, each channel without its mean, go together so well. The second keeps
# apart what is alike by its emptiness, as sketches on white.
_BITS = 20
_CORRELATION = 0.92


def look_at(image: np.ndarray) -> dict:
    """What can be said of a picture without keeping it.

    Args:
        image: uint8 (H, W, C), BGR if C is 3.

    Returns:
        Plain data: `size` [H, W], `gray` (whether it has no colours), `lab` (means of L, a, b and
        means of their squares), `hash` (128 bits in hexadecimal) and `thumb` (8 x 8 BGR, the same).
    """
    height, width = image.shape[:2]
    colours = np.repeat(image[:, :, :1], 3, 2) if image.shape[2] < 3 else image[:, :, :3]
    colours = np.ascontiguousarray(colours)
    # Every n-th pixel: as good for statistics, and no averaging that would narrow them.
    step = max(1, min(height, width) // 96)
    some = np.ascontiguousarray(colours[::step, ::step])
    spread = some.max(axis=2) - some.min(axis=2)
    lab = cv2.cvtColor(some.astype(np.float32) / 255, cv2.COLOR_BGR2Lab).reshape(-1, 3)
    moments = np.concatenate([lab.mean(axis=0), np.square(lab).mean(axis=0)])
    return {
        "size": [height, width],
        "gray": bool(np.percentile(spread, 99) <= _GRAY),
        "lab": [round(float(value), 3) for value in moments],
        "hash": _difference_hash(colours).tobytes().hex(),
        "thumb": cv2.resize(colours, (8, 8), interpolation=cv2.INTER_AREA).tobytes().hex(),
    }


def _difference_hash(image: np.ndarray) -> np.ndarray:
    """Where 9 x 9 pixels get brighter to the right and downwards: 128 bits in uint8 (16,)."""
    small = cv2.resize(image, (9, 9), interpolation=cv2.INTER_AREA)
    small = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    right, down = small[:8, 1:] > small[:8, :-1], small[1:, :8] > small[:-1, :8]
    return np.packbits(np.concatenate([right.ravel(), down.ravel()]))


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
    unique, which = np.unique(_known(looks), axis=0, return_inverse=True)
    signs, shapes = _features(unique)
    block = max(1, (1 << 23) // len(unique))  # 32 MB for a product
    pairs = []
    for begin in range(0, len(unique), block):
        near = _near(signs[begin : begin + block], shapes[begin : begin + block],
                     signs[begin:], shapes[begin:])  # fmt: skip
        pairs.append(np.stack(np.nonzero(np.triu(near, 1))) + begin)
    rows, columns = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), (len(unique), len(unique)))
    return connected_components(graph, directed=False)[1][which.ravel()]


def distinct(looks: Sequence[dict], order: Sequence[int]) -> list[int]:
    """Take numbers in `order`, but none of a picture that looks like one that was taken."""
    if not looks:
        return []
    known = _known(looks)
    signs, shapes = _features(known)
    taken: list[int] = []
    for i in order:
        near = _near(signs[taken], shapes[taken], signs[i], shapes[i])
        if not (near | (known[taken] == known[i]).all(axis=1)).any():
            taken.append(i)
    return taken


def _known(looks: Sequence[dict]) -> np.ndarray:
    """Hashes and thumbnails as uint8 (N, 16 + 192)."""
    both = b"".join(bytes.fromhex(look["hash"] + look["thumb"]) for look in looks)
    return np.frombuffer(both, np.uint8).reshape(len(looks), -1)


def _features(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes as +1 and -1, (N, 128), and thumbnails without means, of length 1, (N, 192)."""
    signs = np.unpackbits(known[:, :16], axis=1).astype(np.float32) * 2 - 1
    shapes = known[:, 16:].reshape(-1, 64, 3).astype(np.float32)
    shapes = (shapes - shapes.mean(axis=1, keepdims=True)).reshape(-1, 192)
    # A picture of one colour has no shape, and looks like none but its copies.
    return signs, shapes / np.maximum(np.linalg.norm(shapes, axis=1, keepdims=True), 1)


def _near(signs: np.ndarray, shapes: np.ndarray, signs2, shapes2) -> np.ndarray:
    """Which of the first look like which of the second."""
    # The product of two hashes is 128 - 2 * (how many bits differ).
    return (signs @ signs2.T >= 128 - 2 * _BITS) & (shapes @ shapes2.T >= _CORRELATION)
