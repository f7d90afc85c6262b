"""Less flicker in translated video, without retraining: what stands still looks the same."""

from __future__ import annotations

import cv2
import numpy as np

FLOW_SIDE = 256  # Short side at which motion is looked for, in pixels.
_TOLERANCE = 9.0  # Difference of source pixels, of 255, that noise and compression explain.
_KEEP = 0.9  # Share of the last output at full strength: a time constant of ten frames.
_CUT = 0.2  # Share of edges found again, under which a picture is another one; at cuts it is 0.02.
_FLASH = 3  # Frames that a flash may last.


class Stabiliser:
    """Draws each translated frame to the one before it, where the source shows the same.

    Where the source stands still, a pixel is blended with its last output. Where it moves along
    with something, only what varies slowly over the picture (brightness and colour) follows the
    motion, because sharp detail that is moved again and again is blurred. What appears, moves too
    fast or comes after a cut is left as it is translated.

    Args:
        strength: From 0 (nothing) to 1.

    Raises:
        ValueError: If the strength is not within 0 and 1.
    """

    def __init__(self, strength: float = 1.0):
        if not 0 <= strength <= 1:
            raise ValueError(f"--stabilise is {strength:g}; expected a strength from 0 to 1")
        self.keep = _KEEP * strength
        self._source: np.ndarray | None = None
        self._output = np.empty(0, np.float32)
        self._held = 0

    def __call__(self, source: np.ndarray, translated: np.ndarray) -> np.ndarray:
        """Stabilise the next frame.

        Args:
            source: uint8 (H, W, 3), BGR.
            translated: uint8 (H, W, 3).

        Returns:
            uint8 (H, W, 3); `translated` itself at the beginning and after a cut.
        """
        if self._source is None or self._source.shape != source.shape:
            return self._restart(source, translated)
        small = [_shrink(image, FLOW_SIDE) for image in (self._source, source)]
        flow = backward_flow(*small)
        weight = consistency(*small, flow)
        if _textured_share(weight, small[1]) < _CUT:
            self._held += 1
            if self._held <= _FLASH and _same_scene(*small):
                return translated  # A flash: what was before it is what comes after it.
            return self._restart(source, translated)
        self._held = 0
        height, width = source.shape[:2]
        still = _still(self._source, source, flow)[..., None]
        slow = self._slow_change(translated, flow, weight)
        slow = cv2.resize(slow, (width, height), interpolation=cv2.INTER_LINEAR)
        # now + keep * (still * (last - now) + (1 - still) * slow), in place: these are large.
        change = self._output
        change -= translated
        change -= slow
        change *= still
        change += slow
        change *= self.keep
        change += translated
        self._source = source
        return change.round().clip(0, 255).astype(np.uint8)

    def _restart(self, source: np.ndarray, translated: np.ndarray) -> np.ndarray:
        self._source, self._output = source, translated.astype(np.float32)
        self._held = 0
        return translated

    def _slow_change(
        self, translated: np.ndarray, flow: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        """Last output, moved, less the translation: its low frequencies, (h, w, 3) in 0..255."""
        difference = warp(_like(self._output, flow), flow) - _like(translated, flow)
        weight = weight[..., None]
        # Small enough that a blur over a tenth of the picture costs little.
        summed, sure = (_shrink(image, 32) for image in (difference * weight, weight))
        blur = dict(ksize=(0, 0), sigmaX=min(summed.shape[:2]) / 10)
        summed, sure = (cv2.GaussianBlur(image, **blur) for image in (summed, sure))
        # A mean over what can be compared, weighted by distance; too little of it counts less.
        return summed / np.maximum(sure, 0.1)[..., None]


def warped_error(
    previous_source: np.ndarray,
    source: np.ndarray,
    previous_output: np.ndarray,
    output: np.ndarray,
) -> float:
    """Flicker between two frames: how far the output is from the last one, moved as the source.

    Args:
        previous_source: uint8 (H, W, 3), as the others.
        source: One frame later.
        previous_output: Translation of `previous_source`.
        output: Translation of `source`.

    Returns:
        Mean absolute difference, from 0 to 1, over what both sources show; nan if nothing.
    """
    flow = backward_flow(previous_source, source)
    weight = consistency(previous_source, source, flow)
    seen = weight > 0.5
    moved = warp(previous_output.astype(np.float32), flow)
    difference = np.abs(output.astype(np.float32) - moved).mean(axis=2) / 255
    return float(difference[seen].mean()) if seen.any() else float("nan")


def backward_flow(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    """float32 (H, W, 2), x and y in pixels: from each pixel to where it was in `previous`."""
    gray = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (current, previous)]
    height, width = gray[0].shape
    if min(height, width) < 16:  # Too small for the patches that are looked for.
        return np.zeros((height, width, 2), np.float32)
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return finder.calc(*gray, None)


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Fetch each pixel of an image of the flow's size from where the flow points to."""
    height, width = flow.shape[:2]
    grid = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(
        image, grid[1] + flow[..., 0], grid[0] + flow[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def consistency(previous: np.ndarray, current: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """float32 (H, W) from 0 to 1: how surely both pictures show the same thing along the flow."""
    weight = _likeness(warp(previous, flow), current)
    height, width = flow.shape[:2]
    grid = np.mgrid[:height, :width].astype(np.float32)
    x, y = grid[1] + flow[..., 0], grid[0] + flow[..., 1]
    # What comes in at the border was not there.
    return weight * ((x > -1) & (y > -1) & (x < width) & (y < height))


def _likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    difference = cv2.absdiff(one, other)
    worst = np.maximum(np.maximum(difference[..., 0], difference[..., 1]), difference[..., 2])
    # A single pixel may agree by chance: its neighbours have to as well.
    around = cv2.blur(cv2.dilate(worst, np.ones((3, 3), np.uint8)), (3, 3))
    table = np.exp(-((np.arange(256) / _TOLERANCE) ** 2)).astype(np.float32)
    return table[around]


def _still(previous: np.ndarray, current: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """float32 (H, W) from 0 to 1: what neither changes nor moves."""
    height, width = current.shape[:2]
    scale = width / flow.shape[1]
    speed = np.hypot(flow[..., 0], flow[..., 1]) * scale
    # Blending over ten frames what creeps by a fifth of a pixel would blur it by two.
    resting = np.clip((0.2 - speed) / 0.15, 0, 1)
    resting = cv2.resize(resting, (width, height), interpolation=cv2.INTER_LINEAR)
    return _likeness(previous, current) * resting


def _textured_share(weight: np.ndarray, image: np.ndarray) -> float:
    """Share of an image's edges that are consistent: flat areas agree with anything."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    edges = np.abs(cv2.Laplacian(gray, cv2.CV_32F)) + 0.1
    return float((weight * edges).sum() / edges.sum())


def _same_scene(previous: np.ndarray, current: np.ndarray) -> bool:
    """Whether two pictures differ in brightness and contrast at most."""
    small = [cv2.resize(i, (32, 18), interpolation=cv2.INTER_AREA) for i in (previous, current)]
    gray = [cv2.cvtColor(i, cv2.COLOR_BGR2GRAY).astype(np.float32) for i in small]
    normal = [(g - g.mean()) / (g.std() + 1.0) for g in gray]
    return float((normal[0] * normal[1]).mean()) > 0.8


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    scale = min(1.0, side / min(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _like(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    return cv2.resize(image, flow.shape[1::-1], interpolation=cv2.INTER_AREA)
