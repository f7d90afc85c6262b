"""Known data sets: from mirrors that break off, redirect, are slow, or send something else."""

import hashlib
import io
import json
import os
import re
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from processes import Tool
from server import serving

from mmgen_ext import fetch as fetch_module
from mmgen_ext.datasets import known
from mmgen_ext.datasets.known import KNOWN, KnownSet, Source
from mmgen_ext.prepare.get import get_set, read_record

BLOCK = fetch_module._BLOCK


def archive(shade=0):
    """About 0.5 MB: two pictures of noise a folder, inside one more folder."""
    file, rng = io.BytesIO(), np.random.default_rng(shade)
    with zipfile.ZipFile(file, "w") as out:
        for folder in ("trainA", "trainB", "testA", "testB"):
            for i in range(2):
                picture = io.BytesIO()
                noise = rng.integers(0, 256, (144, 144, 3), np.uint8)
                Image.fromarray(noise).save(picture, "PNG")
                # Without a date: the same bytes each time.
                out.writestr(zipfile.ZipInfo(f"maps/{folder}/{i}.png"), picture.getvalue())
    return file.getvalue()


DATA = archive()
COUNTS = dict(trainA=2, trainB=2, testA=2, testB=2)


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch_module.time, "sleep", lambda seconds: None)
    monkeypatch.setitem(KNOWN, "maps", KnownSet(()))
    with serving(DATA) as state:
        yield state


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data 画" / "maps"


def get(root, *mirrors, **options):
    return get_set("maps", root, mirrors=mirrors, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_set_is_fetched_unpacked_and_recorded(server, root):
    made = get(root, server.url + "/folder")
    assert made.counts == COUNTS and not made.was_there
    assert server.requests[0]["path"] == "/folder/maps.zip"
    assert names(root) == ["testA", "testB", "trainA", "trainB"]
    assert names(root.parent) == ["maps", "maps.received.json"]
    received = read_record(root)[f"{server.url}/folder/maps.zip"]
    assert received == dict(size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
    assert get(root, server.url).was_there and len(server.requests) == 1


def test_what_breaks_off_is_gone_on_with(server, root):
    server.cuts = [9 * BLOCK, 3 * BLOCK]
    get(root, server.url)
    assert [r.get("Range") for r in server.requests][1:] == [
        f"bytes={9 * BLOCK}-",
        f"bytes={12 * BLOCK}-",
    ]
    assert server.sent == len(DATA)


def test_a_later_run_goes_on_and_needs_no_tag_as_the_archive_is_verified(server, root):
    server.tag, server.cuts = None, [9 * BLOCK] + [0] * 9
    with pytest.raises(OSError, match="maps could not be had"):
        get(root, server.url)
    assert (root.parent / "maps.zip.part").stat().st_size == 9 * BLOCK
    server.cuts, server.sent = [], 0
    assert get(root, server.url).counts == COUNTS
    assert server.sent == len(DATA) - 9 * BLOCK


@pytest.mark.parametrize("tag", ['"v2"', None])
def test_parts_of_two_versions_never_become_one_file(server, root, tag):
    server.tag, server.cuts = tag and '"v1"', [9 * BLOCK] + [0] * 9
    with pytest.raises(OSError):
        get(root, server.url)
    server.cuts, server.data, server.tag = [], archive(1), tag
    get(root, server.url)
    with zipfile.ZipFile(io.BytesIO(archive(1))) as expected:
        for path in root.rglob("*.png"):
            name = f"maps/{path.relative_to(root).as_posix()}"
            assert path.read_bytes() == expected.read(name)


def test_a_server_without_ranges_sends_it_again(server, root):
    server.ranges, server.cuts = False, [9 * BLOCK]
    assert get(root, server.url).counts == COUNTS
    assert len(server.requests) == 2 and server.sent == 9 * BLOCK + len(DATA)


def test_the_part_of_one_mirror_is_not_gone_on_with_from_another(server, root):
    server.cuts = [9 * BLOCK] + [0] * 9
    with serving(archive(2)) as other:
        get(root, server.url, other.url)
        assert "Range" not in other.requests[0]
        assert list(read_record(root)) == [f"{other.url}/maps.zip"]


def test_redirects_are_followed_and_circles_are_left(server, root):
    server.redirect = "/moved/maps.zip"
    assert get(root, server.url).counts == COUNTS
    server.redirect = "/again"
    with pytest.raises(OSError, match="from one address to another without end"):
        get(root.with_name("again"), server.url)
    assert len(server.requests) < 40  # once around, not once more for each try


def fail(state, how):
    if how == "404":
        state.status = 404
    elif how == "web page":
        state.data, state.kind = b"<!doctype html><html></html>", "text/html; charset=utf-8"
    elif how == "untold web page":
        state.data = b"<html>log in first</html>" * 100
    elif how == "other archive":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as out:
            out.writestr("readme.txt", "moved")
        state.data = file.getvalue()
    elif how == "cut, no length":
        state.data, state.length = DATA[:-BLOCK], False


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("404", "the server says 404"),
        ("web page", "the server sent a web page instead"),
        ("untold web page", "it is no zip or tar archive but a web page"),
        ("other archive", "expected pictures in folders trainA and trainB"),
        ("cut, no length", "no zip or tar archive|is damaged"),
    ],
)
def test_the_next_mirror_is_asked_when_one_fails(server, root, how, words):
    fail(server, how)
    with pytest.raises(OSError, match=words) as error:
        get(root, server.url)
    assert "Try another address with --mirror URL" in str(error.value)
    assert not root.exists() and not list(root.parent.glob("*.zip"))
    with serving(DATA) as second:
        assert get(root, server.url, second.url).counts == COUNTS
        assert len(second.requests) == 1


def test_a_web_page_does_not_cost_the_part_that_is_there(server, root):
    server.cuts = [9 * BLOCK] + [0] * 9
    with pytest.raises(OSError):
        get(root, server.url)
    fail(server, "web page")
    server.cuts, server.ranges = [], False
    with pytest.raises(OSError, match="web page"):
        get(root, server.url)
    assert (root.parent / "maps.zip.part").stat().st_size == 9 * BLOCK


def test_a_size_or_hash_that_is_known_must_be_right(server, root, monkeypatch):
    good, url = hashlib.sha256(DATA).hexdigest(), f"{server.url}/maps.zip"
    for source, words in (
        (Source(url, len(DATA) + 1, good), rf"has {len(DATA)} bytes, expected {len(DATA) + 1}"),
        (Source(url, len(DATA), "0" * 64), r"its SHA-256 is \w{8}\.\.\., expected 00000000"),
    ):
        monkeypatch.setitem(KNOWN, "maps", KnownSet((source,), "Ask the authors."))
        with pytest.raises(OSError, match=words) as error:
            get(root)
        assert str(error.value).endswith("Ask the authors.") and not root.exists()
    monkeypatch.setitem(KNOWN, "maps", KnownSet((Source(url, len(DATA), good),)))
    assert get(root).counts == COUNTS


def test_a_mirror_of_ones_own_may_differ_and_it_is_said(server, root, monkeypatch):
    monkeypatch.setitem(KNOWN, "maps", KnownSet((Source("http://127.0.0.1:9/m.zip", 5, "00"),)))
    notes = get(root, server.url).notes
    assert any("not the same archive as that of its authors" in note for note in notes)


def test_a_later_run_verifies_what_was_received_before(server, root):
    get(root, server.url)
    server.data = archive(3)
    with pytest.raises(
        OSError, match=r"expected is what was received before[\s\S]*delete .*maps.rec"
    ):
        get(root, server.url, overwrite=True)
    assert get(root, server.url).counts == COUNTS
    (root.parent / "maps.received.json").unlink()
    get(root, server.url, overwrite=True)
    assert (
        read_record(root)[f"{server.url}/maps.zip"]["sha256"]
        == hashlib.sha256(archive(3)).hexdigest()
    )


def test_a_server_that_stalls_is_given_up_after_the_timeout(server, root):
    server.cuts, server.stalls = [9 * BLOCK] + [0] * 9, 2
    with serving(DATA) as second:
        assert get(root, server.url, second.url, timeout=0.1).counts == COUNTS
    server.cuts = [0] * 9
    with pytest.raises(OSError, match="has stopped answering"):
        get(root.with_name("other"), server.url, timeout=0.1)


def test_a_mirror_is_taken_from_the_environment(server, root, monkeypatch):
    monkeypatch.setenv("MMGEN_EXT_MIRROR", f"{server.url}/sets/")
    get(root)
    assert server.requests[0]["path"] == "/sets/maps.zip"


def test_an_archive_put_there_by_hand_is_taken_and_stays(server, root):
    root.parent.mkdir()
    (root.parent / "maps.zip").write_bytes(DATA)
    made = get(root, server.url)
    assert made.counts == COUNTS and not server.requests
    assert (root.parent / "maps.zip").exists() and "stays" in made.notes[-1]


def test_a_folder_a_file_and_an_address_of_ones_own(server, tmp_path):
    (tmp_path / "own.zip").write_bytes(DATA)
    get_set("x", tmp_path / "a", str(tmp_path / "own.zip"))
    get_set("x", tmp_path / "b", f"{server.url}/some/file.zip?key=1")
    (tmp_path / "a" / "notes.txt").write_text("x")
    made = get_set("x", tmp_path / "c" / "maps", str(tmp_path / "a"))
    linked = get_set("x", tmp_path / "d", str(tmp_path / "a"), link=True)
    assert made.counts == linked.counts == COUNTS
    assert (tmp_path / "d" / "trainA" / "0.png").samefile(tmp_path / "a" / "trainA" / "0.png")
    with pytest.raises(ValueError, match="is inside"):
        get_set("x", tmp_path / "a" / "new", str(tmp_path / "a"))
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        get_set("x", tmp_path / "e", str(tmp_path / "none.zip"))


def test_what_is_there_is_replaced_only_if_asked_and_only_by_something_whole(server, root):
    (root / "trainA").mkdir(parents=True)
    (root / "trainA" / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="is there already; --overwrite replaces it"):
        get(root, server.url)
    server.status = 404
    with pytest.raises(OSError):
        get(root, server.url, overwrite=True)
    assert names(root) == ["trainA"]
    server.status = None
    get(root, server.url, overwrite=True)
    assert names(root) == ["testA", "testB", "trainA", "trainB"]
    assert names(root.parent) == ["maps", "maps.received.json"]


def test_a_folder_around_data_sets_is_never_replaced(server, root):
    (root.parent / "precious" / "trainA").mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="--overwrite"):
            get(root.parent, server.url, overwrite=overwrite)
    assert names(root.parent) == ["precious"]
    for name in ("", "../maps", "a/b"):
        with pytest.raises(ValueError, match="expected a plain name"):
            get_set(name, root, own=server.url)


def test_what_was_there_is_back_when_the_new_cannot_take_its_place(server, root, monkeypatch):
    (root / "trainA").mkdir(parents=True)
    replace = os.replace

    def refuse(source, target):  # as Windows does while a program looks into the folder
        if Path(source).name.removesuffix(".part").rpartition(".")[2].isdigit() and target == root:
            raise PermissionError("in use")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        get(root, server.url, overwrite=True)
    assert names(root) == ["trainA"]
    assert not [name for name in names(root.parent) if name.startswith(".")]


def test_what_is_being_made_beside_it_stays(server, root):
    others = [f".{root.name}.2.{process}.part" for process in (12345, "old")]
    for name in others:
        (root.parent / name).mkdir(parents=True)
    get(root, server.url)
    assert set(others) <= set(names(root.parent))


def test_what_a_killed_run_left_half_unpacked_goes_and_what_it_moved_away_comes_back(server, root):
    rest = root.with_name(".maps.12345.part")
    (rest / "trainA").mkdir(parents=True)
    old = root.with_name(".maps.old.part")
    (old / "trainA").mkdir(parents=True)
    (old / "trainA" / "mine.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="--overwrite"):
        get(root, server.url)
    assert names(root / "trainA") == ["mine.png"] and not rest.exists() and not old.exists()
    assert get(root, server.url, overwrite=True).counts == COUNTS


def test_ctrl_c_keeps_the_part_and_says_how_to_go_on(server, root, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    server.cuts = [9 * BLOCK]
    monkeypatch.setattr(fetch_module.time, "sleep", stop)
    with pytest.raises(KeyboardInterrupt):
        get(root, server.url)
    original = requests.Response.iter_content

    def some(self, size):
        yield next(original(self, size))
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Response, "iter_content", some)
    with pytest.raises(KeyboardInterrupt, match=r"MB are kept in .*maps\.zip\.part; the same comm"):
        get(root, server.url)
    monkeypatch.undo()
    server.sent = 0
    assert get_set("maps", root, mirrors=[server.url]).counts == COUNTS
    assert server.sent == len(DATA) - 10 * BLOCK


def test_ctrl_c_at_the_command_line_and_the_same_command_again(server, root, tmp_path):
    server.cuts, server.stalls = [9 * BLOCK], 30
    command = ["prepare_data", "maps", "--mirror", server.url, "--out", root]
    first = Tool(*command, output=tmp_path / "out.txt")
    part = root.parent / "maps.zip.part"
    first.wait_for(lambda: part.exists() and part.stat().st_size == 9 * BLOCK)
    os.kill(first.pid, signal.SIGINT)
    assert first.wait() == 130
    assert re.search(r"interrupted: .*kept in .*maps\.zip\.part; the same command", first.text)
    assert "Traceback" not in first.text
    server.stalls = server.sent = 0
    again = Tool(*command, output=tmp_path / "again.txt")
    assert again.wait() == 0, again.text
    assert server.sent == len(DATA) - 9 * BLOCK
    assert f"data_root: {root.as_posix()}" in again.text and "100%" in again.text


def test_the_table_is_whole():
    assert len(KNOWN) == 11
    for name, entry in KNOWN.items():
        first = entry.sources[0]
        assert first.url.endswith(f"eecs.berkeley.edu/cyclegan/datasets/{name}.zip")
        assert re.fullmatch(r"[0-9a-f]{64}", first.sha256) and first.size > 30e6
        assert len(entry.sources) == 1 + (name in known._PAINTERS)


def test_unknown_names_are_answered_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match=r"did you mean monet2photo.*--from ZIP, FOLDER or URL"):
        get_set("monet2foto", tmp_path / "x")
    with pytest.raises(ValueError, match="the names are monet2photo, vangogh2photo"):
        get_set("qqq", tmp_path / "x")


def test_the_record_is_plain_json(server, root):
    get(root, server.url)
    assert json.loads((root.parent / "maps.received.json").read_text("utf-8"))
