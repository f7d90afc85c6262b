"""Decoded, resized pictures in one memory-mapped file, made once for a folder as it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..files import replacing
from .images import cache_dir, scan_images
from .transforms import LoadImage, Resize


def fixed_steps(transforms: Sequence) -> int:
    """How many transforms at the beginning give a picture the same pixels each time.

    Raises:
        ValueError: If they do not end in pictures of one size.
    """
    kinds = [type(transform) for transform in transforms[:2]]
    if kinds != [LoadImage, Resize] or transforms[1].keep_ratio:
        raise ValueError(
            "cache=True needs a pipeline that begins with mmgen_ext.LoadImage and mmgen_ext.Resize "
            "without keep_ratio: pictures of one size. Change the pipeline, or set cache=False"
        )
    return 2


class CachedPixels:
    """Pictures by their file, each uint8 (H, W, C), read from one memory-mapped file.

    Args:
        path: The .npy file, uint8 (files, H, W, C).
        files: Which pictures it holds, in their order.
    """

    def __init__(self, path: Path, files: Sequence[Path]):
        self.path, self.numbers = path, {file: number for number, file in enumerate(files)}
        self._pixels: np.ndarray | None = None

    def __getitem__(self, file: Path) -> np.ndarray:
        """The picture of a file."""
        if self._pixels is None:
            self._pixels = np.load(self.path, mmap_mode="r")
        return self._pixels[self.numbers[file]]

    def __getstate__(self) -> dict:
        """For loader processes that are started afresh: each opens the file by itself."""
        return {**vars(self), "_pixels": None}


def cached_pixels(
    paths: Sequence[Path], transforms: Sequence[Callable], channels: int
) -> CachedPixels:
    """What the fixed transforms make of each file, made now unless it was before.

    The file's name is a hash of the contents and of the transforms, so that what has changed is
    made anew. All processes of a machine share its pages.

    Args:
        paths: Picture files, all readable.
        transforms: LoadImage and Resize.
        channels: As for decode_image.

    Raises:
        ValueError: If the disk has no room for it.
    """
    digests = [check["digest"] for check in scan_images(paths, channels)]
    settings = [{"kind": type(t).__name__, **vars(t)} for t in transforms]
    name = hashlib.sha256(json.dumps([settings, channels, digests]).encode()).hexdigest()[:24]
    path = cache_dir() / f"pixels-{name}.npy"
    size = transforms[1].size
    shape = (len(paths), size, size, channels)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_room(path.parent, int(np.prod(shape, dtype=np.int64)))
        with replacing(path) as part:
            _fill(part, shape, paths, transforms, channels)
    return CachedPixels(path, paths)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"cache=True needs {needed / 2**30:.1f} GiB in {folder}, and {free / 2**30:.1f} are "
            f"free. Set MMGEN_EXT_CACHE to a folder with room, or --cfg-options "
            f"data.train.cache=False"
        )


def _fill(
    part: Path, shape: tuple, paths: Sequence[Path], transforms: Sequence[Callable], channels: int
) -> None:
    pixels = np.lib.format.open_memmap(part, "w+", np.uint8, shape)

    def fill_in(number: int) -> None:
        entry = {"img_path": str(paths[number]), "channels": channels}
        for transform in transforms:
            entry = transform(entry)
        pixels[number] = entry["img"]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(fill_in, range(len(paths))):
            pass
    pixels.flush()
