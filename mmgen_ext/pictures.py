"""Pictures in memory: between uint8 arrays, tensors, files and sheets for people to look at.

An array is uint8 (H, W, C), BGR if C is 3; a tensor float32 (N, C, H, W) in [-1, 1], BGR as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from .files import replacing

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


def resize_image(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """Resize uint8 (H, W, C) to (height, width, C) for any C."""
    if image.shape[:2] == (height, width):
        return image
    # OpenCV drops the axis of a single channel.
    resized = cv2.resize(image, (width, height), interpolation=INTERPOLATIONS[interpolation])
    return resized.reshape(height, width, image.shape[2])


def image_to_tensor(image: np.ndarray) -> torch.Tensor:
    """uint8 (H, W, C) to float32 (C, H, W) in [-1, 1]."""
    # In NumPy: torch's threads cost more than they bring on one picture.
    scaled = image.transpose(2, 0, 1).astype(np.float32, order="C")
    scaled /= 127.5
    scaled -= 1.0
    return torch.from_numpy(scaled)


def tensor_to_images(batch: Tensor, dtype: type = np.uint8) -> np.ndarray:
    """(N, C, H, W) in [-1, 1] to uint8 or uint16 (N, H, W, C), rounded."""
    top = np.iinfo(dtype).max
    scaled = batch.detach().float().add(1).mul(top / 2).round_().clamp_(0, top)
    # PyTorch knows uint16 hardly at all.
    whole = scaled.to("cpu", torch.uint8 if dtype == np.uint8 else torch.int32)
    return whole.permute(0, 2, 3, 1).numpy().astype(dtype, copy=False)


def write_image(
    path: str | os.PathLike, image: np.ndarray, text: Mapping[str, str] | None = None
) -> None:
    """Write uint8 (H, W, C), BGR if C is 3, in the format of the suffix; whole or not at all.

    Args:
        path: File to write or replace.
        image: The picture.
        text: Chunks of text for a PNG, by keyword.

    Raises:
        ValueError: If the channels are neither 1 nor 3.
        OSError: If it cannot be written.
    """
    path = Path(path)
    if image.shape[2] not in (1, 3):
        raise ValueError(
            f"{image.shape[2]} channels cannot be written as a picture; the Translator in Python "
            f"returns them as an array"
        )
    image = image[:, :, 0] if image.shape[2] == 1 else image[:, :, ::-1]
    form = Image.registered_extensions()[path.suffix.lower()]
    options: dict = {"quality": 95} if form in ("JPEG", "WEBP") else {}
    if text:
        options["pnginfo"] = PngInfo()
        for keyword, content in text.items():
            options["pnginfo"].add_itxt(keyword, content)
    with replacing(path) as part:
        Image.fromarray(np.ascontiguousarray(image)).save(part, form, **options)


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two uint8 pictures of one height in one, a gray one repeated to the other's channels."""
    channels = max(left.shape[2], right.shape[2])
    same = [np.repeat(i, channels, 2) if i.shape[2] == 1 else i for i in (left, right)]
    return np.concatenate(same, axis=1)


def as_three_channels(image: np.ndarray) -> np.ndarray:
    """(H, W, C) as something to look at, (H, W, 3): gray is repeated, of more channels three stay.

    Two channels have no colours: the first is shown in gray.
    """
    return np.repeat(image[..., :1], 3, 2) if image.shape[2] < 3 else image[..., :3]


def labelled_grid(columns: Mapping[str, Sequence[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Pictures in columns under their names.

    Args:
        columns: Name to uint8 pictures (H, W, C), from top to bottom; C > 3 shows three.
        gap: Pixels between pictures.

    Returns:
        uint8 (H', W', 3), white between pictures.
    """
    drawn = []
    for name, images in columns.items():
        images = [as_three_channels(image) for image in images]
        width = max(i.shape[1] for i in images)
        # 0.5 of OpenCV's font is about 9 pixels a letter: wide enough for the name.
        width = max(width, 9 * len(name) + 2 * gap)
        title = np.full((24, width, 3), 255, np.uint8)
        cv2.putText(
            title, name, (gap, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA
        )
        cells = [title]
        for image in images:
            cell = np.full((image.shape[0] + gap, width, 3), 255, np.uint8)
            cell[: image.shape[0], : image.shape[1]] = image
            cells.append(cell)
        drawn.append(np.concatenate(cells))
    height = max(column.shape[0] for column in drawn)
    sheet = [
        cv2.copyMakeBorder(
            c, gap, height - c.shape[0], gap, 0, cv2.BORDER_CONSTANT, value=(255,) * 3
        )
        for c in drawn
    ]
    return np.concatenate(sheet, axis=1)
