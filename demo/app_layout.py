"""The page: what is on it."""

from __future__ import annotations

import gradio as gr
from app_files import SUFFIXES
from app_page import EVERY, Page, complaint
from app_runs import find_runs
from app_texts import EN, TEXTS, ZH, say

from mmgen_ext.inference.translator import PRECISIONS

FONT = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "PingFang SC", "Microsoft YaHei",
        "Noto Sans CJK SC", "sans-serif"]  # fmt: skip
CHINESE = ("zh", "zh-CN", "zh-TW", "zh-HK")
THEME = gr.themes.Default(
    primary_hue="blue", font=FONT, font_mono=["ui-monospace", "Consolas", "monospace"]
)
I18N = gr.I18n(en=EN, **dict.fromkeys(CHINESE, ZH))
SESSIONS = 40  # that gradio remembers
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


class Blocks(gr.Blocks):
    """gradio's, where a call that its own page would never make gets a sentence too."""

    async def preprocess_data(self, *args: object, **options: object) -> list:
        """See gradio.Blocks."""
        try:
            return await super().preprocess_data(*args, **options)
        except ValueError:  # of pydantic, or of a wrong number of values
            raise complaint("en", say("en", "misfit")) from None


def build(page: Page, minutes: int) -> gr.Blocks:
    """The page of a Page; uploads are deleted after `minutes`."""
    for table in TEXTS.values():
        table["intro"] = table["intro"].format(minutes=minutes)
    with Blocks(title=EN["title"], analytics_enabled=False) as blocks:
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
