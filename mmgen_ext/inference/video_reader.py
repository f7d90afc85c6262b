"""Videos as sources: frame by frame, upright, each with its time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .colours import to_bgr
from .video_info import VideoInfo, describe, load_av, open_input, orientation, picture_stream


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


def probe(path: str | os.PathLike) -> VideoInfo:
    """What a video file is; its first frame is decoded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video that can be decoded here.
    """
    with VideoReader(path) as reader:
        return reader.info


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
            self.info = describe(self._container, self._stream, first)
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
        transposed = orientation(frame)[0]
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
        self._stream = picture_stream(self._container, self.path)
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


def _upright(image: np.ndarray, frame) -> np.ndarray:
    transpose, mirror, upside_down = orientation(frame)
    image = image.transpose(1, 0, 2) if transpose else image
    image = image[:, ::-1] if mirror else image
    image = image[::-1] if upside_down else image
    return np.ascontiguousarray(image)
