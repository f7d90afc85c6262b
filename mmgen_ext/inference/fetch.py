"""Files from the net: fetched once, resumed, and there only when they are whole."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from filelock import FileLock
from tqdm import tqdm

from ..checkpoint import file_digest

_TRIES = 5  # in a row without a single new byte
_TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
_BLOCK = 1 << 15  # also what a broken connection may lose


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time work on `path`; the lock of a process that died is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        yield


def fetch(url: str, target: Path, expected: str = "") -> None:
    """Fetch a file to `target`, going on where an earlier try stopped.

    Args:
        url: Where it is.
        target: File that does not exist yet; the part that is there lies beside it as `.part`.
        expected: The beginning of its SHA-256, or nothing.

    Raises:
        OSError: If it cannot be fetched.
        ValueError: If its hash differs; nothing of it is kept.
    """
    part = target.with_name(target.name + ".part")
    failures = 0
    while True:
        before = _size(part)
        try:
            _continue(url, part)
            break
        except requests.RequestException as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures == _TRIES or _is_final(error):
                raise OSError(
                    f"cannot fetch {url} ({_reason(error)}). Run again where there is a network, "
                    f"or put the file at {target} by hand"
                ) from error
            time.sleep(0.2 * 2**failures)
    digest = file_digest(part)
    _validator_file(part).unlink(missing_ok=True)
    if not digest.startswith(expected):
        part.unlink()
        raise ValueError(
            f"{url} was not used: its SHA-256 is {digest[:8]}..., expected {expected[:8]}.... "
            f"Run again, or put the right file at {target} by hand"
        )
    os.replace(part, target)


def _continue(url: str, part: Path) -> None:
    """Fetch what is missing of a file.

    Raises:
        requests.RequestException: If the server stopped before the end.
    """
    have, validator = _size(part), _read(_validator_file(part))
    # Without a mark of the file's version, the rest might be of another.
    headers = {"Range": f"bytes={have}-", "If-Range": validator} if have and validator else {}
    headers["Accept-Encoding"] = "identity"  # Ranges and lengths are of the file itself.
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == 416:  # The file is shorter now.
            part.unlink(missing_ok=True)
        response.raise_for_status()
        goes_on = response.status_code == 206 and response.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {have}-")
        have = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with open(part, "ab" if goes_on else "wb") as file:
            _write(_validator_file(part), response)
            quiet = not sys.stderr.isatty()
            bar = dict(desc=part.stem, initial=have, total=total, unit="B", unit_scale=True)
            with tqdm(**bar, unit_divisor=1024, disable=quiet) as progress:
                for block in response.iter_content(_BLOCK):
                    file.write(block)
                    progress.update(len(block))
    if total is not None and _size(part) != total:
        raise requests.ConnectionError(f"{_size(part)} of {total} bytes came")


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _write(path: Path, response: requests.Response) -> None:
    """Remember which version of the file the part is of."""
    tag = response.headers.get("ETag", "")
    # A weak tag (W/...) may stand for files that differ.
    validator = response.headers.get("Last-Modified") if tag[:2] in ("", "W/") else tag
    path.write_text(json.dumps(dict(validator=validator)), "utf-8")


def _read(path: Path) -> str | None:
    try:
        return json.loads(path.read_text("utf-8")).get("validator")
    except (OSError, ValueError):
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_final(error: requests.RequestException) -> bool:
    """Whether trying again is in vain: an answer of the server, no such name, or no network."""
    status = error.response.status_code if error.response is not None else 0
    if status:
        return 400 <= status < 500 and status not in (408, 416, 429)
    texts = ("NameResolution", "Name or service", "getaddrinfo", "unreachable", "refused")
    return any(text in str(error) for text in texts) or isinstance(
        error, (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema)
    )


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    text = str(error)
    if "NameResolution" in text or "getaddrinfo" in text:
        return "no network, or no such server"
    return "the connection failed" if len(text) > 120 else text
