"""Video files: which there are, and what each one is."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .colours import Colours

VIDEO_SUFFIXES = [
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".mts",
    ".m2ts", ".flv", ".wmv", ".3gp", ".ogv",
]  # fmt: skip
# Demuxers that take text or a still picture for a video.
_NO_VIDEO = {"tty", "bin", "xbin", "adf", "idf", "image2"}


@dataclass(frozen=True)
class VideoInfo:
    """What a video file is.

    Attributes:
        width: Of the picture as players show it (turned upright), in pixels.
        height: See `width`.
        duration: Seconds of the pictures; None if the file does not say.
        rate: Frames per second, the average if it varies.
        num_frames: About how many; None if the duration is not known.
        time_base: Seconds of a tick.
        codec: Name of the pictures' codec.
        has_audio: Whether it has sound.
        colours: How its colours are coded.
        sample_aspect: Width of a pixel over its height.
        metadata: Title, date and the like.
        origin: Seconds on the file's own clock at which it begins.
    """

    width: int
    height: int
    duration: float | None
    rate: Fraction
    num_frames: int | None
    time_base: Fraction
    codec: str
    has_audio: bool
    colours: Colours
    sample_aspect: Fraction
    metadata: dict[str, str]
    origin: Fraction


def load_av():
    """PyAV.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        import av
    except ImportError:
        raise ValueError('video needs PyAV; install it with: pip install -e ".[video]"') from None
    return av


def is_video_name(path: str | os.PathLike) -> bool:
    """Whether a path is named like a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def open_input(path: Path):
    """Open a media file for reading with PyAV.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty or nothing that is known.
    """
    av = load_av()
    if not path.exists():
        raise FileNotFoundError(f"no video {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a video file")
    if path.stat().st_size == 0:
        raise ValueError(f"video {path} is empty (0 bytes)")
    try:
        # An absolute path cannot be taken for a protocol.
        return av.open(str(path.resolve()), metadata_errors="replace")
    except av.error.PermissionError:
        raise OSError(f"cannot read {path}: permission denied") from None
    except av.FFmpegError as error:
        hint = (
            " (a recording that was cut off lacks the index at its end)"
            if path.suffix.lower() in (".mp4", ".mov", ".m4v", ".3gp")
            else ""
        )
        text = (error.strerror or "unknown format").lower()
        raise ValueError(f"{path} is no video, or is damaged: {text}{hint}") from None


def picture_stream(container, path: Path):
    """The stream of moving pictures: not the cover of a piece of music."""
    av = load_av()
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    name = container.format.name
    if name in _NO_VIDEO or name.endswith("_pipe"):
        raise ValueError(f"{path} is no video but {container.format.long_name}")
    if not streams:
        kind = "sound but no pictures" if container.streams.audio else "no pictures"
        raise ValueError(f"{path} holds {kind}; expected a video")
    if streams[0].codec_context is None:
        raise ValueError(f"there is no decoder here for the pictures of {path}; convert it first")
    return streams[0]


def describe(container, stream, first) -> VideoInfo:
    """What an open file is, by its stream of pictures and the first of them."""
    tick = stream.time_base
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    begin = Fraction(container.start_time or 0, 1_000_000)
    if first.pts is not None:
        begin = min(max(begin, Fraction(0)), first.pts * tick)
    end = _end_time(container, stream)
    duration = None if end is None else max(float(end - begin), 0.0)
    transposed = orientation(first)[0]
    aspect = stream.sample_aspect_ratio or Fraction(1)
    size = (first.width, first.height)[:: -1 if transposed else 1]
    about = stream.frames or (round(duration * rate) if duration else None)
    tags = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
    return VideoInfo(
        *size,
        duration,
        rate,
        about,
        tick,
        stream.codec_context.codec.canonical_name,
        bool(container.streams.audio),
        Colours.of(first, stream.codec_context),
        1 / aspect if transposed else aspect,
        {k: v for k, v in container.metadata.items() if k.lower() not in tags},
        begin,
    )


def _end_time(container, stream) -> Fraction | None:
    """Seconds on the file's clock at which its pictures end, if it says so."""
    if stream.duration is not None:
        return ((stream.start_time or 0) + stream.duration) * stream.time_base
    text = stream.metadata.get("DURATION", "")  # Matroska's, "00:00:05.280000000"
    with contextlib.suppress(ValueError):
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    if container.duration is not None:
        return Fraction((container.start_time or 0) + container.duration, 1_000_000)
    return None


def orientation(frame) -> tuple[bool, bool, bool]:
    """(transpose, mirror, upside down), in this order, that makes a coded frame upright."""
    matrix = frame.side_data.get("DISPLAYMATRIX") if len(frame.side_data) else None
    if matrix is None:
        return False, False, False
    # x' = a x + c y and y' = b x + d y, each row with a third number for the perspective.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    return (True, c < 0, b < 0) if abs(b) > abs(a) else (False, a < 0, d < 0)
