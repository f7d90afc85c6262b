"""A file server with ranges, whose faults a test sets."""

import contextlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace


class Handler(BaseHTTPRequestHandler):
    """Sends `server.state.data`, whatever the path."""

    def do_GET(self):
        state = self.server.state
        state.requests.append({**self.headers, "path": self.path})
        if state.status:
            self.send_error(state.status)
            return
        if state.redirect and not self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", state.redirect)
            self.end_headers()
            return
        data = state.data
        start = self.start_of(data)
        if start is None:
            return
        if state.tag:
            self.send_header("ETag", state.tag)
        if state.kind:
            self.send_header("Content-Type", state.kind)
        if state.length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        stop = state.cuts.pop(0) if state.cuts else len(data)
        part = data[start : start + stop]
        # Counted first: a client that leaves may ask again before the last byte is written.
        state.sent += len(part)
        self.wfile.write(part)
        self.wfile.flush()
        if state.stalls and start + stop < len(data):
            threading.Event().wait(state.stalls)  # Tests replace time.sleep.
        self.connection.close()

    def start_of(self, data):
        """Answer a range with 206 or 416, and return where it begins; None if all is said."""
        state = self.server.state
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not (wanted and state.ranges and self.headers.get("If-Range") in (None, state.tag)):
            self.send_response(200)
            return 0
        start = int(wanted[1])
        if start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.end_headers()
            return None
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        return start

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(data):
    """Serve `data` at `state.url`; `state.cuts` are the bytes after which connections break."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None
    server.state = SimpleNamespace(
        data=data, ranges=True, tag='"v1"', cuts=[], status=None, redirect=None, kind=None,
        length=True, stalls=0, requests=[], sent=0, url=f"http://127.0.0.1:{server.server_port}",
    )  # fmt: skip
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.state
    finally:
        server.shutdown()
        server.server_close()
