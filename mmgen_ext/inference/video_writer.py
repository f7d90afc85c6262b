"""Videos as sinks: translated frames, with sound and times, into a file that players play."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from .audio import Audio
from .colours import Colours, from_bgr
from .video_info import load_av

# The containers that hold what is written here, any frame times included, by suffix.
CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}
_COMMON = ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "h264_nvenc", "hevc_nvenc",
           "h264_videotoolbox", "h264_qsv", "mpeg4")  # fmt: skip


def check_output(target: Path, codec: str | None) -> str:
    """The encoder for a video of this name: `codec`, or the usual one of its container for None.

    Raises:
        ValueError: If there is no such container, or no such encoder here.
    """
    av = load_av()
    codec = codec or ("libvpx-vp9" if target.suffix.lower() == ".webm" else "libx264")
    if target.suffix.lower() not in CONTAINERS:
        raise ValueError(
            f"{target} ends in {target.suffix!r}; expected a video's ({' '.join(CONTAINERS)})"
        )
    try:
        found = av.codec.Codec(codec, "w")
    except ValueError:  # PyAV's error of an unknown codec is one
        found = None
    if found is None or found.type != "video":
        here = [name for name in _COMMON if name in av.codecs_available]
        raise ValueError(f"no encoder {codec!r} here; there are {', '.join(here)}")
    return codec


class VideoWriter:
    """Encodes frames into a file that is there when it is whole; a context manager.

    Args:
        target: File with a suffix of CONTAINERS.
        width: Of the frames, in pixels.
        height: See `width`. An odd side is repeated by one pixel: H.264 takes only even ones, and
            neither cutting nor scaling would keep the picture as it is.
        time_base: Seconds of a tick.
        rate: Frames per second, for the encoder's choices; the times are what `write` is told.
        codec: FFmpeg's name of the encoder.
        quality: Constant rate factor, less is better; 18 is hard to tell from the original.
        colours: How to code them.
        sample_aspect: Width of a pixel over its height.
        metadata: Title, date and the like.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If the codec does not go into the container, or cannot encode these frames.
    """

    def __init__(
        self,
        target: Path,
        width: int,
        height: int,
        time_base: Fraction,
        rate: Fraction,
        codec: str,
        quality: int,
        colours: Colours | None = None,
        sample_aspect: Fraction = Fraction(1),
        metadata: dict[str, str] | None = None,
    ):
        self.num_frames, self.seconds = 0, Fraction(0)
        self.target = target
        self._part = target.with_name(f".{target.name}.{os.getpid()}.part")
        self._colours = colours or Colours()
        self._even = height + height % 2, width + width % 2
        self._durations: dict[int, int] = {}
        self._audio: Audio | None = None
        self._stack = ExitStack()
        with ExitStack() as stack:
            stack.callback(self._forget)
            self._output = stack.enter_context(self._open())
            self._output.metadata.update(metadata or {})
            self._stream = self._add_pictures(codec, rate, time_base, quality, sample_aspect)
            self._stack = stack.pop_all()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(load_av().FFmpegError):  # The disk may be full still.
            self._stack.close()

    def _forget(self) -> None:
        with suppress(OSError):
            self._part.unlink()

    def _open(self):
        container = CONTAINERS[self.target.suffix.lower()]
        # A file whose writer is killed plays up to the last second; a finished one is a plain MP4.
        safe = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "1000000"}
        options = {"flush_packets": "1", **(safe if container in ("mp4", "mov") else {})}
        with self._sentences():
            self.target.parent.mkdir(parents=True, exist_ok=True)
            path = str(self._part.resolve())
            return load_av().open(path, "w", format=container, options=options)

    def _add_pictures(self, codec, rate, time_base, quality, sample_aspect):
        try:
            stream = self._output.add_stream(codec, rate=rate)
        except ValueError:
            raise ValueError(
                f"{self.target.suffix} cannot hold what {codec} encodes; take .mkv, or leave the "
                f"codec to us"
            ) from None
        stream.height, stream.width = self._even
        context = stream.codec_context
        formats = [f.name for f in context.codec.video_formats or ()]
        self._format = "yuv420p" if "yuv420p" in formats or not formats else formats[0]
        stream.pix_fmt, context.time_base = self._format, time_base
        context.sample_aspect_ratio = sample_aspect
        context.colorspace = self._colours.matrix
        context.color_primaries = self._colours.primaries
        context.color_trc = self._colours.transfer
        context.color_range = 1  # limited
        stream.options = _quality(codec, quality)
        return stream

    def add_audio(
        self, source: Path, begin: Fraction, trimmed: bool, end: Fraction | None = None
    ) -> None:
        """Carry the sound of a file, before the first frame is written; see Audio."""
        self._audio = self._stack.enter_context(Audio(source, self._output, begin, trimmed, end))

    def write(self, image: np.ndarray, pts: int, duration: int) -> None:
        """Encode uint8 (H, W, 3), BGR, shown from `pts` for `duration`, in ticks.

        Raises:
            OSError: If the disk is full.
        """
        height, width = image.shape[:2]
        below, right = self._even[0] - height, self._even[1] - width
        if below or right:
            image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
        frame = from_bgr(image, self._colours, self._format)
        frame.pts, frame.time_base = pts, self._stream.codec_context.time_base
        self._durations[pts] = duration
        with self._sentences():
            self._mux(self._stream.encode(frame))
        self.num_frames += 1
        self.seconds = (pts + duration) * frame.time_base

    def finish(self, audio_until: Fraction | None = None) -> str | None:
        """Complete the file; the sound goes to `audio_until` seconds, or its end for None.

        Returns:
            What is wrong with the sound, or None.

        Raises:
            OSError: If the disk is full.
        """
        with self._sentences():
            rest = self._stream.encode(None)
            if rest:
                # FFmpeg's MP4 writer takes the end of the film from what came since the last
                # fragment: of reordered frames the last one shown may have come before that.
                end = self.seconds / self._stream.codec_context.time_base
                self._durations[rest[-1].pts] = int(end) - rest[-1].pts
            self._mux(rest)
            if self._audio:
                self._audio.copy_until(audio_until)
                self._audio.finish()
            self._output.close()
            os.replace(self._part, self.target)
        return self._audio.fault if self._audio else None

    def _mux(self, packets: list) -> None:
        for packet in packets:
            # Encoders that reorder forget how long frames last; the last one has no successor.
            packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
            if self._audio and packet.dts is not None:
                self._audio.copy_until(packet.dts * packet.time_base)
            self._output.mux(packet)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Errors of writing under the name that the user knows."""
        try:
            yield
        except (OSError, load_av().FFmpegError) as error:
            text = (error.strerror or str(error)).lower()
            raise OSError(f"cannot write {self.target}: {text}") from error


def _quality(codec: str, quality: int) -> dict[str, str]:
    """Constant quality in the encoder's own words."""
    if codec.startswith("libvpx"):
        return {"crf": str(quality), "b": "0"}
    if codec.startswith("lib"):
        return {"crf": str(quality)}
    return {"cq" if codec.endswith("_nvenc") else "global_quality": str(quality)}
