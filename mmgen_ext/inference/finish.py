"""From a frame to what is shown of it: translated, without flicker, beside the original."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .stabilise import Stabiliser


class FrameTranslator:
    """A Translator for the frames of a video, which are colour whatever the network takes.

    Args:
        translator: A Translator.
        to: Target domain; None for the translator's default.
        size: Short side at which to work; None for the frames' own.

    Raises:
        ValueError: If its network takes neither colour nor gray.
    """

    def __init__(self, translator, to: str | None, size: int | None):
        self._translator, self._to, self._size = translator, to, size
        self._channels = translator.channels(to)
        if self._channels not in (1, 3):
            raise ValueError(f"this model takes {self._channels} channels; a video has 1 or 3")

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Translate uint8 (H, W, 3), BGR, to uint8 of the same shapes."""
        if self._channels == 1:
            images = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, None] for image in images]
        results = self._translator.batch(images, self._to, self._size)
        return [np.repeat(r, 3, axis=2) if r.shape[2] == 1 else r for r in results]


class Finish:
    """What is done to translated frames, one after the other.

    Args:
        stabilise: Whether to take flicker out, or how much of it, from 0 to 1; see Stabiliser.
        compare: Whether the left half of each frame stays as it is.

    Raises:
        ValueError: If the strength is not within 0 and 1.
    """

    def __init__(self, stabilise: bool | float, compare: bool):
        self._stabiliser = Stabiliser(float(stabilise)) if stabilise else None
        self._compare = compare

    def __call__(self, source: np.ndarray, translated: np.ndarray) -> np.ndarray:
        """The next frame; all are uint8 (H, W, 3), BGR."""
        if self._stabiliser:
            translated = self._stabiliser(source, translated)
        return split_screen(source, translated) if self._compare else translated


def split_screen(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Left half of one uint8 (H, W, 3) and right half of the other, a thin white line between."""
    width = left.shape[1]
    line = max(1, width // 400)
    result = right.copy()
    result[:, : width // 2] = left[:, : width // 2]
    result[:, (width - line) // 2 : (width - line) // 2 + line] = 255
    return result
