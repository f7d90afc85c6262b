"""How fast videos are translated, and where the time goes."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from pathlib import Path

import cv2
import mmcv
from mmgen.apis import init_model, sample_img2img_model
from prettytable import PrettyTable
from torch import nn

from .benchmark import machine, mmgens_config, precisions, prepare, time_of
from .inference.translator import Translator
from .inference.video import translate_video
from .inference.video_reader import VideoReader, probe
from .inference.video_writer import VideoWriter
from .pictures import tensor_to_images
from .words import counted


def video(config: str | os.PathLike, clip: str | os.PathLike, frames: int) -> str:
    """Frames/s of a clip, and what decoding, translating and encoding take alone.

    Where mmgen has the generator, beside the tutorial's way: a file for each frame.

    Args:
        config: As for `translate`.
        clip: Video file.
        frames: How many of its frames are translated.

    Returns:
        Tables for people.
    """
    info = probe(clip)
    end = frames / float(info.rate)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint, theirs = prepare(config, folder)
        rows, alone = {}, {}
        if theirs is not None:
            model = init_model(mmgens_config(theirs, None), str(checkpoint), device="cpu")
            rows["mmgen, a file a frame"] = lambda: _tutorials_way(model, clip, folder, frames)
        for precision in precisions():
            translator = Translator(None, checkpoint, device="cpu", precision=precision)
            for stabilise in (False, True):
                title = f"translate_video {precision}{', stabilised' if stabilise else ''}"
                rows[title] = lambda t=translator, s=stabilise: translate_video(
                    t, clip, folder / "out.mp4", end=end, stabilise=s
                )
            alone |= _stages(translator, clip, folder, frames, precision)
        table = PrettyTable(["", "frames/s", *(["x mmgen"] if theirs else [])])
        table.title = f"{info.width} x {info.height}, {counted(frames, 'frame')}, {machine()}"
        times = {title: time_of(run) for title, run in rows.items()}
        first = next(iter(times.values()))
        done = min(frames, info.num_frames or frames)
        for title, taken in times.items():
            beside = [f"{first / taken:.2f}"] if theirs else []
            table.add_row([title, f"{done / taken:.2f}", *beside])
        stages = PrettyTable(["alone", "ms a frame"])
        stages.add_rows([[title, f"{1000 * taken:.1f}"] for title, taken in alone.items()])
        return f"{table}\n{stages}"


def _stages(
    translator: Translator, clip: str | os.PathLike, folder: Path, number: int, precision: str
) -> dict[str, float]:
    """Seconds a frame of decoding, translating and encoding, one after the other."""
    with VideoReader(clip) as reader:
        begin, info = time.perf_counter(), reader.info
        frames = list(itertools.islice(reader, number))
        taken = {"decode": time.perf_counter() - begin}
    begin = time.perf_counter()
    made = [translator(frame.image) for frame in frames]
    taken[f"translate {precision}"] = time.perf_counter() - begin
    with VideoWriter(
        folder / "alone.mp4", info.width, info.height, info.time_base, info.rate, "libx264", 18,
        info.colours, info.sample_aspect, info.metadata,
    ) as writer:  # fmt: skip
        begin = time.perf_counter()
        for frame, image in zip(frames, made, strict=True):
            writer.write(image, frame.pts, frame.duration)
        writer.finish()
        taken["encode"] = time.perf_counter() - begin
    return {title: seconds / len(frames) for title, seconds in taken.items()}


def _tutorials_way(model: nn.Module, clip: str | os.PathLike, folder: Path, frames: int) -> None:
    """Frame to file, mmgen, frame to file, and a video of the files."""
    capture = cv2.VideoCapture(str(clip))
    (folder / "frames").mkdir(exist_ok=True)
    for i in range(frames):
        found, frame = capture.read()
        if not found:
            break
        height, width = (side // 4 * 4 for side in frame.shape[:2])
        path = str(folder / "frames" / f"{i:06d}.png")
        mmcv.imwrite(frame[:height, :width], path)
        mmcv.imwrite(tensor_to_images(sample_img2img_model(model, path))[0], path)
    mmcv.frames2video(str(folder / "frames"), str(folder / "theirs.mp4"), fps=25,
                      filename_tmpl="{:06d}.png", show_progress=False)  # fmt: skip
