"""The page: what is on it, and what happens on a click."""

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
from app_texts import EN, TEXTS, ZH, Refused, language_of, say
from app_work import SUFFIXES, Desk, Result, Wish

from mmgen_ext.inference.translator import PRECISIONS

FONT = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "PingFang SC", "Microsoft YaHei",
        "Noto Sans CJK SC", "sans-serif"]  # fmt: skip
CHINESE = ("zh", "zh-CN", "zh-TW", "zh-HK")
THEME = gr.themes.Default(
    primary_hue="blue", font=FONT, font_mono=["ui-monospace", "Consolas", "monospace"]
)
I18N = gr.I18n(en=EN, **dict.fromkeys(CHINESE, ZH))
PROGRESS = gr.Progress()
SESSIONS = 40  # that gradio remembers
EVERY = 3  # seconds after which the trainings are looked at again
# Raw values come in: all of them are checked in app_work, whoever sends them.
RAW = dict(preprocess=False)
CSS = """
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: auto; }
.refresh { align-self: flex-end; }
.runs { overflow-x: auto; }
.runs table { width: 100%; border-collapse: collapse; }
.runs table, .runs tr, .runs tbody { border: 0 !important; }
.runs th, .runs td { text-align: left; padding: 6px 12px; white-space: nowrap;
  border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important;
  font-variant-numeric: tabular-nums; }
.runs th { color: var(--body-text-color-subdued) !important; font-weight: 600; }
.runs .running { color: #2f63d6; } .runs .finished { color: #177245; }
.runs .silent { color: #9a6200; }
.dark .runs .running { color: #7aa5ff; } .dark .runs .finished { color: #5cc98f; }
.report iframe { width: 100%; height: 82vh; border: 1px solid var(--border-color-primary);
  border-radius: 8px; }
"""


def words(language: str) -> gr.I18n:
    """The page's words: in the browser's language for 'auto', or for every browser in one."""
    if language == "auto":
        return I18N
    return gr.I18n(**dict.fromkeys(("en", *CHINESE), TEXTS[language]))


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
        chosen = model if model in names else next(iter(names), None)
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


def build(page: Page, minutes: int) -> gr.Blocks:
    """The page of a Page; uploads are deleted after `minutes`."""
    for table in TEXTS.values():
        table["intro"] = table["intro"].format(minutes=minutes)
    with gr.Blocks(title=EN["title"], analytics_enabled=False) as blocks:
        gr.Markdown(I18N("heading"))
        gr.Markdown(I18N("intro"))
        notice = gr.Markdown(visible=False)
        with gr.Tab(I18N("tab_translate")) as first:
            model, *chosen, refresh = choices()
            with gr.Tab(I18N("tab_picture")):
                picture_tab(page, [model, *chosen])
            with gr.Tab(I18N("tab_video")):
                video_tab(page, [model, *chosen[:-1]])
        with gr.Tab(I18N("tab_sheet")) as second:
            styles = sheet_tab(page)
        with gr.Tab(I18N("tab_runs")) as tab:
            runs_tab(page, tab, [first, second])
        looked = dict(
            fn=page.models, inputs=model, outputs=[model, styles, notice], **RAW, **quick("models")
        )
        blocks.load(**looked)
        refresh.click(**{**looked, "api_name": "refresh"})
        model.change(page.directions, model, chosen[0], **RAW, **quick("directions"))
        blocks.unload(page.leave)
    # gradio copies the whole page for each session and keeps 10,000 of them. Nothing is lost with
    # one: all that matters comes with each request.
    blocks.state_session_capacity = SESSIONS
    # Room for everybody; what waits costs hardly anything.
    return blocks.queue(1, False, 1000, default_concurrency_limit=1)


def quick(name: str) -> dict:
    """Options of what is done at once, for many at a time."""
    return dict(api_name=name, concurrency_limit=8, show_progress="hidden")


def choices() -> tuple:
    """Model, direction, size, precision, format, and the button that looks for models."""
    with gr.Row(equal_height=False):
        model = gr.Dropdown(label=I18N("model"), scale=3, min_width=240, elem_id="model")
        to = gr.Dropdown(label=I18N("direction"), scale=2, min_width=200, elem_id="direction")
        refresh = gr.Button(I18N("refresh"), scale=0, size="sm", elem_classes="refresh")
    with gr.Accordion(I18N("options"), open=False), gr.Row():
        size = size_field(0)
        precision = gr.Dropdown(
            list(PRECISIONS), value="auto", label=I18N("precision"), info=I18N("precision_info")
        )
        suffix = gr.Dropdown(
            [(s[1:].upper(), s) for s in SUFFIXES], value=SUFFIXES[0], label=I18N("format")
        )
    return model, to, size, precision, suffix, refresh


def size_field(value: int) -> gr.Number:
    """Where the working size is entered."""
    return gr.Number(value, label=I18N("size"), info=I18N("size_info"), precision=0, minimum=0)


def picture_field(name: str) -> gr.Image:
    """Where a picture is uploaded, pasted or photographed."""
    return gr.Image(
        label=I18N("picture"), sources=["upload", "clipboard", "webcam"], type="filepath",
        height=420, buttons=["fullscreen"], elem_id=name,
    )  # fmt: skip


def buttons(text: str) -> tuple[gr.Button, gr.Button]:
    """Do it, and stop it."""
    with gr.Row():
        start = gr.Button(I18N(text), variant="primary", scale=3)
        return start, gr.Button(I18N("cancel"), scale=1, min_width=90)


def results() -> tuple[gr.DownloadButton, gr.Markdown]:
    """Below a result."""
    return gr.DownloadButton(I18N("download"), interactive=False), gr.Markdown()


def wire(page: Page, start: gr.Button, stop: gr.Button, name: str, fn, inputs, outputs) -> None:
    """What the two buttons do; pictures and videos wait in a row each."""
    event = start.click(
        fn, inputs, outputs, api_name=name, show_progress_on=outputs[0], **RAW,
        concurrency_limit=1, concurrency_id="videos" if name == "video" else "pictures",
    )  # fmt: skip
    stop.click(
        page.cancel, cancels=event, concurrency_limit=None, show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip


def picture_tab(page: Page, chosen: list) -> None:
    """One picture."""
    with gr.Row():
        with gr.Column():
            picture = picture_field("picture")
            start, stop = buttons("translate")
        with gr.Column():
            slider = gr.ImageSlider(
                label=I18N("before_after"), type="filepath", interactive=False, max_height=420,
                buttons=["fullscreen"], elem_id="slider",
            )  # fmt: skip
            outputs = [slider, *results()]
    wire(page, start, stop, "picture", page.picture, [picture, *chosen], outputs)


def video_tab(page: Page, chosen: list) -> None:
    """One video."""
    with gr.Row():
        with gr.Column():
            video = gr.Video(label=I18N("film"), height=420, elem_id="video")
            with gr.Row():
                stabilise = gr.Checkbox(label=I18N("stabilise"))
                compare = gr.Checkbox(label=I18N("compare"))
            start, stop = buttons("translate")
        with gr.Column():
            result = gr.Video(label=I18N("result"), interactive=False, height=420, elem_id="film")
            outputs = [result, *results()]
    inputs = [video, *chosen, stabilise, compare]
    wire(page, start, stop, "video", page.video, inputs, outputs)


def sheet_tab(page: Page) -> gr.Dropdown:
    """One picture in all styles; returns where the styles are chosen."""
    with gr.Row():
        with gr.Column(scale=1):
            picture = picture_field("many")
            styles = gr.Dropdown(
                label=I18N("styles"), info=I18N("styles_info"), multiselect=True, elem_id="styles"
            )
            size = size_field(512)
            start, stop = buttons("make_sheet")
        with gr.Column(scale=2):
            sheet = gr.Image(
                label=I18N("sheet"), interactive=False, buttons=["fullscreen"], elem_id="sheet"
            )
            outputs = [sheet, *results()]
    wire(page, start, stop, "sheet", page.sheet, [picture, styles, size], outputs)
    return styles


def runs_tab(page: Page, tab: gr.Tab, others: list[gr.Tab]) -> None:
    """Trainings, as they go on; asked for only while somebody looks."""
    table = gr.HTML()
    run = gr.Dropdown(label=I18N("run"), elem_id="run")
    report = gr.HTML()
    timer = gr.Timer(EVERY, active=False)
    outputs, hidden = [table, run, report], dict(api_visibility="private", show_progress="hidden")
    shown = tab.select(page.runs, run, outputs, **RAW, **quick("runs"))
    shown.then(lambda: gr.Timer(active=True), None, timer, **hidden)
    for other in others:
        other.select(lambda: gr.Timer(active=False), None, timer, **hidden)
    timer.tick(page.tick, [run, report], outputs, concurrency_limit=8, **RAW, **hidden)
    run.focus(lambda: gr.update(choices=list(find_runs(page.work_dirs))), None, run, **hidden)
    run.input(page.report, run, report, **RAW, **quick("report"))
