"""The web app in a real browser: upload, translate, slide, download, cancel, both languages."""

import contextlib
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason='the web app needs: pip install -e ".[demo]"')
pytest.importorskip("playwright", reason='the browser test needs: pip install -e ".[dev]"')

from app_server import Server, png
from clips import numbered, write_clip
from playwright.sync_api import Error, expect, sync_playwright

from mmgen_ext.inference.translator import Translator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = [
    f"--{flag}"
    for flag in ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                 "disable-background-networking", "disable-component-update")
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        except Error as error:
            pytest.skip(
                "no browser: apt install chromium, or python -m playwright install chromium "
                f"({str(error).splitlines()[0]})"
            )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(browser, trained, tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    shutil.copytree(trained, root / "runs" / "tiny")
    server = Server(root / "tmp", "--work-dirs", root / "runs")
    yield server
    os.kill(server.tool.pid, signal.SIGINT)
    assert server.tool.wait(20) == 130


@pytest.fixture
def opened(browser, server):
    """Open the page; nothing may be asked of anybody else, and nothing may be complained of."""

    @contextlib.contextmanager
    def open_page(**options):
        context = browser.new_context(accept_downloads=True, **options)
        page, faults = context.new_page(), []
        page.on("request", lambda r: allowed(r.url) or faults.append(r.url))
        page.on("console", lambda m: m.type == "error" and faults.append(m.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("response", lambda r: r.status >= 400 and faults.append(f"{r.status} {r.url}"))
        page.goto(server.url)
        expect(page.locator("#model input")).to_have_value("tiny/latest.pth", timeout=30_000)
        yield page
        before = list(faults)
        context.close()  # which breaks off what the page still waits for
        assert not before

    def allowed(url):
        return url.startswith((server.url, "data:", "blob:"))

    return open_page


def choose(page, field, value):
    page.locator(f"#{field} input").click()
    page.get_by_role("option", name=value, exact=True).click()


def button(page, name):
    return page.get_by_role("button", name=name, exact=True).locator("visible=true")


def test_picture_is_uploaded_translated_slid_and_downloaded(opened, server, photos, tmp_path):
    photo = np.ascontiguousarray(photos["coffee"][:150, :200])
    with opened(locale="en-US") as page:
        choose(page, "model", "tiny/latest.pth")
        expect(page.locator("#direction input")).to_have_value("a → b")
        choose(page, "direction", "b → a")
        file = dict(name="cup.png", mimeType="image/png", buffer=png(photo))
        page.set_input_files("#picture input[type=file]", files=[file])
        expect(page.locator("#picture img")).to_be_visible()
        button(page, "Translate").click()
        expect(page.locator("#slider img").first).to_be_visible(timeout=30_000)
        line = page.locator("#slider .outer, #slider [role=slider]").first
        before = line.bounding_box()
        page.mouse.move(before["x"] + before["width"] / 2, before["y"] + before["height"] / 2)
        page.mouse.down()
        page.mouse.move(before["x"] - 60, before["y"] + before["height"] / 2, steps=4)
        page.mouse.up()
        assert line.bounding_box()["x"] < before["x"] - 30
        with page.expect_download() as download:
            page.get_by_text("Download", exact=True).locator("visible=true").click()
        download.value.save_as(tmp_path / "made.png")
    assert download.value.suggested_filename == "cup_a.png"
    model = next(Path(server.folder).parent.glob("runs/tiny/latest.pth"))
    right = Translator(None, model, device="cpu")(np.ascontiguousarray(photo[:, :, ::-1]), "a")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "made.png")), right[:, :, ::-1])


def test_wrong_file_gets_a_sentence_on_the_chinese_page(opened):
    with opened(locale="zh-CN") as page:
        expect(page.get_by_role("heading", name="图片风格转换")).to_be_visible()
        file = dict(name="text.jpg", mimeType="image/jpeg", buffer=b"no picture")
        page.set_input_files("#picture input[type=file]", files=[file])
        expect(page.locator("#picture img")).to_be_visible()
        button(page, "开始转换").click()
        expect(page.get_by_text("无法作为图片读取：不属于这些格式")).to_be_visible()


def test_video_shows_how_far_it_is_and_can_be_cancelled(opened, server, tmp_path):
    clip = write_clip(tmp_path / "film.mp4", [numbered(n % 256, 480, 320) for n in range(100)])
    with opened(locale="en-US") as page:
        page.get_by_role("tab", name="Video").click()
        page.set_input_files("#video input[type=file]", clip)
        expect(page.locator("#video video")).to_be_visible()
        button(page, "Translate").click()
        expect(page.get_by_text("of 100,").first).to_be_visible(timeout=60_000)
        assert "[object" not in page.inner_text("body")
        button(page, "Cancel").click()
        expect(page.get_by_text("Cancelled.").first).to_be_visible()
        page.wait_for_timeout(1500)
        assert not [path for path in server.kept() if path.suffix == ".part" or "_B" in path.name]


def test_trainings_are_shown_with_curves_and_pictures(opened):
    with opened(locale="en-US", viewport=dict(width=390, height=844)) as page:
        page.get_by_role("tab", name="Trainings").click()
        expect(page.get_by_role("cell", name="6 / 6")).to_be_visible()
        report = page.frame_locator("iframe[title=report]")
        expect(report.get_by_role("heading", name="tiny")).to_be_visible()
        expect(report.locator("#swipe")).to_be_visible()
        assert report.locator("#curves svg").count() > 2
