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

    A track is encoded anew only where the target's container cannot hold its codec.

    Args:
        source: Media file.
        output: PyAV's output container to which nothing has been written yet.
        begin: Seconds on the file's own clock that become 0.
        trimmed: Whether what lies before `begin` is cut off.
    """

    def __init__(self, source: Path, output, begin: Fraction, trimmed: bool):
        av = load_av()
        self.fault: str | None = None
        self._output, self._begin, self._trimmed = output, begin, trimmed
        self._input = open_input(source)
        tracks = [s for s in self._input.streams.audio if s.codec_context is not None]
        self._tracks = {track.index: _Track(track, output) for track in tracks}
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
            for ready in self._tracks[packet.stream.index].take(packet, self._begin):
                self._output.mux(ready)
            self._pending = next(self._packets, None)

    def finish(self) -> None:
        """Write what encoders still hold."""
        for track in self._tracks.values():
            for packet in track.flush():
                self._output.mux(packet)

    def _read(self, tracks: list) -> Iterator:
        av = load_av()
        try:
            for packet in self._input.demux(tracks) if tracks else ():
                if packet.dts is None or packet.pts is None:
                    continue  # The end of a track.
                if not self._trimmed or packet.pts * packet.time_base >= self._begin:
                    yield packet
        except av.FFmpegError as error:
            self.fault = f"the sound breaks off ({(error.strerror or 'damaged').lower()})"


class _Track:
    """One sound track on its way: copied or encoded anew."""

    def __init__(self, track, output):
        av = load_av()
        codec = track.codec_context.codec.canonical_name
        kind = output.format.name
        holds = _MP4 if kind == "mp4" else output.supported_codecs
        self.target, self.encodes = None, codec not in holds
        if self.encodes:
            name = "libopus" if kind == "webm" else "aac"
            rate = 48000 if name == "libopus" else track.codec_context.sample_rate
            self.target = output.add_stream(name, rate=rate)
            # PCM does not say where its channels belong.
            usual = {1: "mono", 2: "stereo", 6: "5.1"}
            self.target.layout = usual.get(track.codec_context.layout.nb_channels, "stereo")
            self.resampler = av.AudioResampler(self.target.format, self.target.layout, rate)
        else:
            self.target = output.add_stream_from_template(track)
        self.target.metadata.update(
            {k: v for k, v in track.metadata.items() if k in ("language", "title", "handler_name")}
        )

    def take(self, packet, begin: Fraction) -> list:
        """Packets ready to be written, `begin` seconds earlier than they were."""
        if not self.encodes:
            shift = round(begin / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = self.target
            return [packet]
        ready = []
        with contextlib.suppress(load_av().error.InvalidDataError):
            for frame in packet.decode():
                for part in self.resampler.resample(frame):
                    part.pts -= round(begin / part.time_base)
                    ready += self.target.encode(part)
        return ready

    def flush(self) -> list:
        return self.target.encode(None) if self.encodes else []
