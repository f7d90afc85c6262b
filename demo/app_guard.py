"""Who may ask the web app for what: only its own page, only its own files, only so much."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEGABYTE = 2**20  # as browsers and gradio count
HELD = 4096 * MEGABYTE  # of uploads and results of everybody, beyond which no upload is taken
MESSAGE = MEGABYTE  # bytes of a request that is no upload
DRAINED = 2_000_000_000  # bytes of a refused upload that are still read, so that the answer arrives
# What gradio says in the stream of a session or request that it does not know, and what we say.
NOT_FOUND, UNKNOWN = b'"404: Not Found"', b'"This app knows no such request; reload the page."'
# All that the page and gradio_client ask for. gradio has more: proxies, editors, monitoring.
ALLOWED = {
    "GET": r"/|/(assets|static|svelte|runs)/.+|/(config|theme\.css|favicon\.ico|manifest\.json)/?|"
    r"/gradio_api/(info|queue/data|upload_progress|startup-events|app_id|theme\.css)/?|"
    r"/gradio_api/(heartbeat|call)/.+|/gradio_api/file=(?!\s*[a-zA-Z][a-zA-Z+.-]+:).+",
    "POST": r"/gradio_api/(upload|queue/join|cancel|reset|call/.+)/?",
}
# The browser itself asks nobody else, whatever stands in a page.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "connect-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
}


class Guard:
    """ASGI middleware that answers what is not allowed with a sentence.

    Args:
        app: What it guards.
        host: Address that is listened on.
        folder: The only one whose files a request may name.
        upload: Bytes of an upload.
    """

    def __init__(self, app: ASGIApp, host: str, folder: Path, upload: int):
        self._app, self._folder, self._upload = app, str(folder), upload
        self._names = {host.lower(), "localhost", "127.0.0.1", "::1"}
        self._open = not is_loopback(host)
        if self._open:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        try:
            refusal = self._stranger(headers) or self._not_allowed(scope)
        except ValueError:  # as of "http://["
            refusal = 400, "The host or the origin of this request is no address."
        if refusal:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)
        elif scope["method"] == "POST":
            await self._post(scope, receive, _with_headers(send), headers)
        elif re.match(r"/gradio_api/(queue/data|call/)", scope["path"]):
            await self._stream(scope, receive, _with_headers(send))
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let gradio tell what goes on; it ends that by a crash where it knows of nothing."""

        async def tell(message: Message) -> None:
            if "body" in message:
                message = {**message, "body": message["body"].replace(NOT_FOUND, UNKNOWN)}
            await send(message)

        try:
            await self._app(scope, receive, tell)
        except RuntimeError as error:
            if not isinstance(error.__cause__, HTTPException):
                raise
            await send({"type": "http.response.body"})

    def _stranger(self, headers: Headers) -> tuple[int, str] | None:
        """Why a request is of another web page, if it is."""
        host, origin = headers.get("host", ""), headers.get("origin")
        name = (urlsplit(f"//{host}").hostname or "").lower()
        # A name that is made to lead here, as in DNS rebinding, is no address.
        if name not in self._names and not (self._open and _is_address(name)):
            return 421, f"This app does not answer for the host {name!r}."
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "Another web page may not use this app."
        if headers.get("sec-fetch-site") == "cross-site" and (
            headers.get("sec-fetch-mode") != "navigate"
        ):
            return 403, "Another web page may not use this app."
        return None

    def _not_allowed(self, scope: Scope) -> tuple[int, str] | None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if re.fullmatch(ALLOWED.get(method, "(?!)"), scope["path"]):
            return None
        return 404, "There is nothing at this address."

    async def _post(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        upload = scope["path"].startswith("/gradio_api/upload")
        allowed = self._upload if upload else MESSAGE
        limit = allowed + MESSAGE  # An upload has a frame around the file.
        length = headers.get("content-length", "")
        too_large = f"Too large; the limit is {allowed // MEGABYTE} MB."
        if length.isdigit() and int(length) > limit:
            await _drain(receive)
            await PlainTextResponse(too_large, 413)(scope, receive, send)
        elif upload and _size_of(self._folder) > HELD:
            await _drain(receive)
            full = f"The {HELD // MEGABYTE} MB for all uploads and results are full; try later."
            await PlainTextResponse(full, 507)(scope, receive, send)
        elif upload:
            await self._app(scope, _counted(receive, limit), send)
        else:
            body = await _read(receive, limit)
            wrong = too_large if body is None else self._foreign_file(body)
            if wrong:
                await PlainTextResponse(wrong, 413 if body is None else 400)(scope, receive, send)
            else:
                await self._app(scope, _replay(body, receive), send)

    def _foreign_file(self, body: bytes) -> str | None:
        """What is wrong if a message names a file that was not uploaded, which gradio may fetch."""
        try:
            for path in _paths(json.loads(body or b"null")):
                inside = os.path.abspath(path).startswith(self._folder + os.sep)
                if "://" in path or not os.path.isabs(path) or not inside:
                    return "A request names a file that was not uploaded."
        except (ValueError, RecursionError):
            return "A request is not JSON."
        return None


def _size_of(folder: str) -> int:
    total = 0
    for path in Path(folder).rglob("*"):
        with contextlib.suppress(OSError):  # It may have been deleted just now.
            total += path.stat().st_size
    return total


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's alone."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _paths(value: object) -> Iterator[str]:
    """All files that a message of gradio's names."""
    if isinstance(value, dict):
        if isinstance(value.get("path"), str):
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _paths(item)


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            extra = [(name, value) for name, value in HEADERS.items() if name not in there]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return wrapped


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The body of a request; None if it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _drain(receive: Receive) -> None:
    total = 0
    while total < DRAINED:
        message = await receive()
        total += len(message.get("body", b""))
        if not message.get("more_body"):
            return


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        return next(messages, None) or await receive()

    return replayed


def _counted(receive: Receive, limit: int) -> Receive:
    """For an upload that does not say how long it is."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        return message if total <= limit else {"type": "http.disconnect"}

    return counted
