"""What happens on a click, or on a call of gradio's client."""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import gradio as gr
from app_models import Cancelled, directions
from app_runs import find_runs, read_run
from app_texts import Refused, language_of, say
from app_work import Desk, Result, Wish

PROGRESS = gr.Progress()
EVERY = 3  # seconds after which the trainings are looked at again


class Page:
    """What happens on a click.

    Args:
        desk: Who does it.
        work_dirs: Folder of the trainings.
        language: 'auto' for the browser's, or 'en' | 'zh'.
    """

    def __init__(self, desk: Desk, work_dirs: Path, language: str):
        self.desk, self.work_dirs, self.fixed = desk, work_dirs, language

    def language(self, request: gr.Request) -> str:
        """The language of whoever asks."""
        if self.fixed != "auto":
            return self.fixed
        return language_of(request.headers.get("accept-language", "") if request else "")

    def do(self, pool, request: gr.Request, function: Callable[..., Result], *args) -> Result:
        """Let the desk do something, and turn what goes wrong into a sentence on the page."""
        language = self.language(request)
        session = (request and request.session_hash) or ""
        try:
            return self.desk.do(pool, session, function, *args)
        except Refused as error:
            raise complaint(language, error.text(language)) from None
        except Cancelled:
            raise complaint(language, say(language, "cancelled")) from None
        except Exception:
            logging.getLogger("mmgen_ext.app").exception("unexpected")
            raise complaint(language, say(language, "unexpected")) from None

    def teller(self, request: gr.Request, progress: gr.Progress) -> Callable[..., None]:
        """A function that shows how far something is."""
        language = self.language(request)

        def tell(share: float | None, key: str, **values: object) -> None:
            if "left" in values:
                values["left"] = duration(language, values["left"])
            progress(share or 0, desc=say(language, key, **values))

        return tell

    def notes(self, request: gr.Request, result: Result) -> str:
        """What else is to be said, as Markdown."""
        language = self.language(request)
        lines = [Refused(key, **values).text(language) for key, values in result.notes]
        return "  \n".join(html.escape(line) for line in lines)

    def picture(
        self, file, model, to, size, precision, suffix, request: gr.Request, progress=PROGRESS
    ):
        """Translate a picture."""
        tell = self.teller(request, progress)
        wish = Wish(file, model, to, size, precision, suffix)
        result = self.do(self.desk.pictures, request, self.desk.picture, wish, tell)
        shown = tuple(map(str, result.shown))
        return shown, ready(result), self.notes(request, result)

    def video(
        self, file, model, to, size, precision, stabilise, compare, request: gr.Request,
        progress=PROGRESS,
    ):  # fmt: skip
        """Translate a video."""
        tell = self.teller(request, progress)
        wish = Wish(file, model, to, size, precision)
        args = (wish, stabilise, compare, tell)
        result = self.do(self.desk.videos, request, self.desk.video, *args)
        return str(result.file), ready(result), self.notes(request, result)

    def sheet(self, file, names, size, request: gr.Request, progress=PROGRESS):
        """One picture in many styles."""
        tell = self.teller(request, progress)
        args = (Wish(file, size=size), names, tell)
        result = self.do(self.desk.pictures, request, self.desk.sheet, *args)
        return str(result.file), ready(result), self.notes(request, result)

    def cancel(self, request: gr.Request) -> None:
        """Stop what runs for whoever asks."""
        self.desk.cancel(request.session_hash or "")
        language = self.language(request)
        gr.Info(say(language, "cancelled"), title=say(language, "note"))

    def leave(self, request: gr.Request) -> None:
        """Stop what runs for whoever has closed the page."""
        self.desk.cancel(request.session_hash or "")

    def models(self, model, request: gr.Request):
        """What can be chosen now; what is chosen stays so."""
        names, styles = list(self.desk.models.found()), self.desk.models.styles()
        chosen = model if model in names else self.desk.models.preferred()
        language = self.language(request)
        notice = "" if names else say(language, "no_models")
        return (
            gr.update(choices=names, value=chosen),
            gr.update(choices=names, value=styles[:24]),
            gr.update(value=notice, visible=not names),
        )

    def directions(self, model, request: gr.Request):
        """What the chosen model makes."""
        if not model:
            return gr.update(choices=[], value=None)
        pool = self.desk.pictures
        found = self.do(pool, request, lambda: directions(self.desk.models.load(model)))
        return gr.update(choices=found, value=found[0][1])

    def runs(self, run, request: gr.Request):
        """The table of trainings, which can be chosen, and the report of one."""
        language, found = self.language(request), find_runs(self.work_dirs)
        if not found:
            text = say(language, "no_runs", folder=self.work_dirs.name)
            return f"<p>{html.escape(text)}</p>", gr.update(choices=[], value=None), ""
        keys = ("run", "state", "iteration", "loss", "kid", "updated")
        head = "".join(f"<th>{say(language, f'head_{key}')}</th>" for key in keys)
        rows = "".join(row(language, name, folder) for name, folder in found.items())
        table = f'<div class="runs"><table><tr>{head}</tr>{rows}</table></div>'
        chosen = run if run in found else next(iter(found))
        return table, gr.update(choices=list(found), value=chosen), self.report(chosen, request)

    def tick(self, run, shown, request: gr.Request):
        """The same once more; what need not change is left alone, under the reader's hand."""
        table, choice, report = self.runs(run, request)
        known = run is not None and choice["value"] == run
        return table, gr.skip() if known else choice, gr.skip() if report == shown else report

    def report(self, run, request: gr.Request) -> str:
        """The report of a training, which reloads itself while the run goes on."""
        folder = find_runs(self.work_dirs).get(run) if isinstance(run, str) else None
        if folder is None:
            return ""
        # A report that says it has ended does not reload itself when the run goes on after all.
        ended = read_run(folder).state in ("finished", "stopped")
        options = f"lang={self.language(request)}&reload={EVERY}&ended={int(ended)}"
        where = html.escape(f"/runs/{quote(run)}/report.html?{options}")
        return f'<div class="report"><iframe src="{where}" title="report"></iframe></div>'


def complaint(language: str, text: str) -> gr.Error:
    """An error that is shown on the page and not in the terminal."""
    return gr.Error(text, 12, title=say(language, "failed"), print_exception=False)


def ready(result: Result) -> dict:
    """The download button with a file."""
    return gr.update(value=str(result.file), interactive=True)


def duration(language: str, seconds: float) -> str:
    """A length of time in words."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return say(language, unit, n=round(seconds / length))
    return say(language, "seconds", n=round(seconds))


def row(language: str, name: str, folder: Path) -> str:
    """A training in the table."""
    run = read_run(folder)
    share = f"{run.iteration:,}" + (f" / {run.total:,}" if run.total else "")
    ago = say(language, "ago", time=duration(language, max(0, time.time() - run.updated)))
    figures = ["–" if value is None else f"{value:.4g}" for value in (run.loss, run.kid)]
    cells = [html.escape(name), say(language, run.state), share, *figures, ago]
    classes = ["", run.state, "", "", "", ""]
    return "<tr>" + "".join(
        f'<td class="{c}">{cell}</td>' for c, cell in zip(classes, cells, strict=True)
    ) + "</tr>"  # fmt: skip
