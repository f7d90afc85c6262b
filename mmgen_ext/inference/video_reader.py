"""Videos as sources: what a file shows, frame by frame, upright and at which time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .colours import Colours, to_bgr

VIDEO_SUFFIXES = [
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".mts",
    ".m2ts", ".flv", ".wmv", ".3gp", ".ogv",
]  # fmt: skip
# Demuxers that take text or a still picture for a video.
_NO_VIDEO = {"tty", "bin", "xbin", "adf", "idf", "image2"}


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        image: uint8 (H, W, 3), BGR, upright.
        pts: When it is shown first, in ticks of the clip's time base; 0 is the clip's beginning.
        duration: Ticks for which it is shown.
        repeats: As how many frames in a row it is written.
    """

    image: np.ndarray
    pts: int
    duration: int
    repeats: int = 1


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
        raise ValueError("video needs PyAV; install it with: pip install -e .[video]") from None
    return av


def is_video_name(path: str | os.PathLike) -> bool:
    """Whether a path is named like a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def probe(path: str | os.PathLike) -> VideoInfo:
    """What a video file is; its first frame is decoded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video that can be decoded here.
    """
    with VideoReader(path) as reader:
        return reader.info


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


class VideoReader:
    """A video's frames in the order in which they are shown; a context manager.

    Args:
        path: Video file.
        start: Seconds from its beginning; the picture on show then is the first.
        end: Seconds from its beginning, where it stops.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video that can be decoded here, or the times do not fit it.
    """

    def __init__(
        self, path: str | os.PathLike, start: float | None = None, end: float | None = None
    ):
        self.path = Path(path)
        _check_times(start, end)
        self._reached: int | None = None  # Ticks at which the last picture ends.
        with contextlib.ExitStack() as self._stack:
            self._open()
            first = next(self._decoded(), None)
            if first is None:
                raise ValueError(f"no frame of {self.path} can be decoded; is it damaged?")
            self.info = _describe(self._container, self._stream, first)
            tick = self.info.time_base
            self._start = round(start / tick) if start else 0
            self._end = None if end is None else round(end / tick)
            if self.info.duration is not None and (start or 0) >= self.info.duration:
                raise ValueError(
                    f"--start {start:g} lies beyond the end of {self.path}, which lasts "
                    f"{self.info.duration:.2f} s"
                )
            self._stack = self._stack.pop_all()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Frame]:
        """Frames from `start` to `end`; what cannot be decoded is left out, see `damage`."""
        for frame, pts, duration in self._timed():
            begin = max(pts, self._start)
            finish = pts + duration
            self._reached = finish
            if self._end is not None:
                finish = min(finish, self._end)
            if finish > begin:
                yield Frame(self._picture(frame), begin - self._start, finish - begin)
            if self._end is not None and pts + duration >= self._end:
                return

    def expect(self, rate: Fraction) -> int | None:
        """About how many frames there will be if there are at most `rate` a second."""
        info, tick = self.info, self.info.time_base
        if rate >= info.rate and not self._start and self._end is None:
            return info.num_frames
        if info.duration is None:
            return None
        end = info.duration if self._end is None else min(info.duration, self._end * tick)
        return round((end - self._start * tick) * min(rate, info.rate))

    def damage(self) -> str | None:
        """What could not be read, in words, after iterating; None if nothing is known of any."""
        lost = []
        if self._num_bad:
            s = "s" if self._num_bad > 1 else ""
            lost.append(f"{self._num_bad} damaged packet{s} could not be decoded")
        duration, tick = self.info.duration, self.info.time_base
        end = None if duration is None else round(duration / tick)
        end = end if self._end is None or end is None else min(end, self._end)
        frame = 1 / (self.info.rate * tick)
        if end is not None and self._reached is not None and end - self._reached > 1.5 * frame:
            missing = float((end - self._reached) * tick)
            lost.append(f"the last {missing:.2f} s of {float(end * tick):.2f} s are missing")
        return "; ".join(lost) or None

    def _picture(self, frame) -> np.ndarray:
        # Streams may change their size on the way: all frames come out as the first.
        transposed = _orientation(frame)[0]
        size = (self.info.width, self.info.height)[:: -1 if transposed else 1]
        return _upright(to_bgr(frame, self.info.colours, *size), frame)

    def _timed(self) -> Iterator[tuple]:
        """(frame, pts, duration) in ticks from the beginning, each shown until the next one."""
        usual = max(1, round(1 / (self.info.rate * self.info.time_base)))
        before, begin = None, 0
        for frame in self._from_start():
            pts = self._ticks(frame)
            if before is not None:
                # Damaged or badly written clocks stand still or go back.
                pts = begin + usual if pts is None else max(pts, begin + 1)
                yield before, begin, pts - begin
            before, begin = frame, pts or 0
        if before is not None:
            yield before, begin, before.duration or usual

    def _ticks(self, frame) -> int | None:
        if frame.pts is None:
            return None
        return frame.pts - round(self.info.origin / self.info.time_base)

    def _from_start(self) -> Iterator:
        """Decoded frames from one that is shown at `start` or before."""
        av = load_av()
        origin = round(self.info.origin / self.info.time_base)
        # A seek finds a keyframe by the time of decoding, which may lie after `start`.
        for back in (0, 2) if self._start else ():
            target = self._start - round(back / self.info.time_base)
            try:
                self._container.seek(max(0, target) + origin, stream=self._stream)
            except av.FFmpegError:
                break
            frames = self._decoded()
            first = next(frames, None)
            if first is not None and (self._ticks(first) or 0) <= self._start:
                yield first
                yield from frames
                return
        self._open()  # Not every format can be wound back to its very beginning.
        yield from self._decoded()

    def _open(self) -> None:
        self._container = self._stack.enter_context(open_input(self.path))
        self._stream = _picture_stream(self._container, self.path)
        self._stream.thread_type = "AUTO"
        self._num_bad = 0

    def _decoded(self) -> Iterator:
        av = load_av()
        for packet in self._packets():
            try:
                yield from self._stream.decode(packet)
            except av.error.EOFError:
                return
            except av.FFmpegError:
                self._num_bad += 1

    def _packets(self) -> Iterator:
        av = load_av()
        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError:
            self._num_bad += 1
            yield None  # Asks the decoder for what it still holds.


def _check_times(start: float | None, end: float | None) -> None:
    for name, value in (("start", start), ("end", end)):
        if value is not None and not 0 <= value < float("inf"):
            raise ValueError(f"--{name} is {value:g}; expected seconds from the video's beginning")
    if end is not None and end <= (start or 0):
        raise ValueError(f"--end {end:g} is not after --start {start or 0:g}")


def _picture_stream(container, path: Path):
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


def _describe(container, stream, first) -> VideoInfo:
    tick = stream.time_base
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    begin = Fraction(container.start_time or 0, 1_000_000)
    if first.pts is not None:
        begin = min(max(begin, Fraction(0)), first.pts * tick)
    end = _end_time(container, stream)
    duration = None if end is None else max(float(end - begin), 0.0)
    transposed = _orientation(first)[0]
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
        Colours.of(first),
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


def _orientation(frame) -> tuple[bool, bool, bool]:
    """(transpose, mirror, upside down), in this order, that makes a coded frame upright."""
    matrix = frame.side_data.get("DISPLAYMATRIX") if len(frame.side_data) else None
    if matrix is None:
        return False, False, False
    # x' = a x + c y and y' = b x + d y, each row with a third number for the perspective.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    return (True, c < 0, b < 0) if abs(b) > abs(a) else (False, a < 0, d < 0)


def _upright(image: np.ndarray, frame) -> np.ndarray:
    transpose, mirror, upside_down = _orientation(frame)
    image = image.transpose(1, 0, 2) if transpose else image
    image = image[:, ::-1] if mirror else image
    image = image[::-1] if upside_down else image
    return np.ascontiguousarray(image)
