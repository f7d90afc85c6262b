"""A picture file and all that belongs to it: pixels, transparency, colour profile, EXIF."""

from __future__ import annotations

import dataclasses
import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from ..datasets.images import decode_image
from ..files import replacing
from ..pictures import side_by_side

# Formats that are written, and those of them that can carry more than 8-bit colour.
WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_WITH_ALPHA = (".png", ".webp", ".tif", ".tiff")
_WITH_16_BITS = (".png", ".tif", ".tiff")
_OPTIONS = {
    "JPEG": dict(quality=95, subsampling=0),
    "WEBP": dict(quality=95),
    # A third of the time of the default, for a tenth more bytes.
    "PNG": dict(compress_level=2),
}
_ORIENTATION = 0x0112
# Description, camera, resolution, software, date, artist, copyright, Exif and GPS.
_KEPT_OF_TIFF = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853}
# EXIF orientation to what turns the pixels upright.
_UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@dataclasses.dataclass
class Picture:
    """What a file shows, upright.

    Attributes:
        pixels: uint8 or uint16 (H, W, C), BGR if C is 3. Where alpha is 0 they are white.
        alpha: (H, W) of the same type, or None.
        profile: ICC profile, or None.
        exif: EXIF block without orientation, or None.
        num_frames: Pictures in the file, of which this is the first.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    num_frames: int = 1


def read_picture(path: str | os.PathLike, channels: int = 3, bits: int = 8) -> Picture:
    """Read a picture file; see decode_picture.

    Raises:
        ValueError: With the path and what is wrong.
        OSError: If it cannot be opened.
    """
    data = Path(path).read_bytes()
    try:
        return decode_picture(data, channels, bits)
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from None


def decode_picture(data: bytes, channels: int = 3, bits: int = 8) -> Picture:
    """Decode a picture with its transparency, colour profile and EXIF.

    Args:
        data: The file's content.
        channels: 3 for colour, 1 for gray; others come without anything else.
        bits: 8 for uint8 pixels, 16 for uint16: 8-bit files are spread over the range.

    Raises:
        ValueError: If the data are empty, damaged, too large or no picture.
    """
    if channels not in (1, 3) or data[:6] == b"\x93NUMPY" or not data:
        return Picture(_to_bits(decode_image(data, channels), bits))
    try:
        with Image.open(io.BytesIO(data)) as image:
            num_frames = getattr(image, "n_frames", 1)
            exif = image.getexif()
            orientation, profile = exif.get(_ORIENTATION, 1), image.info.get("icc_profile")
            deep = _decode_16_bits(data) if _is_deep(image, data) else None
            if deep is None:
                rgba = _upright_rgba(image)
            for tag in [t for t in exif if t == _ORIENTATION or _describes_file(image, t)]:
                del exif[tag]
    except Image.DecompressionBombError:
        raise ValueError(
            f"it claims more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels, "
            f"as files do that are made to fill the memory; cut it into pieces"
        ) from None
    except Exception:
        # decode_image knows the formats that Pillow does not, and says what is wrong.
        return Picture(_to_bits(decode_image(data, channels), bits))
    if deep is not None:
        pixels, alpha = _split(_UPRIGHT.get(orientation, lambda a: a)(deep))
    else:
        pixels, alpha = _split(rgba)
    if channels == 1:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)[:, :, None]
    wanted = b"GRAY" if channels == 1 else b"RGB "
    return Picture(
        _to_bits(pixels, bits),
        None if alpha is None else _to_bits(alpha, bits),
        # A profile of CMYK or gray says nothing about the colours that it was turned into.
        profile if profile and profile[16:20] == wanted else None,
        exif.tobytes() if len(exif) else None,
        num_frames,
    )


def translated_picture(picture: Picture, result: np.ndarray, compare: bool = False) -> Picture:
    """A picture with other pixels (H, W, C); for `compare` with both, side by side.

    Side by side there is no transparency: both show as they do on white.
    """
    if not compare:
        return dataclasses.replace(picture, pixels=result)
    both = [picture.pixels, result]
    if picture.alpha is not None:
        both = [_on_white(pixels, picture.alpha) for pixels in both]
    return dataclasses.replace(picture, pixels=side_by_side(*both), alpha=None)


def write_picture(path: str | os.PathLike, picture: Picture) -> None:
    """Write a picture in the format of the suffix, with all of it that the format carries.

    Transparency is laid on white where the format has none. Whole or not at all.

    Raises:
        ValueError: If the format cannot hold these pixels.
        OSError: If it cannot be written.
    """
    path = Path(path)
    data = encode_picture(picture, path.suffix)
    with replacing(path) as part:
        part.write_bytes(data)


def encode_picture(picture: Picture, suffix: str) -> bytes:
    """The content of a picture file; see write_picture."""
    suffix, pixels, alpha = suffix.lower(), picture.pixels, picture.alpha
    if suffix not in WRITABLE:
        raise ValueError(f"pictures are not written as {suffix!r}; choose of {' '.join(WRITABLE)}")
    if pixels.shape[2] not in (1, 3):
        raise ValueError(
            f"{pixels.shape[2]} channels cannot be written as a picture; the Translator in Python "
            f"returns them as an array"
        )
    if alpha is not None and suffix not in _WITH_ALPHA:
        pixels, alpha = _on_white(pixels, alpha), None
    if pixels.dtype == np.uint16:
        if suffix not in _WITH_16_BITS:
            raise ValueError(f"{suffix} holds 8 bits; write 16 bits to {' '.join(_WITH_16_BITS)}")
        return _encode_16_bits(picture, pixels, alpha, suffix)
    layers = [pixels[:, :, ::-1]] if alpha is None else [pixels[:, :, ::-1], alpha[:, :, None]]
    array = np.concatenate(layers, axis=2)
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else np.ascontiguousarray(array))
    form = Image.registered_extensions()[suffix]
    options = dict(_OPTIONS.get(form, {}))
    if picture.profile and form != "BMP":
        options["icc_profile"] = picture.profile
    if picture.exif and form != "BMP":
        options["exif"] = picture.exif
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether a file has 16 bits, which Pillow would cut to 8 in colour pictures."""
    if image.format == "PNG":
        return data[24] == 16
    return image.format == "TIFF" and 16 in image.tag_v2.get(258, ())


def _describes_file(image: Image.Image, tag: int) -> bool:
    """Whether a tag is about how a TIFF lies in its file; other formats' EXIF holds none."""
    return image.format == "TIFF" and tag not in _KEPT_OF_TIFF


def _decode_16_bits(data: bytes) -> np.ndarray | None:
    """uint16 (H, W, 1 to 4) in BGR order; None if OpenCV finds less."""
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        return None
    return array[:, :, None] if array.ndim == 2 else array


def _upright_rgba(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3 or 4) in BGR order."""
    transparent = image.has_transparency_data
    if image.mode.startswith("I"):  # 16 bits, also where Pillow says "I" for 32
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("32-bit float pixels; save it with 8 or 16 bits")
    array = np.asarray(ImageOps.exif_transpose(image).convert("RGBA" if transparent else "RGB"))
    return array[:, :, [2, 1, 0, 3]] if transparent else array[:, :, ::-1]


def _split(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Colours (H, W, 3) and alpha (H, W) or None, of gray or colour with or without alpha."""
    alpha = array[:, :, -1] if array.shape[2] in (2, 4) else None
    colours = array[:, :, :1] if array.shape[2] < 3 else array[:, :, :3]
    colours = np.repeat(colours, 3, 2) if colours.shape[2] == 1 else np.ascontiguousarray(colours)
    if alpha is not None:
        # What nobody sees is often black, and would darken the statistics of the picture.
        colours = np.where(alpha[:, :, None] == 0, np.iinfo(array.dtype).max, colours)
    return colours.astype(array.dtype, copy=False), alpha


def _to_bits(array: np.ndarray, bits: int) -> np.ndarray:
    if (array.dtype == np.uint16) == (bits == 16):
        return array
    if bits == 16:
        return array.astype(np.uint16) * 257
    return (array >> 8).astype(np.uint8)


def _on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    top = np.iinfo(pixels.dtype).max
    share = alpha[:, :, None].astype(np.float32) / top
    return np.rint(pixels * share + top * (1 - share)).astype(pixels.dtype)


def _encode_16_bits(
    picture: Picture, pixels: np.ndarray, alpha: np.ndarray | None, suffix: str
) -> bytes:
    if suffix != ".png":
        import tifffile

        layers = [pixels[:, :, ::-1]] if alpha is None else [pixels[:, :, ::-1], alpha[:, :, None]]
        file = io.BytesIO()
        tifffile.imwrite(
            file,
            np.concatenate(layers, axis=2),
            metadata=None,
            software=False,
            extratags=_tags_of(picture.exif),
            photometric="rgb" if pixels.shape[2] == 3 else "minisblack",
            extrasamples=None if alpha is None else ["unassalpha"],
            iccprofile=picture.profile,
            compression="zlib",
        )
        return file.getvalue()
    array = pixels if alpha is None else np.dstack([pixels, alpha])
    data = cv2.imencode(".png", np.ascontiguousarray(array))[1].tobytes()
    extra = b""
    if picture.profile:
        extra += _png_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(picture.profile))
    if picture.exif:
        extra += _png_chunk(b"eXIf", picture.exif.removeprefix(b"Exif\0\0"))
    # The header (8 bytes) and IHDR (25) come first; OpenCV writes no metadata of its own.
    return data[:33] + extra + data[33:]


def _tags_of(exif: bytes | None) -> list[tuple]:
    """The words of an EXIF block as tifffile writes them: description, camera, date, author."""
    tags = Image.Exif()
    tags.load(exif or b"")
    return [
        (tag, "s", 0, value, True)
        for tag, value in tags.items()
        if tag in _KEPT_OF_TIFF and isinstance(value, str)
    ]


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
