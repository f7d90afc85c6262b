"""The sound of a video, carried beside its translated pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from .video_info import load_av, open_input

# What players take in a container, where FFmpeg would write more than that.
_MP4 = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}


class Audio:
    """Every sound track of a file, copied packet by packet; a context manager.

    A track is encoded anew only where the target's container cannot hold its codec, or where its
    packets are too long to be cut between them (PCM).

    Args:
        source: Media file.
        output: PyAV's output container to which nothing has been written yet.
        begin: Seconds on the file's own clock that become 0.
        trimmed: Whether what lies before `begin` is cut off.
        end: Seconds from `begin` where the clip ends; None for the end of the file.
    """

    def __init__(
        self, source: Path, output, begin: Fraction, trimmed: bool, end: Fraction | None = None
    ):
        av = load_av()
        self.fault: str | None = None
        self._output, self._begin = output, begin
        self._first = begin if trimmed else None
        self._last = None if end is None else begin + end
        self._input = open_input(source)
        tracks = [s for s in self._input.streams.audio if s.codec_context is not None]
        cut = trimmed or end is not None
        self._tracks = {t.index: _make_track(t, output, cut) for t in tracks}
        if trimmed:
            with contextlib.suppress(av.FFmpegError):
                self._input.seek(int(begin * 1_000_000))
        self._packets = self._read(tracks)
        self._pending = next(self._packets, None)

    def __enter__(self) -> Audio:
        return self

    def __exit__(self, *exc: object) -> None:
        self._input.close()

    def copy_until(self, end: Fraction | None) -> None:
        """Write what begins before `end`, in seconds from the clip's beginning; None: all."""
        while self._pending is not None:
            packet = self._pending
            if end is not None and packet.pts * packet.time_base - self._begin >= end:
                return
            track = self._tracks[packet.stream.index]
            self._write(track, track.parts(packet))
            self._pending = next(self._packets, None)

    def finish(self) -> None:
        """Write what encoders still hold."""
        for track in self._tracks.values():
            self._write(track, track.rest())
            for packet in track.flush():
                self._output.mux(packet)

    def _write(self, track: _Copied, parts: list) -> None:
        for part in parts:
            time = part.pts * part.time_base
            early = self._first is not None and time < self._first
            late = self._last is not None and time >= self._last
            if not early and not late:
                for packet in track.packets(part, self._begin):
                    self._output.mux(packet)

    def _read(self, tracks: list) -> Iterator:
        av = load_av()
        try:
            for packet in self._input.demux(tracks) if tracks else ():
                if packet.dts is not None and packet.pts is not None:  # else the end of a track
                    yield packet
        except av.FFmpegError as error:
            self.fault = f"the sound breaks off ({(error.strerror or 'damaged').lower()})"


class _Copied:
    """A track whose packets are written as they are."""

    def __init__(self, track, output):
        self.target = output.add_stream_from_template(track)

    def parts(self, packet) -> list:
        """What can be cut at: here packets."""
        return [packet]

    def rest(self) -> list:
        """Parts that were held back."""
        return []

    def packets(self, part, begin: Fraction) -> list:
        """Packets to write, `begin` seconds earlier."""
        shift = round(begin / part.time_base)
        part.pts, part.dts, part.stream = part.pts - shift, part.dts - shift, self.target
        return [part]

    def flush(self) -> list:
        """Packets that an encoder holds back."""
        return []


class _Encoded(_Copied):
    """A track that is decoded and encoded anew, in frames of about 20 ms."""

    def __init__(self, track, output, codec: str):
        context = track.codec_context
        rate = 48000 if codec == "libopus" else context.sample_rate
        self.target = output.add_stream(codec, rate=rate)
        # PCM does not say where its channels belong.
        usual = {1: "mono", 2: "stereo", 6: "5.1"}
        self.target.layout = usual.get(context.layout.nb_channels, "stereo")
        self._resampler = load_av().AudioResampler(
            self.target.format, self.target.layout, rate, frame_size=1024
        )

    def parts(self, packet) -> list:
        with contextlib.suppress(load_av().error.InvalidDataError):
            return [part for frame in packet.decode() for part in self._resampler.resample(frame)]
        return []

    def rest(self) -> list:
        return self._resampler.resample(None)

    def packets(self, part, begin: Fraction) -> list:
        part.pts -= round(begin / part.time_base)
        return self.target.encode(part)

    def flush(self) -> list:
        return self.target.encode(None)


def _make_track(track, output, cut: bool) -> _Copied:
    codec, kind = track.codec_context.codec.canonical_name, output.format.name
    holds = codec in (_MP4 if kind == "mp4" else output.supported_codecs)
    if holds and not (cut and codec.startswith("pcm")):
        made = _Copied(track, output)
    else:
        other = "libopus" if kind == "webm" else "aac"
        made = _Encoded(track, output, codec if holds else other)
    names = ("language", "title", "handler_name")
    made.target.metadata.update({k: v for k, v in track.metadata.items() if k in names})
    return made
