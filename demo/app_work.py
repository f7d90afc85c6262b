"""What the web app does with a picture or a video; knows nothing of the page."""

from __future__ import annotations

import contextvars
import re
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from app_guard import MEGABYTE
from app_models import Models, SharedTranslator, check, stopped
from app_texts import Refused
from PIL import Image

from mmgen_ext.inference.picture_file import (
    Picture,
    encode_picture,
    read_picture,
    translated_picture,
)
from mmgen_ext.inference.sheet import style_sheet
from mmgen_ext.pictures import resize_image

T = TypeVar("T")
# Called with the share that is done, None if it is not known, and a text's key and values.
Tell = Callable[..., None]

PICTURE_MB, VIDEO_MB = 64, 200
MEGAPIXELS = 64  # of a picture; a frame of a video has a quarter at most
SHOWN = 2048  # pixels of the longest side under the slider
SUFFIXES = (".png", ".jpg", ".webp", ".tif")
Image.init()
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA")
FORMATS = tuple(name for name in FORMATS if name in Image.OPEN)  # AVIF came with Pillow 11.3.
# Beginnings of video files, at their places. None of them is a list that names other files.
MAGIC = {
    0: (b"\x1a\x45\xdf\xa3", b"RIFF", b"OggS", b"FLV", b"\x30\x26\xb2\x75", b"\x00\x00\x01",
        b"GIF8", b"\x47"),
    4: (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"\x47"),
}  # fmt: skip


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
        self._running: dict[str, set[threading.Event]] = {}

    def do(self, pool: ThreadPoolExecutor, session: str, function: Callable[..., T], *args) -> T:
        """What a function returns, computed in a pool's thread.

        Raises:
            Refused: What the user can put right.
            Cancelled: After `cancel`.
        """
        event = threading.Event()
        self._running.setdefault(session, set()).add(event)
        context = contextvars.copy_context()
        context.run(stopped.set, event)
        try:
            return pool.submit(context.run, function, *args).result()
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "memory" in str(error).lower():
                raise Refused("memory") from None
            raise
        finally:
            events = self._running.get(session, set())
            events.discard(event)
            if not events:
                self._running.pop(session, None)

    def cancel(self, session: str) -> bool:
        """Stop what runs for a session; whether there was anything."""
        events = list(self._running.get(session, ()))
        for event in events:
            event.set()
        return bool(events)

    def close(self) -> None:
        """Stop everything."""
        for session in list(self._running):
            self.cancel(session)
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


def uploaded(value: object, megabytes: int, missing: str) -> tuple[Path, str]:
    """The file of an upload, and its name without the suffix."""
    path = value.get("path") if isinstance(value, dict) else value
    if not isinstance(path, str) or not path:
        raise Refused(missing)
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError:
        raise Refused("gone") from None
    if size == 0:
        raise Refused("empty_file")
    if size > megabytes * MEGABYTE:
        raise Refused("too_large", size=f"{size / MEGABYTE:.0f}", limit=megabytes)
    name = value.get("orig_name") if isinstance(value, dict) else None
    return path, plain(Path(name if isinstance(name, str) else path.name).stem) or "picture"


def plain(name: str) -> str:
    """A name with nothing in it that a file system or a browser takes amiss."""
    return re.sub(r"[^\w.-]+", "_", name)[:60].strip("._")


def one_of(value: object, choices: Sequence[str]) -> str:
    """The value, if it is one of the choices."""
    if value not in choices:
        raise Refused("bad_option", value=str(value)[:80], choices=", ".join(choices))
    return value


def whole_size(value: object) -> int | None:
    """The short side at which to work; None for the original's own."""
    if not value:
        return None
    if not isinstance(value, (int, float)) or value != int(value) or not 32 <= value <= 4096:
        raise Refused("bad_size")
    return int(value)


def check_picture(path: Path) -> None:
    """Refuse what is no picture, or claims to be too large, before it is decoded."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise Refused("not_picture", reason="decompression bomb") from None
    except Image.UnidentifiedImageError:
        known = Refused("not_known", formats=" ".join(FORMATS))
        raise Refused("not_picture", reason=known) from None
    except Exception as error:  # Pillow's readers raise all kinds.
        raise Refused("not_picture", reason=sentence(error, path)) from None
    _check_pixels(width, height, MEGAPIXELS)


def check_video(path: Path) -> None:
    """Refuse what is no video, or is a list of other files, before it is decoded."""
    from mmgen_ext.inference.video_reader import probe

    with open(path, "rb") as file:
        head = file.read(16)
    if not any(head[at:].startswith(starts) for at, starts in MAGIC.items()):
        raise Refused("not_video", reason=Refused("not_known", formats="MP4 MOV WebM MKV AVI MPEG"))
    try:
        info = probe(path)
    except (ValueError, OSError) as error:
        raise Refused("not_video", reason=sentence(error, path)) from None
    _check_pixels(info.width, info.height, MEGAPIXELS // 4)


def _check_pixels(width: int, height: int, limit: int) -> None:
    if width * height > limit * 1e6:
        raise Refused("too_many_pixels", width=width, height=height, limit=limit)


def read(path: Path, channels: int) -> Picture:
    """Read a picture that was uploaded."""
    try:
        return read_picture(path, channels)
    except (ValueError, OSError) as error:
        raise Refused("not_picture", reason=sentence(error, path)) from None


def sentence(error: Exception, *paths: Path) -> str:
    """What an error says, without where files lie here."""
    text = str(error)
    for path in paths:
        text = text.replace(f"cannot read {path}: ", "").replace(str(path), path.name)
    return text.rstrip(".")


def write(path: Path, picture: Picture) -> Path:
    """Write a result."""
    try:
        path.write_bytes(encode_picture(picture, path.suffix))
    except (ValueError, OSError) as error:
        reason = sentence(error, path)
        raise Refused("not_written", format=path.suffix, reason=reason) from None
    return path


def write_shown(path: Path, picture: Picture) -> Path:
    """Write a copy to look at: exact if it is small."""
    height, width = picture.pixels.shape[:2]
    scale = min(1, SHOWN / max(height, width))
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in (height, width))
        alpha = picture.alpha
        if alpha is not None:
            alpha = resize_image(alpha[:, :, None], height, width, "area")[:, :, 0]
        pixels = resize_image(np.ascontiguousarray(picture.pixels), height, width, "area")
        picture = replace(picture, pixels=pixels, alpha=alpha)
    exact = picture.alpha is not None or height * width <= 500_000
    return write(path.with_suffix(".png" if exact else ".jpg"), picture)
