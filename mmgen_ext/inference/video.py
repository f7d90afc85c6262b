"""Videos through a Translator: the same times and sound, other pictures."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..words import counted
from .finish import Finish, FrameTranslator
from .overlap import Ahead, Behind, Interrupts
from .video_reader import Frame, VideoReader
from .video_writer import VideoWriter, check_output


@dataclass(frozen=True)
class VideoReport:
    """What became of a video.

    Attributes:
        target: The file.
        num_frames: Frames written.
        seconds: How long they last.
        lost: What could not be read of the source, in words; None if nothing is known of any.
        interrupted: Whether Ctrl-C or SIGTERM ended it early.
    """

    target: Path
    num_frames: int
    seconds: float
    lost: str | None = None
    interrupted: bool = False


class VideoInterrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM while a video was translated; what was done by then is a whole file.

    Args:
        report: What was written.
    """

    def __init__(self, report: VideoReport):
        super().__init__(
            f"{counted(report.num_frames, 'frame')} ({report.seconds:.2f} s) are in {report.target}"
        )
        self.report = report


def translate_video(
    translator,
    source: str | os.PathLike,
    target: str | os.PathLike,
    to: str | None = None,
    size: int | None = None,
    batch_size: int = 1,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    quality: int = 18,
    codec: str | None = None,
    stabilise: bool | float = False,
    compare: bool = False,
    watch: Callable[[int, int | None], None] | None = None,
) -> VideoReport:
    """Translate a video; times, sound, rotation, colours and metadata stay.

    Args:
        translator: A Translator.
        source: Video file that FFmpeg reads.
        target: .mp4, .m4v, .mov, .mkv or .webm file; replaced if it is there.
        to: Target domain; None for the translator's default.
        size: Short side at which to work; None for the video's own. The result has the video's.
        batch_size: Frames that go through the network together.
        start: Seconds from the beginning of the source; the frame on show then is the first.
        end: Seconds from the beginning of the source.
        fps: Frames per second of the result, by repeating or leaving out frames; None for those of
            the source at their own times.
        quality: Constant rate factor of the encoder, less is better.
        codec: FFmpeg's name of the encoder; None for H.264 (libx264), in WebM VP9.
        stabilise: Whether to take flicker out, or how much of it, from 0 to 1; see Stabiliser.
        compare: Whether the left half of each frame stays as it is.
        watch: Called with the number of frames done and that of all, None if it is not known,
            before the first frame and after each batch. What it raises ends the translation: no
            file is left behind, and it is raised on.

    Raises:
        FileNotFoundError: If there is no such video.
        ValueError: If it cannot be decoded, the times do not fit it, or it cannot be encoded so.
        OSError: If the target cannot be written.
        VideoInterrupted: On Ctrl-C or SIGTERM, after the file was completed with what was done.
    """
    source, target = Path(source), Path(target)
    codec = check_output(target, codec)
    if target.exists() and source.exists() and target.samefile(source):
        raise ValueError(f"{target} is the input itself; name another file")
    if fps is not None and not 0 < fps <= 1000:
        raise ValueError(f"--fps is {fps:g}; expected frames per second, up to 1000")
    translate, finish = FrameTranslator(translator, to, size), Finish(stabilise, compare)
    with VideoReader(source, start, end) as reader, Interrupts() as interrupts:
        info, frames = reader.info, iter(reader)
        tick, rate = info.time_base, info.rate
        if fps is not None:
            rate = Fraction(fps).limit_denominator(1001)
            tick, frames = 1 / rate, resample(frames, tick, rate)
        with VideoWriter(
            target, info.width, info.height, tick, rate, codec, quality,
            info.colours, info.sample_aspect, info.metadata,
        ) as writer:  # fmt: skip
            length = None if end is None else Fraction(end) - Fraction(start or 0)
            writer.add_audio(source, info.origin + Fraction(start or 0), bool(start), length)
            with tqdm(
                total=reader.expect(rate), unit="frame", disable=not sys.stderr.isatty()
            ) as bar:
                tell = _telling(bar, watch)
                _pipe(frames, translate, _writing(writer, finish), batch_size, interrupts, tell)
            if not writer.num_frames:
                if interrupts.asked:
                    raise KeyboardInterrupt
                raise ValueError(f"no frame of {source} can be decoded in the chosen time")
            fault = writer.finish(writer.seconds if interrupts.asked else length)
        done = VideoReport(target, writer.num_frames, float(writer.seconds))
        if interrupts.asked:
            raise VideoInterrupted(replace(done, interrupted=True))
        return replace(done, lost="; ".join(filter(None, (reader.damage(), fault))) or None)


def _pipe(
    frames: Iterable[Frame],
    translate: FrameTranslator,
    write: Callable[[tuple[Frame, np.ndarray]], None],
    batch_size: int,
    interrupts: Interrupts,
    tell: Callable[[int], None],
) -> None:
    """Decode in one thread, translate in this one, and write in a third."""
    room = 2 * batch_size + 2
    tell(0)
    with Ahead(frames, room) as ahead, Behind(write, room) as behind:
        ahead = iter(ahead)
        while batch := list(itertools.islice(ahead, batch_size)):
            results = interrupts.run(translate, [frame.image for frame in batch])
            if results is None:
                return
            for pair in zip(batch, results, strict=True):
                behind.put(pair)
            tell(len(batch))
            if interrupts.asked:
                return


def _telling(bar: tqdm, watch: Callable[[int, int | None], None] | None) -> Callable[[int], None]:
    """A function that takes how many more frames are done."""
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        bar.update(more)
        if watch:
            watch(done, bar.total)

    return tell


def _writing(writer: VideoWriter, finish: Finish) -> Callable[[tuple[Frame, np.ndarray]], None]:
    """A function that writes a frame and its translation, finished."""

    def write(pair: tuple[Frame, np.ndarray]) -> None:
        frame, translated = pair
        image = finish(frame.image, translated)
        step = frame.duration // frame.repeats
        for i in range(frame.repeats):
            writer.write(image, frame.pts + i * step, step)

    return write


def resample(frames: Iterable[Frame], time_base: Fraction, rate: Fraction) -> Iterator[Frame]:
    """Frames at a fixed rate: each repeated, or left out, so that it stays at its time.

    Args:
        frames: With times in ticks of `time_base`.
        time_base: Seconds.
        rate: Frames per second of the result, whose ticks are 1 / rate.
    """
    # The nearest tick and not the last one: times rounded to milliseconds would stutter.
    half = Fraction(1, 2)
    for frame in frames:
        begin = floor(frame.pts * time_base * rate + half)
        count = floor((frame.pts + frame.duration) * time_base * rate + half) - begin
        if count > 0:
            yield Frame(frame.image, begin, count, count)
