"""Pictures on disk: finding them, reading what they show, and naming the broken ones at once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..files import replacing
from ..progress import in_threads
from ..words import counted
from .looks import look_at

IMAGE_SUFFIXES = [
    ".jpg",
    ".jpeg",
    ".jfif",
    ".png",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".gif",
    ".tga",
    ".avif",
    ".npy",
]


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Every picture below `folder`, nested folders included, in the order of their names.

    Raises:
        FileNotFoundError: If the folder does not exist or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    paths = sorted(
        path
        for path in folder.rglob("*")
        # macOS leaves "._name.jpg" beside each file it copies, notebooks ".ipynb_checkpoints".
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not paths:
        raise FileNotFoundError(f"no images in {folder} (looked for {' '.join(IMAGE_SUFFIXES)})")
    return paths


def decode_image(data: bytes, channels: int = 3, at_least: int | None = None) -> np.ndarray:
    """Decode a picture to what a viewer shows: turned by its EXIF, alpha laid on white, 8 bits.

    Args:
        data: The file's content: any format Pillow reads, or a .npy array (H, W, C) of uint8.
        channels: 3 for colour, 1 for gray; others are read from .npy or multi-channel TIFF.
        at_least: See transforms.LoadImage.

    Returns:
        uint8 (H, W, channels), BGR if there are 3.

    Raises:
        ValueError: If the data are empty, damaged, no picture, or have other channels.
    """
    if not data:
        raise ValueError("the file is empty")
    if data[:6] == b"\x93NUMPY":
        try:
            array = np.load(io.BytesIO(data), allow_pickle=False)
        except Exception as error:  # NumPy parses the header as Python.
            raise ValueError(f"damaged .npy ({error})") from None
        return _check_array(array, channels)
    if channels not in (1, 3):
        return _check_array(_decode_tiff(data), channels)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if at_least:
                image.draft(None, (at_least, at_least))  # JPEGs alone heed it.
            pixels = np.asarray(_to_mode(ImageOps.exif_transpose(image), channels))
    except Exception as error:  # Pillow raises all kinds of errors on damaged headers
        if data[:4] in (b"II*\0", b"MM\0*") and isinstance(error, UnidentifiedImageError):
            return _check_array(_decode_tiff(data), channels)
        # Pillow prints the address of the buffer, which says nothing.
        text = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise ValueError(text) from None
    return pixels[:, :, None] if channels == 1 else pixels[:, :, ::-1]


def _to_mode(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, also where Pillow says "I" for 32
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("32-bit float pixels; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _decode_tiff(data: bytes) -> np.ndarray:
    try:
        import tifffile

        return tifffile.imread(io.BytesIO(data))
    except Exception as error:
        raise ValueError(f"no multi-channel TIFF or .npy ({error})") from None


def _check_array(array: np.ndarray, channels: int) -> np.ndarray:
    array = array[:, :, None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] != channels or array.dtype != np.uint8:
        raise ValueError(
            f"got {array.dtype} of shape {array.shape}; expected uint8 (H, W, {channels})"
        )
    return array


def read_image(
    path: str | os.PathLike, channels: int = 3, at_least: int | None = None
) -> np.ndarray:
    """Read a picture file; see decode_image.

    Returns:
        uint8 (H, W, channels), BGR if there are 3.

    Raises:
        ValueError: With the path and what is wrong.
        FileNotFoundError: If there is no such file.
    """
    data = Path(path).read_bytes()
    try:
        return decode_image(data, channels, at_least)
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from None


def cache_dir() -> Path:
    """The user's folder for what can be made again: $MMGEN_EXT_CACHE, else ~/.cache/mmgen_ext."""
    chosen = os.environ.get("MMGEN_EXT_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path.home() / ".cache" / "mmgen_ext"
    except RuntimeError:  # no home
        return Path(tempfile.gettempdir()) / "mmgen_ext"


def scan_images(paths: Sequence[Path], channels: int = 3, look: bool = False) -> list[dict]:
    """Decode every picture once and say which are broken; remembered by size and time of change.

    Args:
        paths: Picture files.
        channels: As for decode_image.
        look: Whether sound pictures are looked at as well.

    Returns:
        For each path `error` (None or what is wrong), `digest` (of the content), and `look` (see
        looks.look_at) of sound ones if asked for, or if it is known already.
    """
    if not paths:
        return []
    # Each folder has a memory of its own, so that many data sets do not grow one file.
    folder = os.path.commonpath([p.resolve().parent for p in paths])
    key = hashlib.sha256(f"{folder}|{channels}".encode()).hexdigest()[:16]
    memory = cache_dir() / f"scan-{key}.json"
    known = _recall(memory)
    todo = [path for path in paths if not _is_known(known.get(str(path)), path, look)]
    if todo:
        title = f"checking {Path(folder).name}"
        try:
            checks = in_threads(lambda path: _check(path, channels, look), todo, title)
            for path, check in zip(todo, checks, strict=True):
                known[str(path)] = {"stamp": _stamp(path), **check}
        finally:  # Ctrl-C loses nothing.
            _remember(memory, known)
    return [known[str(path)] for path in paths]


def _recall(memory: Path) -> dict[str, dict]:
    """What was remembered; what was written otherwise, by another version, is seen anew."""
    try:
        known = dict(json.loads(memory.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
    keys = {"stamp", "error", "digest"}
    return {path: e for path, e in known.items() if isinstance(e, dict) and keys <= set(e)}


def _is_known(entry: dict | None, path: Path, look: bool) -> bool:
    return bool(entry) and entry["stamp"] == _stamp(path) and ("look" in entry or not look)


def _remember(memory: Path, known: dict) -> None:
    # What is broken is looked at again: its cure need not change the file.
    sound = {path: entry for path, entry in known.items() if not entry["error"]}
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with replacing(memory) as part:
            part.write_text(json.dumps(sound), "utf-8")
    except OSError:
        pass  # Nowhere to remember it: the next run scans again.


def check_images(paths: Sequence[Path], channels: int = 3) -> None:
    """Raise a ValueError that names every broken picture among `paths`."""
    checks = scan_images(paths, channels)
    broken = [(p, c["error"]) for p, c in zip(paths, checks, strict=True) if c["error"]]
    if broken:
        raise ValueError(f"{list_broken(broken)}\nRemove or replace them")


def list_broken(broken: Sequence[tuple[Path, str]]) -> str:
    """One line for each (path, what is wrong), under their count."""
    lines = "".join(f"\n  {path}: {error}" for path, error in broken)
    return f"{counted(len(broken), 'broken image')}:{lines}"


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _check(path: Path, channels: int, look: bool) -> dict:
    try:
        data = path.read_bytes()
        image = decode_image(data, channels)
    except (OSError, ValueError) as error:
        return {"error": str(error), "digest": None}
    check = {"error": None, "digest": hashlib.sha256(data).hexdigest()[:32]}
    return {**check, "look": look_at(image)} if look else check
