"""What the web app does with a picture or a video; knows nothing of the page."""

from __future__ import annotations

import contextvars
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from app_files import (
    PICTURE_MB,
    SHOWN,
    SUFFIXES,
    VIDEO_MB,
    check_picture,
    check_video,
    one_of,
    plain,
    read,
    sentence,
    uploaded,
    whole_size,
    write,
    write_shown,
)
from app_models import Models, SharedTranslator, check, stopped
from app_texts import Refused

from mmgen_ext.inference.picture_file import Picture, translated_picture
from mmgen_ext.inference.sheet import style_sheet

T = TypeVar("T")
# Called with the share that is done, None if it is not known, and a text's key and values.
Tell = Callable[..., None]


@dataclass
class Wish:
    """What is asked for, as it came from outside.

    Attributes:
        file: What gradio tells of an upload: `path`, and perhaps `orig_name`.
        model: Name of a model.
        to: Target domain; None for the model's default.
        size: Short side at which to work; 0 for the original's own.
        precision: See Translator.
        suffix: Of a picture's result.
    """

    file: object
    model: object = None
    to: object = None
    size: object = 0
    precision: object = "auto"
    suffix: object = ".png"


@dataclass
class Result:
    """What comes of it.

    Attributes:
        file: To be downloaded.
        shown: Files of a picture before and after, to be looked at.
        notes: Keys and values of texts.
    """

    file: Path
    shown: tuple[Path, Path] | None = None
    notes: list[tuple[str, dict]] = field(default_factory=list)


class Desk:
    """Takes wishes, does them one after the other, and forgets them when they are cancelled.

    Pictures and videos wait in rows of their own: nobody waits for another's film.

    Args:
        models: What can be chosen.
        folder: Where results are written.
    """

    def __init__(self, models: Models, folder: Path):
        self.models, self._folder = models, folder
        # A thread each for all: every further one would have its own threads of OpenMP.
        self.pictures, self.videos = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._running: dict[threading.Event, str] = {}

    def do(self, pool: ThreadPoolExecutor, session: str, function: Callable[..., T], *args) -> T:
        """What a function returns, computed in a pool's thread.

        Raises:
            Refused: What the user can put right.
            Cancelled: After `cancel`.
        """
        event = threading.Event()
        self._running[event] = session
        context = contextvars.copy_context()
        context.run(stopped.set, event)
        try:
            return pool.submit(context.run, function, *args).result()
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "memory" in str(error).lower():
                raise Refused("memory") from None
            raise
        finally:
            del self._running[event]

    def cancel(self, session: str) -> bool:
        """Stop what runs for a session; whether there was anything."""
        events = [event for event, of in list(self._running.items()) if of == session]
        for event in events:
            event.set()
        return bool(events)

    def close(self) -> None:
        """Stop everything."""
        for event in list(self._running):
            event.set()
        for pool in (self.pictures, self.videos):
            pool.shutdown(cancel_futures=True)

    def picture(self, wish: Wish, tell: Tell) -> Result:
        """Translate a picture.

        Raises:
            Refused: If it cannot be done.
        """
        suffix = one_of(wish.suffix, SUFFIXES)
        path, stem = uploaded(wish.file, PICTURE_MB, "no_picture")
        check_picture(path)
        translator, to, size = self._chosen(wish, tell)
        picture = read(path, translator.channels(to))
        tell(None, "working")
        began = time.monotonic()
        result = translated_picture(picture, translator(picture.pixels, to, size))
        height, width = picture.pixels.shape[:2]
        seconds = f"{time.monotonic() - began:.1f}"
        notes = [("note_size", dict(width=width, height=height, seconds=seconds))]
        if picture.num_frames > 1:
            notes.append(("note_animation", dict(count=picture.num_frames)))
        if max(height, width) > SHOWN:
            notes.append(("note_preview", {}))
        check()
        folder = self._new_folder()
        shown = tuple(
            write_shown(folder / name, p) for name, p in (("before", picture), ("after", result))
        )
        return Result(write(folder / f"{stem}_{plain(to)}{suffix}", result), shown, notes)

    def video(self, wish: Wish, stabilise: bool, compare: bool, tell: Tell) -> Result:
        """Translate a video, frame by frame.

        Raises:
            Refused: If it cannot be done.
        """
        from mmgen_ext.inference.video import translate_video

        path, stem = uploaded(wish.file, VIDEO_MB, "no_video")
        check_video(path)
        translator, to, size = self._chosen(wish, tell)
        began = time.monotonic()

        def watch(done: int, total: int | None) -> None:
            check()
            spent = time.monotonic() - began
            if not total:
                tell(None, "frame_of_unknown", done=done)
            elif done:
                left = spent / done * max(0, total - done)
                tell(min(1.0, done / total), "frame", done=done, total=total, left=left)

        target = self._new_folder() / f"{stem}_{plain(to)}.mp4"
        options = dict(stabilise=bool(stabilise), compare=bool(compare), watch=watch)
        try:
            report = translate_video(translator, path, target, to, size, **options)
        except (ValueError, OSError) as error:
            raise Refused("not_video", reason=sentence(error, path, target)) from None
        seconds = f"{time.monotonic() - began:.1f}"
        return Result(
            target, notes=[("note_frames", dict(frames=report.num_frames, seconds=seconds))]
        )

    def sheet(self, wish: Wish, names: Sequence[str], tell: Tell) -> Result:
        """A labelled sheet of a picture in many styles.

        Raises:
            Refused: If it cannot be done.
        """
        path, stem = uploaded(wish.file, PICTURE_MB, "no_picture")
        check_picture(path)
        size = whole_size(wish.size)
        if not isinstance(names, list) or not names:
            raise Refused("no_styles")
        made: dict[str, np.ndarray] = {}
        notes = []
        for i, name in enumerate(names):
            tell(i / len(names), "style_of", done=i + 1, total=len(names), model=name)
            check()
            try:
                translator = self.models.load(name, wish.precision)
                to = translator.default_domain
                picture = read(path, translator.channels(to))
                made[f"{to} ({name})"] = translator(picture.pixels, to, size)
            except Refused as error:
                if error.key == "not_picture":
                    raise
                notes.append(("note_failed", dict(reason=error)))
        if not made:
            raise Refused("none_usable")
        sheet = Picture(style_sheet(read(path, 3).pixels, made))
        file = write(self._new_folder() / f"{stem}_styles.png", sheet)
        return Result(file, notes=notes)

    def _chosen(self, wish: Wish, tell: Tell) -> tuple[SharedTranslator, str, int | None]:
        size = whole_size(wish.size)
        tell(None, "loading", model=wish.model)
        translator = self.models.load(wish.model, wish.precision)
        to = wish.to or translator.default_domain
        if to not in translator.domains:
            domains = ", ".join(translator.domains)
            raise Refused(
                "unknown_direction", model=wish.model, domains=domains, domain=str(to)[:80]
            )
        return translator, to, size

    def _new_folder(self) -> Path:
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder
