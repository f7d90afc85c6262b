"""Translate pictures and videos in the browser, and watch trainings, on this machine alone.

Example:
    python demo/app.py --styles work_dirs/styles
"""

from __future__ import annotations

import argparse
import atexit
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import webbrowser
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import psutil
from app_files import VIDEO_MB
from app_guard import MEGABYTE, Guard, is_loopback
from app_models import Models
from app_runs import find_runs, report_of
from app_texts import LANGUAGES
from app_work import Desk

from mmgen_ext import cli
from mmgen_ext.device import pick_device

MINUTES = 30  # that an upload and a result are kept
PREFIX = "mmgen_ext_app_"
REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("--work-dirs", type=Path, default=Path("work_dirs"), metavar="DIR",
        help="folder of trainings and their checkpoints (default: work_dirs)")  # fmt: skip
    add("--styles", type=Path, nargs="+", default=[], metavar="DIR",
        help="folders of published models, as from tools/publish.py")  # fmt: skip
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this "
        "machine alone)")  # fmt: skip
    add("--port", type=int, default=7860, help="port, or 0 for a free one (default: 7860)")
    add("--device", default="auto", help="auto, cpu, cuda:N or mps (default: auto)")
    add("--lang", choices=("auto", *LANGUAGES), default="auto",
        help="language of the page (default: auto, the browser's)")  # fmt: skip
    add("--no-browser", action="store_true", help="do not open a browser")
    return parser.parse_args()


def check_folders(args: argparse.Namespace) -> None:
    """Raise a FileNotFoundError if a folder that was named is not there."""
    for folder in args.styles:
        if not folder.is_dir():
            raise FileNotFoundError(f"--styles {folder} is no folder; name one with model files")
    if not args.work_dirs.is_dir() and args.work_dirs != Path("work_dirs"):
        raise FileNotFoundError(f"--work-dirs {args.work_dirs} is no folder")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        OSError: That says what to do.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port is {port}; expected 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows it would take a port that is in use
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise OSError(
            f"cannot listen on {host}:{port} ({error.strerror or error}); is the app running "
            f"already? Choose another with --port, or 0 for any that is free"
        ) from None
    return sock


def make_folder() -> Path:
    """The folder of this process' uploads and results; what a killed one has left is deleted."""
    for rest in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        process = rest.name.removeprefix(PREFIX).partition("_")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(rest, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}_")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def sweep(folder: Path, age: float) -> None:
    """Delete files of a folder that are older than `age` seconds, and folders that are empty."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent, name)
            try:
                if time.time() - path.stat().st_mtime > age:
                    path.unlink()
            except OSError:
                continue  # in use on Windows, or gone
        if Path(parent) != folder:
            try:
                if time.time() - os.stat(parent).st_mtime > age:
                    os.rmdir(parent)
            except OSError:
                continue


def sweep_forever(folder: Path) -> None:
    """Delete what is old, every minute."""
    while True:
        time.sleep(60)
        sweep(folder, MINUTES * 60)


def import_gradio(folder: Path):
    """Import gradio, told beforehand to keep quiet and where to put files."""
    os.environ |= dict(
        GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1",
        GRADIO_TEMP_DIR=str(folder),
    )  # fmt: skip
    for name in ("GRADIO_ALLOWED_PATHS", "GRADIO_SHARE", "GRADIO_ROOT_PATH", "GRADIO_MCP_SERVER"):
        os.environ.pop(name, None)
    tempfile.tempdir = str(folder)
    try:
        import gradio
    except ImportError as error:
        raise OSError(
            f'the web app needs gradio ({error}); install it with: pip install -e ".[demo]"'
        ) from None
    return gradio


def make_app(args: argparse.Namespace, desk: Desk, folder: Path):
    """The whole app, for an ASGI server."""
    gradio = import_gradio(folder)
    import app_layout
    from app_page import Page
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse, PlainTextResponse

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/runs/{name:path}/report.html")
    def report(name: str):
        run = find_runs(args.work_dirs).get(name)
        if run is None:
            return PlainTextResponse(f"There is no training {name!r}.", 404)
        headers = {"content-security-policy": REPORT_POLICY, "cache-control": "no-cache"}
        return HTMLResponse(report_of(run), headers=headers)

    gradio.mount_gradio_app(
        app, app_layout.build(Page(desk, args.work_dirs, args.lang), MINUTES), "/",
        footer_links=[], run_history=False, ssr_mode=False, pwa=False, show_error=False,
        max_file_size=VIDEO_MB * MEGABYTE, i18n=app_layout.words(args.lang), theme=app_layout.THEME,
        css=app_layout.CSS, enable_monitoring=False, mcp_server=False,
    )  # fmt: skip
    return Guard(app, args.host, folder, VIDEO_MB * MEGABYTE)


def serve(app, sock: socket.socket, host: str, browser: bool) -> None:
    """Answer until Ctrl-C."""
    import uvicorn

    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{sock.getsockname()[1]}/"
    if not is_loopback(host):
        print(f"warning: listening on {host}: everybody who reaches this machine can use the app, "
              f"without a password", file=sys.stderr)  # fmt: skip
    print(f"The app runs at {url}  (Ctrl-C ends it)", flush=True)
    if browser:
        timer = threading.Timer(1, webbrowser.open, [url])
        timer.daemon = True
        timer.start()
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, lifespan="on",
                            server_header=False)  # fmt: skip
    uvicorn.Server(config).run(sockets=[sock])


def main() -> None:
    """Start the app and clean up after it."""
    args = parse_args()
    check_folders(args)
    device = str(pick_device(args.device))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sock = listen(args.host, args.port)
    folder = make_folder()
    args.work_dirs = args.work_dirs.resolve()
    models = Models(args.work_dirs, [path.resolve() for path in args.styles], device)
    desk = Desk(models, folder / "results")
    # What belongs to a client that went away is no news.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    try:
        app = make_app(args, desk, folder)
        threading.Thread(target=sweep_forever, args=(folder,), daemon=True).start()
        serve(app, sock, args.host, not args.no_browser)
    finally:
        desk.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    cli.run(main)
