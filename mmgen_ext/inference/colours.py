"""Colours of video frames: between a codec's YUV, by its tags, and BGR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Numbers of ISO/IEC 23091-2, which FFmpeg and the files' tags share.
_BT709, _UNKNOWN, _BT470BG, _SMPTE170M = 1, 2, 5, 6
# What the fast ways round off is kept: bicubic, accurate rounding, colour at every pixel. These are
# swscale's numbers: PyAV has names for them since 18 only.
_CAREFUL = 0x4 | 0x40000 | 0x2000 | 0x4000
_RGB, _LIMITED, _FULL = 0, 1, 2
# Matrix of the tags to matrix of swscale; the rest (YCgCo, ICtCp) it does not convert.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}


@dataclass(frozen=True)
class Colours:
    """Tags of a video's colours, as numbers of ISO/IEC 23091-2.

    Attributes:
        matrix: From RGB to YUV; 2 if the file does not say.
        primaries: See `matrix`.
        transfer: See `matrix`.
        height: Of the coded picture, by which players guess what the file does not say.
    """

    matrix: int = _BT709
    primaries: int = _BT709
    transfer: int = _BT709
    height: int = 0

    @classmethod
    def of(cls, frame, context) -> Colours:
        """Tags of a frame and its decoder; RGB (GIF, screen recordings) is written as BT.709."""
        if _is_rgb(frame) or frame.colorspace == _RGB:
            return cls()
        matrix = frame.colorspace if frame.colorspace in _MATRICES else _UNKNOWN
        return cls(matrix, context.color_primaries, context.color_trc, frame.height)

    def swscale(self) -> int:
        """Matrix for swscale: what is not said is guessed as players do."""
        # Both ways by one guess and with the same missing tag: a player's guess is none the worse.
        guess = _BT709 if self.height >= 720 else _SMPTE170M
        return _MATRICES[guess if self.matrix == _UNKNOWN else self.matrix]


def _is_rgb(frame) -> bool:
    return frame.format.is_rgb or frame.format.name == "pal8"


def to_bgr(frame, colours: Colours, width: int, height: int) -> np.ndarray:
    """Pixels of a decoded frame.

    Args:
        frame: av.VideoFrame in any format, also with 10 bits.
        colours: Of its video.
        width: Of the result.
        height: Of the result.

    Returns:
        uint8 (height, width, 3), BGR; what is transparent is laid on white.
    """
    name = frame.format.name
    options = dict(width=width, height=height, interpolation=_CAREFUL)
    if not _is_rgb(frame):
        options |= dict(src_colorspace=colours.swscale(), dst_color_range=_FULL)
        # Some formats say by their name that they use the full range.
        full = frame.color_range == _FULL or name.startswith("yuvj")
        full |= name.startswith("gray") and frame.color_range != _LIMITED
        options["src_color_range"] = _FULL if full else _LIMITED
    if name != "pal8" and not any(c.is_alpha for c in frame.format.components):
        return frame.reformat(format="bgr24", **options).to_ndarray()
    pixels = frame.reformat(format="bgra", **options).to_ndarray().astype(np.uint16)
    colour, opacity = pixels[..., :3], pixels[..., 3:]
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def from_bgr(image: np.ndarray, colours: Colours, pixel_format: str):
    """An av.VideoFrame in limited range, which every player shows right.

    Args:
        image: uint8 (H, W, 3), BGR.
        colours: Of the video to write.
        pixel_format: The encoder's, for example "yuv420p".
    """
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
    if av.VideoFormat(pixel_format).is_rgb:
        return frame.reformat(format=pixel_format)
    return frame.reformat(
        format=pixel_format,
        interpolation=_CAREFUL,
        src_color_range=_FULL,
        dst_color_range=_LIMITED,
        dst_colorspace=colours.swscale(),
    )
