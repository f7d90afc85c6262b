"""Files from the net: fetched once, resumed, and there only when they are whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests
from filelock import FileLock, Timeout

from .checkpoint import file_digest
from .progress import progress

_TRIES = 5  # in a row without a single new byte
_TIMEOUT = 60.0  # seconds between two bytes
_PATIENCE = 1.0  # seconds of waiting for another process about which nothing is said
_BLOCK = 1 << 15  # also what a broken connection may lose


class _Refused(requests.RequestException):
    """What a server offers is not the file, however often one asks."""


@contextlib.contextmanager
def locked(path: Path, shown: Path | None = None) -> Iterator[None]:
    """Let one process at a time work on `path`; the lock of a process that died is free.

    Args:
        path: File; its lock lies beside it.
        shown: What those who wait are told that they wait for; None for `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        print(f"waiting: another command is making {shown or path}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def fetch(
    url: str,
    target: Path,
    expected: str = "",
    size: int | None = None,
    check: Callable[[Path], object] | None = None,
    timeout: float = _TIMEOUT,
) -> None:
    """Fetch a file to `target`, going on where an earlier try stopped.

    Args:
        url: Where it is.
        target: File that does not exist yet; the part that is there lies beside it as `.part`.
        expected: The beginning of its SHA-256, or nothing.
        size: Its bytes, if known.
        check: Raises a ValueError for a whole file that is not what it should be.
        timeout: Seconds without a byte after which a connection counts as broken.

    Raises:
        OSError: If it cannot be fetched.
        ValueError: If its hash differs or `check` says so; nothing of it is kept.
        KeyboardInterrupt: With what is kept.
    """
    part = target.with_name(target.name + ".part")
    while True:
        try:
            _fetch_part(url, part, target, size, bool(expected or check), timeout)
        except KeyboardInterrupt:
            kept = f"{_size(part) / 1e6:.1f} MB are kept in {part}"
            raise KeyboardInterrupt(f"{kept}; the same command goes on from there") from None
        problem = _problem(part, expected, check, target)
        guessed = _read(part).get("guessed")
        _notes(part).unlink(missing_ok=True)
        if not problem:
            os.replace(part, target)
            return
        part.unlink()
        if not guessed:
            raise ValueError(f"{url} was not used: {problem}")


def _fetch_part(
    url: str, part: Path, target: Path, size: int | None, verified: bool, timeout: float
) -> None:
    """Fetch until the part is whole, again and again as long as that brings something."""
    failures = 0
    while True:
        before = _size(part)
        try:
            _continue(url, part, size, verified, timeout)
            return
        except requests.RequestException as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures == _TRIES or _is_final(error):
                raise OSError(
                    f"cannot fetch {url} ({_reason(error)}). Run again where there is a network, "
                    f"or put the file at {target} by hand"
                ) from error
            time.sleep(0.2 * 2**failures)


def _problem(
    part: Path, expected: str, check: Callable[[Path], object] | None, target: Path
) -> str | None:
    """What is wrong with a whole file, and what to do about it."""
    digest = file_digest(part) if expected else ""
    if not digest.startswith(expected):
        return (
            f"its SHA-256 is {digest[:8]}..., expected {expected[:8]}.... "
            f"Run again, or put the right file at {target} by hand"
        )
    try:
        if check:
            check(part)
    except ValueError as error:
        return str(error)
    return None


def _continue(url: str, part: Path, size: int | None, verified: bool, timeout: float) -> None:
    """Fetch what is missing of a file.

    Raises:
        requests.RequestException: If the server stopped before the end, or has another file.
    """
    have, notes = _size(part), _read(part)
    validator, same = notes.get("validator"), notes.get("url", url) == url
    # Without a mark of the file's version the rest might be of another: it must be noticed later.
    guessed = have and same and verified and not validator
    headers = {"Accept-Encoding": "identity"}  # Ranges and lengths are of the file itself.
    if have and same and (validator or guessed):
        headers["Range"] = f"bytes={have}-"
        headers |= {"If-Range": validator} if validator else {}
    with requests.get(url, headers=headers, stream=True, timeout=(10, timeout)) as response:
        if response.status_code == 416:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return  # Everything was there.
            part.unlink(missing_ok=True)  # The file is shorter now.
        response.raise_for_status()
        goes_on = response.status_code == 206 and response.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {have}-")
        have = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        _check_offer(response, total, size, have, part)
        with open(part, "ab" if goes_on else "wb") as file:
            _write(part, url, response, bool(goes_on and (guessed or notes.get("guessed"))))
            _receive(response, file, part.stem, have, total)
    if total is not None and _size(part) != total:
        raise requests.ConnectionError(f"{_size(part)} of {total} bytes came")


def _check_offer(
    response: requests.Response, total: int | None, size: int | None, have: int, part: Path
) -> None:
    """Refuse what cannot be the file before a byte of the part is lost to it."""
    if "text/html" in response.headers.get("Content-Type", ""):
        raise _Refused("the server sent a web page instead of the file")
    if size and total and total != size:
        raise _Refused(f"the file there has {total} bytes, expected {size}")
    free = shutil.disk_usage(part.parent).free
    if total and total - have > free:
        raise OSError(
            f"{part.parent} has {free / 1e9:.1f} GB free, and {(total - have) / 1e9:.1f} are "
            f"still to come of {response.url}; make room and run again"
        )


def _receive(response: requests.Response, file, title: str, have: int, total: int | None) -> None:
    """Write what comes, under a progress bar."""
    options = dict(initial=have, unit="B", unit_scale=True, unit_divisor=1024)
    with progress(None, title, total, **options) as bar:
        for block in response.iter_content(_BLOCK):
            file.write(block)
            bar.update(len(block))


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _write(part: Path, url: str, response: requests.Response, guessed: bool) -> None:
    """Remember which version of which file the part is of."""
    tag = response.headers.get("ETag", "")
    # A weak tag (W/...) may stand for files that differ.
    validator = response.headers.get("Last-Modified") if tag[:2] in ("", "W/") else tag
    content = dict(url=url, validator=validator, guessed=guessed)
    _notes(part).write_text(json.dumps(content), "utf-8")


def _read(part: Path) -> dict:
    try:
        return dict(json.loads(_notes(part).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_final(error: requests.RequestException) -> bool:
    """Whether trying again is in vain: an answer of the server, no such name, or no network."""
    # Addresses that are none are ValueErrors.
    vain = (_Refused, requests.TooManyRedirects, requests.exceptions.SSLError, ValueError)
    if isinstance(error, vain):
        return True
    status = error.response.status_code if error.response is not None else 0
    if status:
        return 400 <= status < 500 and status not in (408, 416, 429)
    texts = ("NameResolution", "Name or service", "getaddrinfo", "unreachable", "refused")
    return any(text in str(error) for text in texts)


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.TooManyRedirects):
        return "it leads from one address to another without end"
    if error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    text = str(error)
    if "NameResolution" in text or "getaddrinfo" in text:
        return "no network, or no such server"
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return "the server has stopped answering"
    return "the connection failed" if len(text) > 120 else text
