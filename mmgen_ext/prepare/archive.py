"""Archives of strangers: only pictures are taken out, and only to where they belong."""

from __future__ import annotations

import contextlib
import errno
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..progress import progress
from .names import arrange, safe_path, same_file

MAX_MEMBERS = 500_000
MAX_BYTES = 200 << 30  # unpacked
MAX_RATIO = 100  # unpacked to packed; pictures have 1, pages of zeros 1,000
_HARMLESS = 1 << 20  # bytes, below which the ratio does not matter
_BLOCK = 1 << 20
_MAX_NAME = 1 << 20  # bytes; tarfile reads names into memory as a whole
_OF_NAMES = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
    *(NotImplementedError, RuntimeError, UnicodeError),  # unknown compression, a password
)


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        path: Its name, safe on every system.
        size: Its bytes, as the archive says.
        open: Opens it for reading.
    """

    path: PurePosixPath
    size: int
    open: Callable[[], BinaryIO]


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[list[Member]]:
    """Yield the files of a zip or tar archive, all of them safe to unpack.

    Raises:
        ValueError: If it is no archive, is damaged, or holds anything that is not safe.
    """
    try:
        with contextlib.ExitStack() as stack:
            with _reading():
                if zipfile.is_zipfile(path):
                    raw = _zip_members(stack.enter_context(zipfile.ZipFile(path)))
                else:
                    raw = _tar_members(stack.enter_context(_open_tar(path)))
                try:
                    members = _checked(raw, path.stat().st_size)
                except ValueError as error:
                    raise ValueError(f"{path} is refused: {error}") from None
            yield members
    except _DAMAGE as error:
        text = str(error) or type(error).__name__
        raise ValueError(f"{path} is damaged or locked: {text}") from None


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Decompressors call damage an OSError without a number, or read before the beginning."""
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise EOFError(str(error)) from None


class _Header(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        """See TarInfo.frombuf; what follows of a name must not fill the memory."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _OF_NAMES and header.size > _MAX_NAME:
            raise tarfile.TarError(f"a member's name would have {header.size:,} bytes")
        return header


def _open_tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, tarinfo=_Header)
    except tarfile.ReadError:
        raise ValueError(f"{path} is no zip or tar archive{_content(path)}") from None


def _content(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return " but a web page"
    if start.startswith((b"rar!", b"7z\xbc\xaf")):
        return " but RAR or 7z: unpack it, and name the folder with --from"
    return ""


def _zip_members(archive: zipfile.ZipFile) -> Iterator[tuple]:
    """(name, kind, size, opener) of each entry."""
    for info in archive.infolist():
        mode = info.external_attr >> 16
        kind = "folder" if info.filename.endswith("/") else "file"
        # Programs of DOS and Windows write no mode.
        if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kind = "a link" if stat.S_ISLNK(mode) else "a device"
        yield info.orig_filename, kind, info.file_size, lambda i=info: archive.open(i)


def _tar_members(archive: tarfile.TarFile) -> Iterator[tuple]:
    for info in archive:
        kind = "file" if info.isreg() else "folder" if info.isdir() else "a device"
        kind = "a link" if info.issym() or info.islnk() else kind
        yield info.name, kind, info.size, lambda i=info: archive.extractfile(i)


def _checked(raw: Iterator[tuple], packed: int) -> list[Member]:
    """The files among the entries; limits are looked at before more is read."""
    members: list[Member] = []
    seen: set[str] = set()
    total = count = 0
    for name, kind, size, opener in raw:
        path, count, total = safe_path(name), count + 1, total + size
        if kind not in ("file", "folder"):
            raise ValueError(f"{name!r} is {kind}")
        if count > MAX_MEMBERS:
            raise ValueError(f"it has more than {MAX_MEMBERS:,} members")
        if total > MAX_BYTES or total > max(_HARMLESS, MAX_RATIO * packed):
            raise ValueError(
                f"{packed:,} bytes would become {total:,} or more, as in archives that are made "
                f"to fill the disk"
            )
        if kind == "file":
            key = same_file(path)
            if key in seen:
                raise ValueError(f"{name!r} is in it twice")
            seen.add(key)
            members.append(Member(path, size, opener))
    inside = {same_file(parent) for member in members for parent in member.path.parents}
    if clash := seen & inside:
        raise ValueError(f"{min(clash)!r} is both a file and a folder")
    return members


def check_archive(path: Path) -> None:
    """Read all of an archive that is to be a data set, without writing anything.

    Raises:
        ValueError: If unpack would raise one.
    """
    with open_archive(path) as members:
        arrange(member.path for member in members)
        for member in members:
            for _ in _blocks(member):
                pass


def unpack(path: Path, folder: Path) -> list[PurePosixPath]:
    """Write an archive's pictures to trainA, trainB and so on in a folder.

    Returns:
        What was left in the archive.

    Raises:
        ValueError: If it is not safe, damaged or no data set.
        OSError: If the disk has no room.
    """
    with open_archive(path) as members:
        places = arrange(member.path for member in members)
        chosen = [member for member in members if member.path in places]
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(folder, sum(member.size for member in chosen))
        bar = dict(disable=len(chosen) < 500, unit="file", leave=False)
        for member in progress(chosen, f"unpacking {path.name}", len(chosen), **bar):
            target = folder / places[member.path]
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as file:
                for block in _blocks(member):
                    file.write(block)
        return [member.path for member in members if member.path not in places]


def _blocks(member: Member) -> Iterator[bytes]:
    """A member's content; what an archive says of its size is not trusted."""
    left = member.size
    with _reading(), member.open() as source:
        while block := source.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise ValueError(f"{str(member.path)!r} is larger than its archive says")
            yield block
    if left:
        raise ValueError(f"{str(member.path)!r} is smaller than its archive says")


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"unpacking needs {needed / 1e9:.1f} GB and {folder.parent} has {free / 1e9:.1f} free; "
            f"make room, or choose another disk with --out"
        )
