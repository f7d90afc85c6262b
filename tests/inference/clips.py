"""Clips for tests: each frame carries its number in blocks that survive coding."""

from fractions import Fraction

import av
import numpy as np


class Identity:
    """Stands for a Translator; returns what it gets."""

    def channels(self, to=None):
        return 3

    def batch(self, images, to=None, size=None):
        return [image.copy() for image in images]


class Invert(Identity):
    def batch(self, images, to=None, size=None):
        return [255 - image for image in images]


def numbered(number, width=96, height=64):
    """A picture in which the bits of a number are black and white blocks of 12 x 24."""
    image = np.full((height, width, 3), 128, np.uint8)
    for bit in range(8):
        image[:24, 12 * bit : 12 * bit + 12] = 255 if number >> bit & 1 else 0
    return image


def number_of(image):
    return sum(int(image[8:16, 12 * b + 4 : 12 * b + 8].mean() > 128) << b for b in range(8))


def write_clip(
    path,
    images,
    times=None,
    tick=Fraction(1, 25),
    codec="libx264",
    pixels="yuv420p",
    audio=None,
    options=None,
    setup=None,
    container=None,
    audio_delay=0.0,
):
    """Encode uint8 BGR pictures at `times` (ticks; one a tick) with 48 kHz mono sound."""
    times = range(len(images)) if times is None else times
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        rate = 1 / (tick * (times[1] - times[0] if len(images) > 1 else 1))
        stream = out.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = tick
        if setup:
            setup(stream)
        sound = None
        if audio is not None:
            sound = out.add_stream(audio[0], rate=48000)
            sound.layout = "mono"
        for image, pts in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=pixels)
            frame.pts, frame.time_base = pts, tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound:
            frame = av.AudioFrame.from_ndarray(audio[1][None].astype(np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, round(audio_delay * 48000)
            frame.time_base = Fraction(1, 48000)
            fitted = av.AudioResampler(sound.format, "mono", 48000).resample(frame)
            for part in fitted:
                out.mux(sound.encode(part))
            out.mux(sound.encode(None))
    return path


def read_clip(path):
    """(time in seconds, picture as players show it) of each frame."""
    with av.open(str(path)) as clip:
        begin = Fraction(clip.start_time or 0, 1_000_000)
        return [
            (float(f.pts * f.time_base - begin), f.to_ndarray(format="bgr24"))
            for f in clip.decode(video=0)
        ]


def read_sound(path):
    """(time in seconds of the first sample, mono samples) of the first track."""
    with av.open(str(path)) as clip:
        frames = list(clip.decode(audio=0))
        to_float = av.AudioResampler("fltp", "mono", 48000)
        parts = [p.to_ndarray()[0] for f in frames for p in to_float.resample(f)]
        return float(frames[0].pts * frames[0].time_base), np.concatenate(parts)
