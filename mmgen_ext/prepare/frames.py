"""Pictures out of a video: every n-th frame, without what is blurred or shown twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..datasets.looks import distinct, look_at
from ..inference.video_reader import VideoReader
from ..pictures import resize_image, write_image
from ..progress import progress
from ..words import counted

_BLURRED = 0.35  # of the clip's median sharpness
_SIDE = 512  # pixels, to which a frame is reduced before its sharpness is measured


def sharpness(image: np.ndarray) -> float:
    """Variance of the Laplacian of a picture in gray, uint8 (H, W, 3), BGR."""
    scale = min(1, _SIDE / min(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    small = resize_image(image, height, width, "area")
    return float(cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())


def extract_frames(video: Path, folder: Path, every: int) -> tuple[dict[Path, dict], str]:
    """Write the good ones among every n-th frame of a video as JPEG files.

    Args:
        video: File that PyAV reads.
        folder: Empty folder to write to.
        every: n; 1 takes all.

    Returns:
        The files with their looks, and what was left out, in words.

    Raises:
        ValueError: If it is no video, or PyAV is not installed.
    """
    paths, sharp, looks, total = [], [], [], 0
    with VideoReader(video) as reader:
        bar = dict(unit="frame", leave=False)
        for frame in progress(reader, f"reading {video.name}", reader.info.num_frames, **bar):
            if total % every == 0:
                paths.append(folder / f"{video.stem}_{total:06}.jpg")
                write_image(paths[-1], frame.image)
                sharp.append(sharpness(frame.image))
                looks.append(look_at(frame.image))
            total += 1
        damage = reader.damage()
    good = not_blurred(sharp)
    kept = set(distinct(looks, good))
    for number, path in enumerate(paths):
        if number not in kept:
            path.unlink()
    blurred, copies = len(paths) - len(good), len(good) - len(kept)
    note = (
        f"{video}: {counted(total, 'frame')}, {len(paths)} looked at; {blurred} blurred and "
        f"{copies} near-duplicates left out, {len(kept)} kept" + (f" ({damage})" if damage else "")
    )
    return {paths[number]: looks[number] for number in sorted(kept)}, note


def not_blurred(sharp: Sequence[float]) -> list[int]:
    """Numbers of the frames that are not far less sharp than half of them, the sharpest first."""
    least = _BLURRED * float(np.median(sharp)) if sharp else 0
    order = sorted(range(len(sharp)), key=lambda number: -sharp[number])
    return [number for number in order if sharp[number] >= least]
