"""Files that come from outside: what is wrong with them; and files that go there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from app_guard import MEGABYTE
from app_texts import Refused
from PIL import Image

from mmgen_ext.inference.picture_file import Picture, encode_picture, read_picture
from mmgen_ext.pictures import resize_image

PICTURE_MB, VIDEO_MB = 64, 200
MEGAPIXELS = 64  # of a picture; a frame of a video has a quarter at most
SHOWN = 2048  # pixels of the longest side under the slider
SUFFIXES = (".png", ".jpg", ".webp", ".tif")
Image.init()
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA")
FORMATS = tuple(name for name in FORMATS if name in Image.OPEN)  # AVIF came with Pillow 11.3.
# Beginnings of video files, at their places. None of them is a list that names other files.
MAGIC = {
    0: (b"\x1a\x45\xdf\xa3", b"RIFF", b"OggS", b"FLV", b"\x30\x26\xb2\x75", b"\x00\x00\x01",
        b"GIF8", b"\x47"),
    4: (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"\x47"),
}  # fmt: skip


def uploaded(value: object, megabytes: int, missing: str) -> tuple[Path, str]:
    """The file of an upload, and its name without the suffix."""
    # A path outside of a dict is of no upload: the guard has not seen it.
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str) or not path:
        raise Refused(missing)
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError:
        raise Refused("gone") from None
    if size == 0:
        raise Refused("empty_file")
    if size > megabytes * MEGABYTE:
        raise Refused("too_large", size=f"{size / MEGABYTE:.0f}", limit=megabytes)
    name = value.get("orig_name")
    return path, plain(Path(name if isinstance(name, str) else path.name).stem) or "picture"


def plain(name: str) -> str:
    """A name with nothing in it that a file system or a browser takes amiss."""
    return re.sub(r"[^\w.-]+", "_", name)[:60].strip("._")


def one_of(value: object, choices: Sequence[str]) -> str:
    """The value, if it is one of the choices."""
    if value not in choices:
        raise Refused("bad_option", value=str(value)[:80], choices=", ".join(choices))
    return value


def whole_size(value: object) -> int | None:
    """The short side at which to work; None for the original's own."""
    if not value:
        return None
    if not isinstance(value, (int, float)) or not 32 <= value <= 4096 or value != int(value):
        raise Refused("bad_size")
    return int(value)


def check_picture(path: Path) -> None:
    """Refuse what is no picture, or claims to be too large, before it is decoded."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise Refused("not_picture", reason="decompression bomb") from None
    except Image.UnidentifiedImageError:
        known = Refused("not_known", formats=" ".join(FORMATS))
        raise Refused("not_picture", reason=known) from None
    except Exception as error:  # Pillow's readers raise all kinds.
        raise Refused("not_picture", reason=sentence(error, path)) from None
    _check_pixels(width, height, MEGAPIXELS)


def check_video(path: Path) -> None:
    """Refuse what is no video, or is a list of other files, before it is decoded."""
    from mmgen_ext.inference.video_reader import probe

    with open(path, "rb") as file:
        head = file.read(16)
    if not any(head[at:].startswith(starts) for at, starts in MAGIC.items()):
        raise Refused("not_video", reason=Refused("not_known", formats="MP4 MOV WebM MKV AVI MPEG"))
    try:
        info = probe(path)
    except (ValueError, OSError) as error:
        raise Refused("not_video", reason=sentence(error, path)) from None
    _check_pixels(info.width, info.height, MEGAPIXELS // 4)


def _check_pixels(width: int, height: int, limit: int) -> None:
    if width * height > limit * 1e6:
        raise Refused("too_many_pixels", width=width, height=height, limit=limit)


def read(path: Path, channels: int) -> Picture:
    """Read a picture that was uploaded."""
    try:
        return read_picture(path, channels)
    except (ValueError, OSError) as error:
        raise Refused("not_picture", reason=sentence(error, path)) from None


def sentence(error: Exception, *paths: Path) -> str:
    """What an error says, without where files lie here."""
    text = str(error)
    for path in paths:
        text = text.replace(f"cannot read {path}: ", "").replace(str(path), path.name)
    return text.rstrip(".")


def write(path: Path, picture: Picture) -> Path:
    """Write a result."""
    try:
        path.write_bytes(encode_picture(picture, path.suffix))
    except (ValueError, OSError) as error:
        reason = sentence(error, path)
        raise Refused("not_written", format=path.suffix, reason=reason) from None
    return path


def write_shown(path: Path, picture: Picture) -> Path:
    """Write a copy to look at: exact if it is small."""
    height, width = picture.pixels.shape[:2]
    scale = min(1, SHOWN / max(height, width))
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in (height, width))
        alpha = picture.alpha
        if alpha is not None:
            alpha = resize_image(alpha[:, :, None], height, width, "area")[:, :, 0]
        pixels = resize_image(np.ascontiguousarray(picture.pixels), height, width, "area")
        picture = replace(picture, pixels=pixels, alpha=alpha)
    exact = picture.alpha is not None or height * width <= 500_000
    return write(path.with_suffix(".png" if exact else ".jpg"), picture)
