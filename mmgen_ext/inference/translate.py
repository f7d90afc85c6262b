"""Many files through a Translator: reading, translating, writing, and what went wrong."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from .media import is_video, plan
from .picture_file import Picture, read_picture, translated_picture, write_picture
from .translator import Translator


@dataclasses.dataclass
class Report:
    """What became of the inputs.

    Attributes:
        done: Files written.
        kept: Files that were there already.
        failed: Input to reason.
        notes: What the user should know about files that were written.
    """

    done: list[Path] = dataclasses.field(default_factory=list)
    kept: list[Path] = dataclasses.field(default_factory=list)
    failed: dict[Path, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


def translate_files(
    translator: Translator,
    inputs: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    to: str | None = None,
    size: int | None = None,
    batch_size: int = 1,
    bits: int = 8,
    compare: bool = False,
    overwrite: bool = False,
    share: tuple[int, int] = (0, 1),
    **video,
) -> Report:
    """Translate files, folders and patterns; one that fails does not stop the others.

    Args:
        translator: Built already.
        inputs: Pictures, videos, folders, patterns.
        out: Folder, or a file for one input.
        to: Target domain; None for the translator's default.
        size: Short side at which to work; None for each picture's own.
        batch_size: Pictures of one size that go through the network together.
        bits: 8, or 16 for pictures of 16 bits (PNG, TIFF).
        compare: Whether to write input and output side by side; a video is split.
        overwrite: Whether to translate again what is there already.
        share: (number of this process, number of processes) that work on the same files.
        **video: More of translate_video's.

    Raises:
        FileNotFoundError: If an input matches nothing.
        ValueError: If the outputs would collide, or the domain is unknown.
        KeyboardInterrupt: With what is done; what was begun is written first.
    """
    translator.network(to)  # An unknown domain is no fault of a file.
    found = plan([os.fspath(name) for name in inputs], Path(out))
    jobs = dict(itertools.islice(found.jobs.items(), share[0], None, share[1]))
    report = Report(notes=found.notes if share[0] == 0 else [])
    todo: dict[Path, Path] = {}
    for source, target in jobs.items():
        if target.exists() and not overwrite and not _mark(target).exists():
            report.kept.append(target)
        else:
            todo[source] = target
    for folder in {target.parent for target in todo.values()}:
        _remove_dead_rests(folder)
    pictures = {s: t for s, t in todo.items() if not is_video(t)}
    if len(pictures) == len(todo) and any(video.get(name) for name in ("start", "end", "fps")):
        report.notes.append("--start, --end and --fps are for videos; there is none to do")
    try:
        _translate_pictures(translator, pictures, report, to, size, batch_size, bits, compare)
        for source in todo.keys() - pictures.keys():
            options = dict(to=to, size=size, batch_size=batch_size, compare=compare, **video)
            _translate_video(translator, source, todo[source], report, **options)
    except KeyboardInterrupt as error:
        done = len(report.done) + len(report.kept)
        text = f"{done} of {len(jobs)} are done; the same command goes on with the rest"
        raise KeyboardInterrupt(f"{error}; {text}" if str(error) else text) from None
    return report


def _mark(video: Path) -> Path:
    """The file beside a video that says that it ends early, and will be done again."""
    return video.with_name(f".{video.name}.interrupted")


def _remove_dead_rests(folder: Path) -> None:
    """Delete what killed runs have left half written; not what another process is writing."""
    for rest in folder.glob(".*.part"):
        process = rest.suffixes[-2][1:] if len(rest.suffixes) > 1 else ""
        if process.isdigit() and not psutil.pid_exists(int(process)):
            rest.unlink(missing_ok=True)


def _translate_pictures(
    translator: Translator,
    jobs: dict[Path, Path],
    report: Report,
    to: str | None,
    size: int | None,
    batch_size: int,
    bits: int,
    compare: bool,
) -> None:
    """Read ahead, translate, and write behind, each in threads of its own."""
    channels = translator.channels(to)
    pending: collections.deque[Future] = collections.deque()
    with (
        ThreadPoolExecutor(2) as readers,
        ThreadPoolExecutor(2) as writers,
        tqdm(total=len(jobs), unit="image", disable=not sys.stderr.isatty()) as bar,
    ):
        pictures = _ahead(
            readers, lambda path: read_picture(path, channels, bits), jobs, 2 * batch_size
        )
        try:
            for batch in _batches(pictures, batch_size):
                for source, picture, result in _translated(translator, batch, to, size):
                    # Pictures can be large: a few at a time wait to be written.
                    while len(pending) > 2 * batch_size:
                        pending.popleft().result()
                    write = _write if isinstance(result, np.ndarray) else _fail
                    pending.append(
                        writers.submit(
                            write, report, source, jobs[source], picture, result, compare
                        )
                    )
                    pending[-1].add_done_callback(lambda _: bar.update())
        except BaseException:
            readers.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            for write in pending:
                write.result()


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[Path], Picture], paths: Iterable[Path], count: int
) -> Iterator[tuple[Path, Picture | Exception]]:
    """Read files in threads, `count` ahead: each path with its picture or what is wrong with it."""
    waiting: collections.deque[tuple[Path, Future]] = collections.deque()
    for path in paths:
        waiting.append((path, pool.submit(read, path)))
        if len(waiting) > count:
            yield _settled(*waiting.popleft())
    while waiting:
        yield _settled(*waiting.popleft())


def _settled(path: Path, future: Future) -> tuple[Path, Picture | Exception]:
    try:
        return path, future.result()
    except (ValueError, OSError, MemoryError) as error:
        return path, error


def _batches(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def _translated(
    translator: Translator,
    batch: list[tuple[Path, Picture | Exception]],
    to: str | None,
    size: int | None,
) -> Iterator[tuple[Path, Picture | None, np.ndarray | Exception]]:
    """Each path with its picture and the translation, or what went wrong."""
    sound = [(path, picture) for path, picture in batch if isinstance(picture, Picture)]
    try:
        results = translator.batch([picture.pixels for _, picture in sound], to, size)
    except (ValueError, RuntimeError, MemoryError) as error:
        if len(sound) > 1:  # One may be at fault, or all be too much at once.
            for pair in batch:
                yield from _translated(translator, [pair], to, size)
            return
        results = [_sentence(error)]
    yield from ((p, picture, result) for (p, picture), result in zip(sound, results, strict=True))
    yield from ((p, None, error) for p, error in batch if not isinstance(error, Picture))


def _sentence(error: Exception) -> Exception:
    """What to say about an error of the network; ours are raised on."""
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return ValueError("the memory does not suffice; use --tile 128, or --size for fewer pixels")
    return error


def _write(
    report: Report, source: Path, target: Path, picture: Picture, result: np.ndarray, compare: bool
) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_picture(target, translated_picture(picture, result, compare))
        report.done.append(target)
        if picture.num_frames > 1:
            text = f"{source} is an animation of {picture.num_frames} pictures: the first is done"
            report.notes.append(text)
    except Exception as error:  # Libraries raise all kinds; the others go on.
        report.failed[source] = f"cannot write {target}: {error}"


def _fail(
    report: Report, source: Path, target: Path, picture: Picture, error: Exception, compare: bool
) -> None:
    report.failed[source] = _about(source, error)


def _about(source: Path, error: Exception) -> str:
    text = str(error)
    return text if str(source) in text else f"{source}: {text}"


def _translate_video(
    translator: Translator, source: Path, target: Path, report: Report, **options
) -> None:
    from .video import VideoInterrupted, translate_video

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        done = translate_video(translator, source, target, **options)
        _mark(target).unlink(missing_ok=True)
        report.done.append(target)
        if done.lost:
            report.notes.append(f"{source}: {done.lost}")
    except VideoInterrupted:
        _mark(target).touch()
        raise
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        report.failed[source] = _about(source, _sentence(error))
