"""A data set by name: from mirrors, or from a file, folder or address of one's own."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..checkpoint import file_digest
from ..datasets.images import list_images
from ..datasets.known import KNOWN, Source, suggest
from ..fetch import fetch
from ..files import link_or_copy, replacing
from ..progress import in_threads
from .archive import check_archive, unpack
from .names import arrange
from .place import check_free, counts_of, is_prepared, new_folder, only_one

_SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz")


@dataclass
class Made:
    """A data set that is there now.

    Attributes:
        root: Its folder.
        counts: Pictures by folder.
        notes: What the user should know.
        was_there: Whether nothing had to be done.
    """

    root: Path
    counts: dict[str, int]
    notes: list[str]
    was_there: bool = False


def get_set(
    name: str,
    root: Path,
    own: str | None = None,
    mirrors: Sequence[str] = (),
    timeout: float = 30,
    overwrite: bool = False,
    link: bool = False,
) -> Made:
    """Make the folder of a data set unless it is there.

    Args:
        name: One of KNOWN, or any with `own`.
        root: Folder to make.
        own: Archive, folder or address to take it from.
        mirrors: Addresses of NAME.zip or of a folder with it, to be tried first.
        timeout: Seconds without a byte after which a connection counts as broken.
        overwrite: Whether to make it again, in place of what is there.
        link: Whether a folder's pictures become hard links.

    Raises:
        ValueError: If the name is not known, or nothing usable was found.
        OSError: If nothing can be fetched or written.
    """
    if name not in KNOWN and not own:
        raise ValueError(
            f"no data set {name!r} is known: {suggest(name)} "
            f"Data of your own: --from ZIP, FOLDER or URL, or the command own"
        )
    if not name or Path(name).name != name:
        raise ValueError(f"NAME is {name!r}; expected a plain name, as 'mine'; --out takes folders")
    if own and not is_url(own) and not Path(own).exists():
        raise FileNotFoundError(f"no file or folder {own}")
    with only_one(root):
        if not overwrite and is_prepared(root):
            return Made(root, counts_of(root), [], was_there=True)
        check_free(root, overwrite)
        root.parent.mkdir(parents=True, exist_ok=True)
        if own and Path(own).is_dir():
            notes = _from_folder(Path(own), root, link)
        elif own and not is_url(own):
            notes = _from_archive(Path(own), root)
        else:
            notes = _from_net(name, root, own, mirrors, timeout)
        return Made(root, counts_of(root), notes)


def is_url(text: str) -> bool:
    """Whether a text is an address and no path."""
    return re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE) is not None


def _from_archive(path: Path, root: Path) -> list[str]:
    with new_folder(root) as part:
        left = unpack(path, part)
    return _left_out(left)


def _from_folder(folder: Path, root: Path, link: bool) -> list[str]:
    if folder.resolve() in (root.resolve(), *root.resolve().parents):
        raise ValueError(f"{root} is inside {folder} or is that folder; choose another --out")
    paths = [PurePosixPath(p.relative_to(folder).as_posix()) for p in list_images(folder)]
    places = arrange(paths)
    with new_folder(root) as part:
        copy: Callable = link_or_copy if link else shutil.copy2

        def place(path: PurePosixPath) -> None:
            target = part / places[path]
            target.parent.mkdir(parents=True, exist_ok=True)
            copy(folder / path, target)

        for _ in in_threads(place, list(places), f"copying {folder.name}"):
            pass
    return _left_out([path for path in paths if path not in places])


def _left_out(paths: Sequence[PurePosixPath]) -> list[str]:
    hidden = (".ds_store", "thumbs.db", "desktop.ini")
    names = [
        str(path)
        for path in paths
        if path.parts[0] != "__MACOSX" and path.name.lower() not in hidden
    ]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"not part of the set: {', '.join(names[:5])}{more}"] if names else []


def _from_net(
    name: str, root: Path, own: str | None, mirrors: Sequence[str], timeout: float
) -> list[str]:
    sources = [Source(own)] if own else _sources(name, mirrors)
    archive = root.with_name(root.name + _suffix(sources[0].url))
    was_there = archive.is_file()
    if was_there:  # As an error message advised.
        check_archive(archive)
    else:
        source = _fetch_any(name, sources, archive, timeout)
    notes = _from_archive(archive, root)
    if was_there:
        return [*notes, f"made of {archive}, which was there and stays"]
    archive.unlink()
    record = read_record(root)[source.url]
    known = [] if own else [entry.sha256 for entry in KNOWN[name].sources if entry.sha256]
    if known and record["sha256"] not in known:
        notes.append(f"{source.url} is not the same archive as that of its authors")
    return [*notes, f"{record['size']:,} bytes from {source.url}, SHA-256 {record['sha256']}"]


def _sources(name: str, mirrors: Sequence[str]) -> list[Source]:
    """Where to look for a known set, in order; MMGEN_EXT_MIRROR is a mirror too."""
    first = [*mirrors, *filter(None, [os.environ.get("MMGEN_EXT_MIRROR")])]
    urls = [url if url.endswith(_SUFFIXES) else f"{url.rstrip('/')}/{name}.zip" for url in first]
    return [*map(Source, urls), *KNOWN[name].sources]


def _suffix(url: str) -> str:
    path = url.partition("?")[0].lower()
    return next((suffix for suffix in _SUFFIXES if path.endswith(suffix)), ".zip")


def _fetch_any(name: str, sources: Sequence[Source], archive: Path, timeout: float) -> Source:
    """Fetch from the first source that has it, and record what came."""
    record, failures = read_record(archive), []
    for source in sources:
        before = record.get(source.url, {})
        try:
            fetch(
                source.url,
                archive,
                source.sha256 or before.get("sha256", ""),
                source.size or before.get("size"),
                check_archive,
                timeout,
            )
        except (OSError, ValueError) as error:
            # How to go on is said once, below.
            reason = str(error).partition(". Run again")[0].replace(f"{archive}.part", "it")
            known = "was received before" if before and not source.sha256 else ""
            failures.append(reason + (f" (expected is what {known})" if known else ""))
            continue
        received = dict(size=archive.stat().st_size, sha256=file_digest(archive))
        _write_record(archive, {**record, source.url: received})
        return source
    lines = "".join(f"\n  {failure}" for failure in failures)
    note = KNOWN[name].note if name in KNOWN else ""
    raise OSError(
        f"{name} could not be had:{lines}\nTry another address with --mirror URL, or name what you "
        f"have with --from ZIP, FOLDER or URL"
        + (f"; delete {_record(archive)} to take what has changed" if record else "")
        + (f". {note}" if note else "")
    )


def _record(root: Path) -> Path:
    """Beside the data, and there still when they are deleted."""
    stem = root.name
    for suffix in _SUFFIXES:
        stem = stem.removesuffix(suffix)
    return root.with_name(f"{stem}.received.json")


def read_record(root: Path) -> dict:
    """What was received for a data set's folder: address to size and SHA-256."""
    try:
        return dict(json.loads(_record(root).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _write_record(root: Path, record: dict) -> None:
    with replacing(_record(root)) as part:
        part.write_text(json.dumps(record, indent=1), "utf-8")
