"""The report page under a reader's hand: legends, lone values, the logarithmic scale."""

import json
import shutil

import pytest

pytest.importorskip("playwright", reason='the browser test needs: pip install -e ".[dev]"')

from playwright.sync_api import expect, sync_playwright

from mmgen_ext.training.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a run with losses of 60 iterations, one of them of a single iteration."""
    work_dir = tmp_path_factory.mktemp("run")
    records = [
        dict(mode="train", iter=i, cycle_loss=10 / i, loss_gan_g_a=0.5, time=0.2)
        for i in range(1, 61)
    ]
    records[30]["id_loss"] = 1.5
    log = work_dir / "20260101_000000.log.json"
    log.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    path = write_report(work_dir, "c", "e", 60, 60)
    with sync_playwright() as playwright:
        if CHROMIUM is None:
            pytest.skip("no browser: apt install chromium")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page, faults = browser.new_page(locale="en"), []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(path.as_uri())
        yield page
        assert not faults
        browser.close()


def test_a_legend_has_words_and_the_name_in_the_log(page):
    legend = page.locator("#chart-consistency .legend button")
    assert legend.all_inner_texts() == ["cycle losscycle_loss", "identity lossid_loss"]
    assert legend.locator("code").all_inner_texts() == ["cycle_loss", "id_loss"]
    assert page.locator("#chart-generators .legend").inner_text() == "aloss_gan_g_a"


def test_a_value_that_stands_alone_is_a_dot(page):
    dots = page.locator("#chart-consistency circle.alone")
    expect(dots).to_have_count(1)
    assert page.locator("#chart-generators circle").count() == 0  # a line says enough


def test_the_logarithmic_scale_has_decades_and_goes_back(page):
    chart = page.locator("#chart-consistency")
    plain = chart.locator(".plot text").all_text_contents()
    log = chart.get_by_role("button", name="log", exact=True)
    log.click()
    expect(log).to_have_attribute("aria-pressed", "true")
    ticks = chart.locator(".plot text").all_text_contents()
    assert {"0.5", "1", "5", "10"} <= set(ticks) and "NaN" not in chart.inner_html()
    log.click()
    assert chart.locator(".plot text").all_text_contents() == plain != ticks
