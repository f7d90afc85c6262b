"""The report page: made from a run's folder, looked at by a parser and by a real browser."""

import html.parser
import json
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from mmcv.runner import HOOKS, Hook
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import mmgen_ext.training.report_gallery as report_gallery
from mmgen_ext.training.hooks import ReportHook
from mmgen_ext.training.report import write_report
from mmgen_ext.training.report_charts import best_iteration, thinned
from mmgen_ext.training.report_gallery import find_sheets, gallery

VOID = {"meta", "link", "br", "img", "input", "hr"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(html.parser.HTMLParser):
    """Checks that every element is closed, and keeps what an attribute refers to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.policy = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.open += [] if tag in VOID else [tag]
        self.references += [attributes[k] for k in ("src", "href", "action") if k in attributes]
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read_page(path):
    """The data of a report that is whole and refers to nothing outside itself."""
    text = path.read_text("utf-8")
    page = Page(text)
    assert page.references == ["data:,"]
    assert page.policy.startswith("default-src 'none'; img-src data:;")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert "://" not in text.replace(data[0], "") and "@import" not in text
    return json.loads(data[1], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def write_log(work_dir, records, name="20250101_000000"):
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (work_dir / f"{name}.log.json").write_text("\n".join(lines) + "\n", "utf-8")


def train_record(iteration, **values):
    values = {"loss_gan_g_a": 0.5, "cycle_loss": 1.0, "time": 0.2, "data_time": 0.02, **values}
    return dict(mode="train", epoch=1, iter=iteration, lr=dict(generators=2e-4), **values)


def evaluation_record(iteration, **kids):
    figures = {
        target: dict(source="?", kid=kid, kid_std=0.01, untranslated=dict(kid=0.3))
        for target, kid in kids.items()
    }
    return dict(mode="evaluation", iter=iteration, seconds=3.0, weights="ema", directions=figures)


def write_sheet(work_dir, photo, iteration, side=24, domains=("a", "b")):
    """A sheet as GalleryHook writes it: a row for each direction, other pixels every time."""
    sheet = Image.new("RGB", (4 * side, 2 * side))
    rows = []
    for y, (source, target) in enumerate((domains, domains[::-1])):
        row = dict(source=source, target=target)
        for x, name in enumerate(("real", "fake", "cycle", "identity")):
            at = (7 * y, 7 * y) if name == "real" else (iteration % 150, 20 * x + 90 * y)
            cell = photo[at[0] : at[0] + side, at[1] : at[1] + side]
            sheet.paste(Image.fromarray(cell), (x * side, y * side))
            row[name] = [x * side, y * side, side, side]
        rows.append(row)
    info = PngInfo()
    info.add_text("layout", json.dumps(dict(rows=rows)))
    path = work_dir / "training_samples" / f"iter_{iteration}.png"
    path.parent.mkdir(exist_ok=True)
    sheet.save(path, pnginfo=info)


def series(page, key):
    (chart,) = (chart for chart in page["charts"] if chart["key"] == key)
    return {s["name"]: list(zip(chart["iters"], s["mean"], strict=True)) for s in chart["series"]}


@HOOKS.register_module()
class InterruptAt(Hook):
    """Presses Ctrl-C in the middle of an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner):
        if runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGINT)


def reporting_config(tmp_path, tiny_config, *hooks):
    """The tiny config with a report after every iteration, and of nothing but its losses."""
    hooks = [*hooks, dict(type="ReportHook", min_seconds=0, priority="VERY_LOW")]
    path = tmp_path / "reporting.py"
    text = f"_base_ = {str(tiny_config)!r}\ncustom_hooks = {hooks!r}\nhealth = None\n"
    path.write_text(text, "utf-8")
    return path


def test_a_finished_run_leaves_a_page_that_needs_nothing_else(tool, tiny_config, tmp_path):
    config = reporting_config(tmp_path, tiny_config)
    assert tool("train", config, "--work-dir", tmp_path / "run").code == 0
    page = read_page(tmp_path / "run" / "report.html")
    assert (page["name"], page["state"]) == ("run", "finished")
    assert (page["iteration"], page["total"]) == (6, 6)
    assert "PatchDiscriminator" in page["config"] and "torch: " in page["environment"]
    assert [i for i, _ in series(page, "generators")["a"]] == [2, 4, 6]
    keys = ["generators", "discriminators", "consistency", "other", "lr", "time"]
    assert [chart["key"] for chart in page["charts"] if chart["key"] != "memory"] == keys
    assert page["timing"]["seconds"] > 0 and not page["gallery"]["snapshots"]
    assert not list((tmp_path / "run").glob(".*.part"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interrupted_run_says_stopped_and_a_resumed_one_goes_on(tool, tiny_config, tmp_path):
    work_dir = tmp_path / "run"
    config = reporting_config(tmp_path, tiny_config, dict(type="InterruptAt", iteration=3))
    assert tool("train", config, "--work-dir", work_dir).code == 130
    page = read_page(work_dir / "report.html")
    assert (page["state"], page["iteration"]) == ("stopped", 4)
    config = reporting_config(tmp_path, tiny_config)
    assert tool("train", config, "--work-dir", work_dir, "--resume", "auto").code == 0
    page = read_page(work_dir / "report.html")
    assert (page["state"], page["iteration"]) == ("finished", 6)
    assert [i for i, _ in series(page, "generators")["a"]] == [2, 4, 6]


def test_a_page_that_cannot_be_written_is_a_warning(tool, tiny_config, tmp_path):
    work_dir = tmp_path / "run"
    (work_dir / "report.html" / "in the way").mkdir(parents=True)
    result = tool("train", reporting_config(tmp_path, tiny_config), "--work-dir", work_dir)
    assert result.code == 0 and (work_dir / "iter_6.pth").exists()
    log = next(work_dir.glob("*.log")).read_text("utf-8")
    # Before the first iteration and after the last; those between wait some minutes.
    assert log.count("report.html was not written") == 2 and "training goes on" in log
    assert not list(work_dir.glob(".*.part"))


def fake_runner(**values):
    values = dict(iter=0, _max_iters=9, max_iters=9, meta=None, work_dir="", stop_signal=0) | values
    return SimpleNamespace(logger=logging.getLogger("test"), **values)


def test_the_hook_takes_less_than_a_hundredth_of_the_time(monkeypatch):
    written = []
    module = sys.modules[ReportHook.__module__]
    monkeypatch.setattr(module, "write_report", lambda *a: written.append(a) or time.sleep(0.02))
    hook = ReportHook(min_seconds=1)
    hook.before_run(fake_runner())
    assert hook.due - time.monotonic() > 100 * 0.02 - 0.1
    hook.after_train_iter(fake_runner(iter=1))
    assert len(written) == 1  # not yet
    hook = ReportHook(interval=2, min_seconds=0)
    for i in range(3):
        hook.due = 0
        hook.after_train_iter(fake_runner(iter=i))
    assert [call[3] for call in written[1:]] == [2]


def test_the_hook_waits_after_a_page_that_could_not_be_written(monkeypatch, caplog):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys.modules[ReportHook.__module__], "write_report", full)
    hook = ReportHook(min_seconds=0)
    for i in range(5):
        hook.after_train_iter(fake_runner(iter=i))
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text and hook.due - time.monotonic() > 200


def test_a_long_run_stays_small(tmp_path, photos):
    line = (
        '{"mode": "train", "epoch": 1, "iter": %d, "lr": {"generators": 0.0002}, "time": 0.2, '
        '"data_time": 0.01, "loss_gan_d_a": 0.2%d, "loss_gan_g_a": 0.3%d, "cycle_loss": 1.%d}'
    )
    write_log(tmp_path, (line % (i, i % 97, i % 89, i % 83) for i in range(1, 100_001)))
    for i in range(500, 100_001, 500):
        write_sheet(tmp_path, photos["astronaut"], i)
    start = time.monotonic()
    path = write_report(tmp_path, "c", "e", 100_000, 100_000)
    assert time.monotonic() - start < 20
    assert path.stat().st_size < 1_000_000
    page = read_page(path)
    for chart in page["charts"]:
        assert len(chart["iters"]) <= 600
        assert (chart["iters"][0], chart["iters"][-1]) == (1, 100_000)
    shown = [snapshot["iter"] for snapshot in page["gallery"]["snapshots"]]
    assert 12 <= len(shown) <= 24 and (shown[0], shown[-1]) == (500, 100_000)
    assert len(set(np.diff(shown[:-1]))) == 1
    # Pictures that do not change are there once: 2 real ones.
    assert len(page["gallery"]["images"]) <= 2 + 6 * len(shown)
    assert page["timing"]["total"] == pytest.approx(20_000)


def test_pictures_get_smaller_until_they_fit(tmp_path, photos, monkeypatch):
    for i in range(1, 30):
        write_sheet(tmp_path, photos["astronaut"], i, side=160)
    sheets = find_sheets(tmp_path, 29)
    assert [sheet[0] for sheet in sheets] == [*range(1, 29, 2), 29]
    sizes = []
    for characters in (10_000_000, 200_000, 100):
        monkeypatch.setattr(report_gallery, "CHARACTERS", characters)
        found = gallery(sheets)
        assert len(found["snapshots"]) == 15
        sizes.append(sum(map(len, found["images"])))
    assert sizes[0] > 200_000 > sizes[1] > sizes[2]


@pytest.mark.parametrize("count", [1, 2, 3, 599, 600, 601, 5000])
def test_thinning_keeps_both_ends_and_what_lies_between(count):
    values = [math.sin(i) for i in range(count)]
    values[count // 2] = float("nan")
    chart = thinned(range(1, count + 1), dict(x=values, none=[None] * count))
    found, none = chart["series"]
    assert (chart["iters"][0], chart["iters"][-1]) == (1, count)
    assert len(chart["iters"]) == len(found["mean"]) == min(count, 600)
    assert np.array_equal(found["mean"][:1], values[:1], equal_nan=True)
    assert np.array_equal(found["mean"][-1:], values[-1:], equal_nan=True)
    assert all(map(math.isnan, none["mean"]))
    if count > 600:
        assert np.nanmin(found["low"]) == np.nanmin(values)
        assert np.nanmax(found["high"]) == np.nanmax(values)


def test_no_text_of_a_config_ends_the_page_and_nan_is_nothing(tmp_path, photos):
    config = "a = '</script><script>alert(1)</script><!--' \"\\ {{data}} \ud83d"
    write_log(
        tmp_path,
        [
            dict(env_info="x"),
            train_record(1, cycle_loss=float("nan"), loss_gan_g_画=float("inf"), loss=1),
            train_record(2, loss_gan_g_画=0.25, odd="text", flag=True, none=None),
            dict(mode="train", iter=3, lr=1e-4, kid_b=0.1),  # no losses: no gap in their curve
            '{"mode": "train", "iter": 3, "los',
            evaluation_record(2, 画=float("nan"), b=0.1),
        ],
    )
    write_sheet(tmp_path, photos["coffee"], 2, domains=("画", "</script>"))
    page = read_page(write_report(tmp_path, config, "e", 3, 3, "finished"))
    assert page["config"] == config.replace("\ud83d", "?")
    assert series(page, "consistency")["cycle_loss"] == [(1, None), (2, 1.0)]
    assert series(page, "generators")["画"] == [(1, None), (2, 0.25)]
    assert [row["target"] for row in page["gallery"]["snapshots"][0]["rows"]] == ["</script>", "画"]
    assert page["evaluation"]["best"] is None


def test_what_an_abandoned_future_left_is_not_shown(tmp_path, photos):
    write_log(tmp_path, [train_record(i, cycle_loss=1) for i in (2, 4, 6, 8)], "20250101_000000")
    write_log(tmp_path, [train_record(i, cycle_loss=2) for i in (4, 6)], "20250102_000000")
    for i in (4, 8):
        write_sheet(tmp_path, photos["coffee"], i)
    (tmp_path / "training_samples" / "iter_5.png").write_bytes(b"half a picture")
    Image.new("RGB", (9, 9)).save(tmp_path / "training_samples" / "iter_6.png")  # says no layout
    page = read_page(write_report(tmp_path, "c", "e", 6, 8))
    assert series(page, "consistency")["cycle_loss"] == [(2, 1.0), (4, 2.0), (6, 2.0)]
    assert [snapshot["iter"] for snapshot in page["gallery"]["snapshots"]] == [4]
    page = read_page(write_report(tmp_path, "c", "e", 5, 8))  # gone back to iteration 5
    assert series(page, "consistency")["cycle_loss"] == [(2, 1.0), (4, 2.0)]


def test_the_best_evaluation_has_the_lowest_mean_kid(tmp_path):
    records = [
        evaluation_record(10, a=0.2, b=0.2),
        evaluation_record(20, a=0.1, b=0.15),
        evaluation_record(30, a=0.05, b=0.3),
    ]
    write_log(tmp_path, records)
    page = read_page(write_report(tmp_path, "c", "e", 30, 30))
    (chart,) = page["charts"]
    assert (chart["key"], chart["best"]) == ("kid", 20)
    dashed = {s["name"]: s["dashed"] for s in chart["series"]}
    assert dashed == {"a": False, "a untranslated": True, "b": False, "b untranslated": True}
    assert page["evaluation"]["latest"]["iter"] == 30 and page["evaluation"]["best"]["iter"] == 20
    assert page["timing"]["evaluation_seconds"] == 9
    write_log(tmp_path, [*records, *(train_record(i) for i in (10, 20, 30))])
    timing = read_page(write_report(tmp_path, "c", "e", 30, 60))["timing"]
    assert timing["total"] == pytest.approx(30 * 0.2 + 9)
    assert (timing["seconds"], timing["mean"]) == pytest.approx((0.2, 0.5))
    assert timing["waiting"] == pytest.approx(0.1)
    assert best_iteration([]) is None


@pytest.fixture
def checks(monkeypatch):
    """Two detectors."""
    text = dict(measure="m", threshold=0.1, direction="below", meaning="It copies.", remedy="r")
    module = ModuleType("health")
    module.describe = lambda: [dict(name=n, title=f"Check {n}", **text) for n in ("one", "two")]
    monkeypatch.setitem(sys.modules, "mmgen_ext.training.health", module)


def health_record(iteration, two):
    one = dict(value=0.5, threshold=0.1, firing=False, values=dict(a=0.4))
    return dict(
        mode="health",
        iter=iteration,
        checks=dict(one=one, two=dict(value=two, threshold=0.2, firing=two < 0.2)),
    )


def test_firing_checks_come_first_with_their_remedy(tmp_path, checks):
    write_log(tmp_path, [health_record(i, 0.5 / i) for i in range(1, 301)])
    two, one = read_page(write_report(tmp_path, "c", "e", 300, 300))["health"]
    assert (two["title"], two["firing"], two["remedy"]) == ("Check two", True, "r")
    assert two["threshold"] == 0.2  # that of the run, not of today's code
    assert one["values"] == dict(a=0.4) and not one["firing"]
    assert len(two["history"]) <= 120 and two["history"][0] == 0.5


def test_a_run_that_has_done_nothing_yet_has_a_page(tmp_path):
    page = read_page(write_report(tmp_path, "", "", 0, 100))
    assert page["charts"] == page["health"] == page["gallery"]["snapshots"] == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
@pytest.mark.parametrize("full", [True, False])
def test_a_browser_draws_it_without_complaint(tmp_path, photos, checks, full):
    work_dir = tmp_path / "Lauf ü 画 #1"
    work_dir.mkdir()
    if full:
        records = [train_record(i, memory=900, loss=2.0 / i) for i in range(1, 50)]
        records += [train_record(50, kid_a=0.2)]
        records += [evaluation_record(i, a=0.2, b=0.2 / i) for i in (10, 20)]
        write_log(work_dir, [*records, *(health_record(i, 0.5 / i) for i in range(1, 5))])
        for i in (10, 20, 40):
            write_sheet(work_dir, photos["chelsea"], i)
    path = write_report(work_dir, "total_iters = 50  # </script>", "torch: 2", 49, 50)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"]
    command += ["--enable-logging=stderr", "--v=0", "--lang=en", "--dump-dom", path.as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in result.stderr, result.stderr
    drawn = re.search(r"<main.*</main>", result.stdout, re.DOTALL)[0]
    assert "Lauf ü 画 #1" in drawn and "torch: 2" in drawn
    charts = re.findall(r'id="chart-(\w+)"', drawn)
    assert charts == (
        ["generators", "consistency", "kid", "other", "lr", "time", "memory"] if full else []
    )
    assert drawn.count('class="line"') == (11 if full else 0)
    for text in (
        "cycle loss<code>cycle_loss",
        "Check two",
        "firing",
        "data:image/webp",
        "a → b",
        'class="best"',
    ):
        assert (text in drawn) == full, text


def test_pictures_of_a_former_run_in_the_folder_are_not_shown(tmp_path):
    from mmgen_ext.training.records import last_start

    folder = tmp_path / "training_samples"
    folder.mkdir()
    log = tmp_path / "20260101_120000.log.json"
    log.write_text('{"mode": "train", "iter": 50}\n', "utf-8")
    first, began = last_start(tmp_path)
    assert first == 50
    text = PngInfo()
    text.add_itxt("layout", '{"rows": []}')
    for number, age in ((40, -10), (60, -10), (80, 10)):
        path = folder / f"iter_{number}.png"
        Image.new("RGB", (4, 4)).save(path, pnginfo=text)
        os.utime(path, (began + age, began + age))
    assert [sheet[0] for sheet in find_sheets(tmp_path, 100, first, began)] == [40, 80]
