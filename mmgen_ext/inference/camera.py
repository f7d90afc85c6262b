"""A camera through a Translator: a live window, and a recording if it is wanted."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from .finish import Finish, FrameTranslator
from .overlap import Behind, Interrupts
from .video_writer import VideoWriter, check_output

_QUIT = {ord("q"), ord("Q"), 27}  # 27 is Esc.
_TICK = Fraction(1, 90000)  # The clock of MPEG.


def translate_camera(
    translator,
    index: int = 0,
    to: str | None = None,
    size: int | None = None,
    record: str | os.PathLike | None = None,
    compare: bool = False,
    stabilise: bool | float = False,
    quality: int = 18,
    codec: str | None = None,
) -> int:
    """Show a camera's pictures translated, until q, Esc, Ctrl-C or the window's closing.

    Args:
        translator: A Translator.
        index: Of the camera; 0 is the first.
        to: Target domain; None for the translator's default.
        size: Short side at which to work; None for the camera's own.
        record: Video file to write as well, with the times at which the pictures came.
        compare: Whether the left half of each picture stays as it is.
        stabilise: Whether to take flicker out, or how much of it, from 0 to 1.
        quality: Constant rate factor of the recording, less is better.
        codec: As for translate_video.

    Returns:
        How many pictures were shown.

    Raises:
        ValueError: If there is no such camera, or no screen to show a window on.
        OSError: If the recording cannot be written.
    """
    translate, finish = FrameTranslator(translator, to, size), Finish(stabilise, compare)
    codec = None if record is None else check_output(Path(record), codec)
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        window = stack.enter_context(Window(f"camera {index}: q quits"))
        recorder = None
        if record is not None:
            recorder = stack.enter_context(Recorder(Path(record), codec, quality))
        camera = stack.enter_context(Newest(index))
        while not interrupts.asked and (taken := camera.take()) is not None:
            image, when = taken
            results = interrupts.run(translate, [image])
            if results is None:
                break
            shown = finish(image, results[0])
            if recorder:
                recorder.put((shown, when))
            if not window.show(shown):
                break
        return window.num_shown


class Newest:
    """The newest picture of a camera; a context manager.

    A thread takes every picture and keeps the last one, so that a slow network sees none grow old.

    Args:
        index: Of the camera.

    Raises:
        ValueError: If there is no such camera, or it gives no picture.
    """

    def __init__(self, index: int):
        # OpenCV tells at length what the sentence below says.
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._camera = cv2.VideoCapture(index)
        cv2.utils.logging.setLogLevel(level)
        # Cameras take a moment to wake.
        if not self._camera.isOpened() or not any(self._camera.read()[0] for _ in range(5)):
            self._camera.release()
            raise ValueError(
                f"camera {index} cannot be opened, or gives no picture: is it connected, allowed "
                f"for this program, and used by no other? The first camera is 0"
            )
        self._ready = threading.Condition()
        self._latest: tuple[np.ndarray, float] | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Newest:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended = True
        self._thread.join()
        self._camera.release()

    def take(self, timeout: float = 5.0) -> tuple[np.ndarray, float] | None:
        """A picture not taken before, uint8 (H, W, 3) BGR, and when it came, in seconds.

        None if the camera has ended, or is silent for `timeout` seconds.
        """
        with self._ready:
            self._ready.wait_for(lambda: self._latest is not None or self._ended, timeout)
            latest, self._latest = self._latest, None
            return latest

    def _run(self) -> None:
        while not self._ended:
            there, image = self._camera.read()
            with self._ready:
                if there:
                    self._latest = image, time.monotonic()
                else:
                    self._ended = True
                self._ready.notify()


class Window:
    """A window with pictures and how many come in a second; a context manager.

    Args:
        title: Of the window.

    Raises:
        ValueError: If there is no screen.
    """

    def __init__(self, title: str):
        # Without a display some builds of OpenCV end the process instead of raising.
        named = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if sys.platform.startswith("linux") and not named:
            raise ValueError(_no_screen("neither DISPLAY nor WAYLAND_DISPLAY is set"))
        self._title, self.num_shown, self._last, self._seconds = title, 0, 0.0, 0.0

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(cv2.error):  # Closed already, or never shown.
            cv2.destroyWindow(self._title)

    def show(self, image: np.ndarray) -> bool:
        """Show uint8 (H, W, 3), BGR; whether the next one is wanted.

        Raises:
            ValueError: If no window can be shown.
        """
        try:
            cv2.imshow(self._title, self._with_rate(image))
            key = cv2.waitKey(1) & 0xFF
            self.num_shown += 1
            visible = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error as error:
            raise ValueError(_no_screen(str(error).strip().splitlines()[-1])) from error
        return visible and key not in _QUIT

    def _with_rate(self, image: np.ndarray) -> np.ndarray:
        now = time.monotonic()
        if self._last:
            gap = now - self._last
            self._seconds = 0.9 * self._seconds + 0.1 * gap if self._seconds else gap
        self._last = now
        if not self._seconds:
            return image
        drawn = image.copy()  # The recording stays without it.
        for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(
                drawn, f"{1 / self._seconds:.1f} fps", (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6,
                colour, width, cv2.LINE_AA,
            )  # fmt: skip
        return drawn


def _no_screen(reason: str) -> str:
    return f"a camera is shown in a window, but there is no screen for it here ({reason})"


class Recorder:
    """Writes pictures with the times at which they came; a context manager.

    What was recorded by then is a whole file however it ends: it cannot be filmed again.

    Args:
        target: Video file.
        codec: FFmpeg's name of the encoder.
        quality: Constant rate factor.
    """

    def __init__(self, target: Path, codec: str, quality: int):
        self._target, self._codec, self._quality = target, codec, quality
        self._writer: VideoWriter | None = None
        self._waiting: tuple[np.ndarray, int] | None = None
        self._begin, self._duration = 0.0, int(1 / (25 * _TICK))
        self._behind = Behind(self._write, 8)
        self._stack = ExitStack()

    def __enter__(self) -> Recorder:
        self._behind.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._stack:
            self._behind.__exit__(None, None, None)
            if self._writer and self._waiting:
                self._writer.write(*self._waiting, self._duration)
                self._writer.finish()

    def put(self, picture: tuple[np.ndarray, float]) -> None:
        """Hand over uint8 (H, W, 3), BGR, and when it came, in seconds."""
        self._behind.put(picture)

    def _write(self, picture: tuple[np.ndarray, float]) -> None:
        image, when = picture
        if self._writer is None:
            self._begin = when
            height, width = image.shape[:2]
            self._writer = self._stack.enter_context(
                VideoWriter(
                    self._target, width, height, _TICK, Fraction(25), self._codec, self._quality
                )
            )
        pts = round((when - self._begin) / _TICK)
        # How long a picture lasts is known when the next one comes.
        if self._waiting:
            pts = max(pts, self._waiting[1] + 1)
            self._duration = pts - self._waiting[1]
            self._writer.write(*self._waiting, self._duration)
        self._waiting = image, pts
