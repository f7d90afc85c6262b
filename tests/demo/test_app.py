"""The web app, asked by HTTP: what it makes, what it refuses, and who may ask."""

import asyncio
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from string import Formatter
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image

gradio = pytest.importorskip("gradio", reason='the web app needs: pip install -e ".[demo]"')

import httpx
from app_server import Server, png
from clips import numbered, write_clip
from processes import ROOT, Tool
from starlette.responses import PlainTextResponse

from mmgen_ext.inference.publish import publish
from mmgen_ext.inference.translator import Translator

DEMO = ROOT / "demo"


@pytest.fixture(scope="module")
def places(trained, tmp_path_factory):
    """Folders of trainings and of published files; one of these is broken."""
    root = tmp_path_factory.mktemp("app 画")
    shutil.copytree(trained, root / "runs" / "tiny")
    (root / "styles").mkdir()
    published = publish(trained / "latest.pth", root / "styles" / "to_a.pth", "a")
    published.rename(root / "styles" / "to_a.pth")
    (root / "styles" / "broken.pth").write_bytes(b"no checkpoint")
    return root


@pytest.fixture(scope="module")
def server(places):
    options = ["--work-dirs", places / "runs", "--styles", places / "styles"]
    server = Server(places / "tmp", *options)
    yield server
    os.kill(server.tool.pid, signal.SIGINT)
    assert server.tool.wait(20) == 130
    assert not list((places / "tmp").glob("mmgen_ext_app_*"))


@pytest.fixture
def visitor(server):
    return server.visitor()


@pytest.fixture
def photo(photos):
    return np.ascontiguousarray(photos["coffee"][100:150, 200:277])


def expected(places, image, to="a"):
    """What the Translator makes of RGB, as RGB."""
    translator = Translator(None, places / "runs" / "tiny" / "latest.pth", device="cpu")
    return translator(np.ascontiguousarray(image[:, :, ::-1]), to)[:, :, ::-1]


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_download_has_the_translators_own_pixels(visitor, places, photo):
    file = visitor.upload("my café 画.png", png(photo))
    shown, download, note = visitor.picture(file, "tiny/latest.pth", "a")
    assert np.array_equal(pixels(visitor.fetch(download)), expected(places, photo))
    assert np.array_equal(pixels(visitor.fetch(shown[0])), photo)
    assert np.array_equal(pixels(visitor.fetch(shown[1])), expected(places, photo))
    assert download["value"]["orig_name"] == "my_café_画_a.png"
    assert note.startswith("77 x 50, ")


def test_gradios_own_client_can_use_it(server, places, photo, tmp_path):
    from gradio_client import Client, handle_file

    Image.fromarray(photo).save(tmp_path / "photo.png")
    client = Client(server.url, download_files=str(tmp_path), verbose=False)
    _, download, _ = client.predict(
        handle_file(tmp_path / "photo.png"), "to_a.pth", None, 0, "auto", ".png",
        api_name="/picture",
    )  # fmt: skip
    made = np.asarray(Image.open(download["value"]))
    assert np.array_equal(made, expected(places, photo))


def test_models_are_listed_with_what_they_make_and_new_ones_are_found(visitor, places):
    names = ["tiny/latest.pth", "tiny/iter_6.pth", "tiny/iter_4.pth", "tiny/iter_2.pth"]
    new = places / "styles" / "new.pth"
    shutil.copyfile(places / "styles" / "to_a.pth", new)
    model, styles, _ = visitor.call("models", "tiny/iter_4.pth")
    new.unlink()
    listed = [value for _, value in model["choices"]]
    assert [name for name in listed if "/" in name] == names
    assert [name for name in listed if name in ("broken.pth", "new.pth", "to_a.pth")]
    assert model["value"] == "tiny/iter_4.pth"
    assert "tiny/latest.pth" in styles["value"] and "tiny/iter_4.pth" not in styles["value"]
    # What is gone is not chosen, but the newest training.
    assert visitor.call("models", "new.pth")[0]["value"] == "tiny/latest.pth"
    (found,) = visitor.call("directions", "tiny/latest.pth")
    assert found["choices"] == [["a → b", "b"], ["b → a", "a"]]


def test_a_direction_is_named_by_its_domains_as_far_as_they_are_known(visitor):
    pytest.importorskip("vintagify")
    (found,) = visitor.call("directions", "vintagify")
    assert found["choices"] == [["photo → vintage", "vintage"]]

    from app_models import directions

    def words(domains, *made):
        cfg = SimpleNamespace(model=dict(domains=domains))
        return [text for text, _ in directions(
            SimpleNamespace(cfg=cfg, domains=list(made), default_domain=made[0]))]  # fmt: skip

    assert words(["A", "vintage"], "vintage") == words(["input", "vintage"], "vintage")
    assert words(["A", "vintage"], "vintage") == ["→ vintage"]
    assert words(["A", "B"], "B", "A") == ["A → B", "B → A"]


def test_all_styles_are_on_one_sheet_and_what_fails_is_said(visitor, photo):
    file = visitor.upload("p.png", png(photo))
    sheet, _, note = visitor.call("sheet", file, ["to_a.pth", "broken.pth", "tiny/latest.pth"], 0)
    height, width = pixels(visitor.fetch(sheet)).shape[:2]
    assert height > 50 and width > 2 * 77
    assert "Not on the sheet: The model broken.pth cannot be used" in note
    assert str(DEMO.parent) not in note


def test_every_format_keeps_size_transparency_and_metadata(visitor, photo):
    alpha = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    alpha[:9, :9, 3] = 0
    exif = Image.Exif()
    exif[0x010E] = "a cup"
    file = io.BytesIO()
    Image.fromarray(alpha).save(file, "PNG", exif=exif)
    upload = visitor.upload("cup.png", file.getvalue())
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        _, download, _ = visitor.picture(upload, "to_a.pth", suffix=suffix)
        made = Image.open(io.BytesIO(visitor.fetch(download)))
        assert download["value"]["orig_name"] == f"cup_a{suffix}"
        assert made.size == (77, 50) and made.getexif()[0x010E] == "a cup"
        assert made.mode == ("RGB" if suffix == ".jpg" else "RGBA")


def odd_pictures(photo):
    """Pictures as cameras and programs write them."""
    image = Image.fromarray(photo)
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = photo[:, :, 0].astype(np.uint16) * 257
    yield "turned.jpg", image, dict(format="JPEG", exif=exif), (50, 77)
    yield "cmyk.jpg", image.convert("CMYK"), dict(format="JPEG"), (77, 50)
    yield "gray.png", image.convert("L"), dict(format="PNG"), (77, 50)
    yield "deep.png", Image.fromarray(deep), dict(format="PNG"), (77, 50)
    more = dict(save_all=True, append_images=[image.rotate(90)])
    yield "moves.gif", image, dict(format="GIF", **more), (77, 50)
    yield "no suffix", image, dict(format="WEBP"), (77, 50)
    yield "lies.jpg", image, dict(format="PNG"), (77, 50)


def test_odd_pictures_are_translated(visitor, photo):
    for name, image, options, size in odd_pictures(photo):
        file = io.BytesIO()
        image.save(file, **options)
        answer = visitor.picture(visitor.upload(name, file.getvalue()), "to_a.pth")
        assert not isinstance(answer, str), (name, answer)
        assert Image.open(io.BytesIO(visitor.fetch(answer[1]))).size == size, name
        assert ("animation of 2" in answer[2]) == (name == "moves.gif")


def bomb(side):
    """A PNG of few bytes that claims to be a white square."""

    def chunk(kind, content):
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side * (side // 8 + 1)), 9) if side < 20_000 else b""
    chunks = (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_bad_pictures_get_a_sentence(visitor, server, photo):
    whole = io.BytesIO()
    Image.fromarray(photo).save(whole, "JPEG", quality=95)
    bad = {
        "bomb.png": (bomb(50_000), "decompression bomb"),
        "large.png": (bomb(9_000), "9000 x 9000 pixels, more than the 64 million"),
        "text.jpg": (b"not a picture\n" * 20, "none of the formats JPEG"),
        "empty.png": (b"", "empty (0 bytes)"),
        "cut.png": (png(photo)[:300], "no picture that can be read"),
        "head.jpg": (whole.getvalue()[:60], "no picture that can be read"),
        "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "none of the formats"),
        "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of the formats"),
        "array.npy": (b"\x93NUMPY" + bytes(200), "none of the formats"),
    }
    for name, (data, words) in bad.items():
        answer = visitor.picture(visitor.upload(name, data), "to_a.pth")
        assert isinstance(answer, str) and words in answer, (name, answer)
        assert "Traceback" not in answer and str(server.folder) not in answer, answer
    assert visitor.call("sheet", visitor.upload("t.jpg", b"text"), ["to_a.pth"], 0).startswith(
        "This is no picture"
    )
    assert "Traceback" not in server.tool.text


def test_sentences_are_in_the_language_of_the_browser(server):
    visitor = server.visitor(**{"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert visitor.picture(None, "to_a.pth") == "请先上传、粘贴或拍摄一张图片。"
    assert visitor.picture(visitor.upload("e.png", b""), "to_a.pth") == "文件是空的（0 字节）。"


def test_invented_choices_are_refused(visitor, photo):
    file = visitor.upload("p.png", png(photo))
    for model in ("../runs/tiny/latest.pth", "/etc/passwd", "", None, 7, ["to_a.pth"], {"a": 1}):
        assert "There is no model" in visitor.picture(file, model)
    assert "to_a.pth makes a, not 'b'" in visitor.picture(file, "to_a.pth", "b")
    assert "makes a, not" in visitor.picture(file, "to_a.pth", {"a": 1})
    for size in (7, -1, 5000, 64.5, 1e300, "64", [64]):
        assert "whole number from 32" in visitor.picture(file, "to_a.pth", size=size)
    for size in ("NaN", "Infinity"):
        body = dict(data=[file, "to_a.pth", None, "SIZE", "auto", ".png"], session_hash=size)
        body["fn_index"] = visitor.functions()["picture"]
        visitor.session = size
        content, kind = (
            json.dumps(body).replace('"SIZE"', size),
            {"content-type": "application/json"},
        )
        visitor.http.post("/gradio_api/queue/join", content=content, headers=kind)
        assert "whole number from 32" in str(list(visitor.messages()))
    assert "not one of auto" in visitor.picture(file, "to_a.pth", precision="int8")
    assert "not one of auto" in visitor.picture(file, "to_a.pth", precision=["auto"])
    assert "not one of .png" in visitor.picture(file, "to_a.pth", suffix="/../x.png")
    assert "broken.pth cannot be used" in visitor.picture(file, "broken.pth")


def test_calls_that_the_page_would_never_make_get_a_sentence(visitor, server, photo):
    from app_files import uploaded
    from app_texts import Refused

    file = visitor.upload("p.png", png(photo))
    for value in (file["path"], "/etc/passwd", 7, [1]):
        assert "goes as handle_file" in visitor.picture(value, "to_a.pth")
    assert "goes as handle_file" in visitor.call("picture", file)
    assert "Upload, paste" in visitor.picture({"url": "x"}, "to_a.pth")
    with pytest.raises(Refused, match="Upload"):
        uploaded(str(ROOT / "README.md"), 1, "no_picture")
    for header in ("host", "origin"):
        answer = visitor.http.get("/", headers={header: "http://[::1"})
        assert answer.status_code in (400, 421), header
    assert "Traceback" not in server.tool.text


def test_what_the_app_knows_nothing_of_gets_a_sentence(visitor, server):
    for path in ("queue/data?session_hash=nobody", "call/picture/nobody"):
        answer = visitor.http.get(f"/gradio_api/{path}")
        assert answer.status_code == 200 and "knows no such request; reload" in answer.text
    assert "Traceback" not in server.tool.text


def test_other_files_are_neither_shown_nor_read(visitor, places, server):
    secret = places / "runs" / "tiny" / "latest.pth"
    own = next(iter(server.folder.glob("mmgen_ext_app_*")))
    paths = ["/etc/passwd", secret, f"{own}/../output.txt", ROOT / "README.md", "demo/app.py"]
    for path in [*paths, "file:///etc/passwd", "http://127.0.0.1:1/x", own]:
        answer = visitor.http.get(f"/gradio_api/file={path}")
        assert answer.status_code in (403, 404), path
        file = dict(path=str(path), meta={"_type": "gradio.FileData"})
        body = dict(data=[file, "to_a.pth", None, 0, "auto", ".png"])
        answer = visitor.http.post("/gradio_api/call/picture", json=body)
        assert answer.status_code == 400 or path == own, path
    for path in ("/assets/..%2f..%2f..%2froutes.py", "/static/%2e%2e/x", "/runs/..%2f/report.html"):
        assert visitor.http.get(path).status_code in (403, 404)


def test_what_the_page_does_not_need_is_not_there(visitor):
    for path in ("/monitoring", "/docs", "/openapi.json", "/gradio_api/openapi.json", "/x",
                 "/gradio_api/proxy=http://127.0.0.1/", "/gradio_api/run-history/buckets",
                 "/gradio_api/vibe-code", "/gradio_api/file=https://127.0.0.1/"):  # fmt: skip
        assert visitor.http.get(path).status_code == 404, path
    assert visitor.http.post("/gradio_api/process_recording").status_code == 404
    assert visitor.http.post("/gradio_api/run/picture", json=dict(data=[])).status_code == 404


def test_other_web_pages_cannot_use_it(server):
    def ask(**headers):
        body = dict(data=[None])
        return server.visitor(**headers).http.post("/gradio_api/call/models", json=body).status_code

    port = server.url.rpartition(":")[2]
    assert ask() == ask(origin=server.url) == 200
    assert ask(host=f"localhost:{port}", origin=f"http://localhost:{port}") == 200
    assert ask(host="evil.example") == ask(host=f"192.168.1.5:{port}") == 421
    assert ask(origin="http://evil.example") == ask(origin="null") == 403
    assert ask(origin="http://127.0.0.1:1") == 403
    assert ask(**{"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}) == 403


def test_300_megabytes_are_refused_and_so_are_large_messages(visitor, server):
    before = len(server.kept())
    data = io.BytesIO(bytes(300_000_000))
    answer = visitor.http.post("/gradio_api/upload", files=[("files", ("film.mp4", data))])
    assert (answer.status_code, answer.text) == (413, "Too large; the limit is 200 MB.")
    answer = visitor.http.post("/gradio_api/call/models", json=dict(data=["x" * 3_000_000]))
    assert answer.status_code == 413
    assert len(server.kept()) == before


def test_no_upload_is_taken_when_all_of_them_are_too_much(tmp_path, monkeypatch):
    import app_guard

    async def upload():
        app = app_guard.Guard(PlainTextResponse("taken"), "localhost", tmp_path, 10)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.post("/gradio_api/upload", content=b"x" * 9)
        return answer.status_code, answer.text

    monkeypatch.setattr(app_guard, "HELD", app_guard.MEGABYTE + 9000)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "film").write_bytes(bytes(app_guard.MEGABYTE))
    assert asyncio.run(upload()) == (200, "taken")
    (tmp_path / "user" / "other").write_bytes(bytes(9001))
    status, text = asyncio.run(upload())
    assert status == 507 and text == "The 1 MB for all uploads and results are full; try later."


@pytest.mark.slow
def test_200_requests_of_20_users_come_back_each_to_its_own(server, places):
    images = np.random.default_rng(0).integers(0, 256, (20, 10, 3, 3, 3), np.uint8)
    images = images.repeat(8, 2).repeat(8, 3)
    process = psutil.Process(server.tool.pid)

    def use(pictures):
        visitor = server.visitor()
        made = []
        for i, image in enumerate(pictures):
            file = visitor.upload(f"{i}.png", png(image))
            made.append(pixels(visitor.fetch(visitor.picture(file, "tiny/latest.pth", "a")[1])))
        return made

    with ThreadPoolExecutor(20) as users:
        list(users.map(use, images[:, :1]))  # what is allocated once
        before = process.memory_info().rss
        results = list(users.map(use, images))
    grown = (process.memory_info().rss - before) / 1e6
    assert grown < 30, f"200 requests have left {grown:.0f} MB in memory"
    translator = Translator(None, places / "runs" / "tiny" / "latest.pth", device="cpu")
    for pictures, made in zip(images, results, strict=True):
        for image, result in zip(pictures, made, strict=True):
            right = translator(np.ascontiguousarray(image[:, :, ::-1]), "a")[:, :, ::-1]
            assert np.array_equal(result, right)


def test_video_is_translated_and_bad_ones_get_a_sentence(visitor, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", [numbered(n) for n in range(6)])
    file = visitor.upload("my clip.mp4", clip.read_bytes())
    options = ("to_a.pth", None, 0, "auto", False, True)
    film, _, note = visitor.call("video", file, *options)
    assert film["orig_name"] == "my_clip_a.mp4" and note.startswith("6 frames")
    assert b"ftyp" in visitor.fetch(film)[:12]
    secret = tmp_path / "secret.ts"
    shutil.copyfile(clip, secret)
    bad = {
        "empty.mp4": b"",
        "text.mp4": b"no video\n" * 100,
        "cut.mp4": clip.read_bytes()[:700],
        "list.mp4": f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n".encode(),
        "list2.mp4": f"ffconcat version 1.0\nfile {secret}\n".encode(),
    }
    for name, data in bad.items():
        answer = visitor.call("video", visitor.upload(name, data), *options)
        assert isinstance(answer, str) and ("no video" in answer or "empty" in answer), answer
    assert visitor.call("video", None, *options) == "Upload or record a video first."


def test_trainings_are_shown_as_they_are_now(visitor, places):
    table, run, frame = visitor.call("runs", None)
    assert run["value"] == "tiny" and ">6 / 6<" in table and "finished" in table
    assert "/runs/tiny/report.html?lang=en" in frame and "ended=1" in frame
    assert visitor.call("report", "tiny") == [frame]
    assert visitor.call("report", "../styles") == [""]
    page = visitor.http.get("/runs/tiny/report.html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert '"iteration":6' in page.text and '"state":"finished"' in page.text
    # Of a report that lies there only the figures are taken, never the script.
    report = places / "runs" / "tiny" / "report.html"
    before = report.read_text("utf-8")
    report.write_text(before.replace('"use strict"', 'alert("evil")'), "utf-8")
    log = next((places / "runs" / "tiny").glob("*.log.json"))
    with open(log, "a") as file:
        file.write('{"mode": "train", "iter": 7, "loss": 0.25}\n')
    page = visitor.http.get("/runs/tiny/report.html").text
    assert "evil" not in page and '"iteration":7' in page
    assert ">7 / 6<" in visitor.call("runs", None)[0]
    report.write_text(before, "utf-8")


def test_both_languages_say_the_same_things():
    from app_texts import EN, ZH

    assert list(EN) == list(ZH)
    for key in EN:
        fields = [{name for _, name, _, _ in Formatter().parse(t[key]) if name} for t in (EN, ZH)]
        assert fields[0] == fields[1], key
        assert EN[key] != ZH[key] or key in ("head_kid",)


def test_old_files_are_deleted_and_new_ones_stay(tmp_path):
    from app import sweep

    for name in ("a/old.png", "b/old.png", "b/new.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("a/old.png", "b/old.png"):
        os.utime(tmp_path / name, (0, 0))
    os.utime(tmp_path / "a", (0, 0))
    sweep(tmp_path, 60)
    assert [path.name for path in tmp_path.rglob("*.png")] == ["new.png"]


def test_few_models_stay_in_memory(places, monkeypatch):
    import app_models

    monkeypatch.setattr(app_models, "KEPT", 2)
    models = app_models.Models(places / "runs", [places / "styles"], "cpu")
    first = models.load("to_a.pth")
    assert models.load("to_a.pth") is first
    for name in ("tiny/iter_2.pth", "tiny/iter_4.pth"):
        models.load(name)
    assert len(models._loaded) == 2 and models.load("to_a.pth") is not first


def test_cancelling_stops_within_a_picture_and_within_a_video(places, tmp_path, photo):
    from app_models import Cancelled, Models
    from app_work import Desk, Wish

    desk = Desk(Models(places / "runs", [places / "styles"], "cpu"), tmp_path / "results")
    clip = write_clip(tmp_path / "clip.mp4", [numbered(n) for n in range(9)])
    seen = []

    def tell(share, key, **values):
        seen.append(values.get("done"))
        if key == "working" or values.get("done") == 3:
            assert desk.cancel("me") and not desk.cancel("another")

    with pytest.raises(Cancelled):
        wish = Wish(dict(path=str(clip)), "to_a.pth")
        desk.do(desk.videos, "me", desk.video, wish, False, False, tell)
    assert seen[-1] == 3 and not list(tmp_path.rglob("clip_*"))
    (tmp_path / "p.png").write_bytes(png(photo))
    with pytest.raises(Cancelled):
        wish = Wish(dict(path=str(tmp_path / "p.png")), "to_a.pth")
        desk.do(desk.pictures, "me", desk.picture, wish, tell)
    assert not desk.cancel("me")
    desk.close()


def test_wrong_starts_get_a_sentence(server, tmp_path):
    port = server.url.rpartition(":")[2]
    wrong = {
        f"error: cannot listen on 127.0.0.1:{port}": ("--port", port),
        "nowhere is no folder": ("--styles", tmp_path / "nowhere"),
        "expected 0 to 65535": ("--port", 70_000),
        "cannot listen on no.such.host.invalid": ("--host", "no.such.host.invalid"),
        "device 'abacus' is not available": ("--device", "abacus"),
    }
    for words, args in wrong.items():
        tool = Tool("../demo/app", "--no-browser", *args, output=tmp_path / "output.txt")
        assert tool.wait(60) == 1
        assert words in tool.text and "Traceback" not in tool.text, tool.text
        tool.output.unlink()


def test_missing_gradio_gets_a_sentence(tmp_path, monkeypatch):
    import app

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(app.tempfile, "tempdir", None)
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(OSError, match=r'pip install -e "\.\[demo\]"'):
        app.import_gradio(tmp_path)


def test_beyond_this_machine_there_is_a_warning(tmp_path):
    server = Server(tmp_path / "tmp", "--host", "0.0.0.0", "--work-dirs", tmp_path)
    assert "warning: listening on 0.0.0.0" in server.tool.text
    assert server.visitor(host="192.168.1.5").http.get("/").status_code == 200
    assert server.visitor(host="evil.example").http.get("/").status_code == 421
    os.kill(server.tool.pid, signal.SIGTERM)
    assert server.tool.wait(20) == 143
    assert not list((tmp_path / "tmp").glob("mmgen_ext_app_*"))


def test_what_a_killed_app_has_left_is_deleted_by_the_next(tmp_path, monkeypatch):
    import app

    monkeypatch.setattr(app.tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for process in (gone.pid, os.getppid()):
        (tmp_path / f"mmgen_ext_app_{process}_x").mkdir()
    folder = app.make_folder()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {folder.name, f"mmgen_ext_app_{os.getppid()}_x"}
    shutil.rmtree(folder)
