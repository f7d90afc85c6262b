"""tools/publish.py: one direction, small, vouched for by its name, and translated with at once."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from mmgen_ext.checkpoint import read_checkpoint, write_checkpoint


@pytest.fixture(params=[".pth", ".safetensors"])
def published(request, tool, trained, tmp_path):
    out = tmp_path / f"foto nach a{request.param}"
    result = tool("publish", trained / "latest.pth", out, "--to", "a")
    assert result.code == 0, result.err
    (path,) = tmp_path.glob("foto*[hs]")  # not the card
    return path


def test_name_carries_the_beginning_of_the_hash(published):
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert re.fullmatch(rf"foto nach a-{digest[:8]}\.(pth|safetensors)", published.name)


def test_it_holds_one_generator_and_nothing_of_the_machine(published, trained, data_root):
    content = read_checkpoint(published)
    assert {".".join(key.split(".")[:2]) for key in content["state_dict"]} == {"generators.a"}
    assert set(content) == {"state_dict", "mmgen_ext"}
    assert published.stat().st_size < (trained / "latest.pth").stat().st_size / 4
    data = published.read_bytes()
    for trace in (str(data_root), str(trained), "optimizer", "trainA"):
        assert trace.encode() not in data
    if published.suffix == ".safetensors":
        with safe_open(published, "pt") as file:
            assert len(list(file.keys())) == len(content["state_dict"])


def test_it_translates_without_a_config_to_the_same_pixels(
    published, tool, trained, data_root, tmp_path
):
    for name, checkpoint in (("slim", published), ("full", trained / "latest.pth")):
        to = ["--to", "a"] if name == "full" else []
        result = tool(
            "translate", "auto", checkpoint, data_root / "testB", "--out", tmp_path / name, *to
        )
        assert result.code == 0, result.err
    pictures = sorted((tmp_path / "slim").rglob("*.png"))
    assert len(pictures) == 2
    for picture in pictures:
        other = tmp_path / "full" / picture.relative_to(tmp_path / "slim")
        assert np.array_equal(Image.open(picture), Image.open(other))


def test_the_other_direction_is_not_in_it(published, tool, sentence, data_root, tmp_path):
    run = ["translate", "auto", published, data_root / "testB", "--out", tmp_path / "o", "--to"]
    sentence(tool(*run, "b"), "got the domain 'b'; this model makes a alone. Take --to a")


def test_a_card_says_what_it_is_and_nothing_of_the_machine(published, trained, data_root, tool):
    card = published.with_suffix(".md")
    text = card.read_text("utf-8")
    facts = ["# b to a", published.name, "base_channels 4", "Not measured.", "- License: "]
    for line in [*facts, "- data set: unpaired", "- iterations: 6", "- weights: the last"]:
        assert line in text
    assert str(data_root.parent) not in text and str(trained) not in text
    card.write_text("completed", "utf-8")
    out = published.with_name("foto nach a" + published.suffix)
    assert tool("publish", trained / "latest.pth", out, "--to", "a").code == 0
    assert card.read_text("utf-8") == "completed"


@pytest.mark.parametrize("of_these_weights", [True, False])
def test_a_card_tells_figures_of_these_weights_alone(tool, trained, tmp_path, of_these_weights):
    checkpoint = tmp_path / "latest.pth"
    shutil.copy(trained / "latest.pth", checkpoint)
    protocol = dict(iteration=6 if of_these_weights else 5, weights="raw", features="lite0")
    protocol |= dict(num_source=7, num_reference=8)
    figures = dict(kid=0.1234, kid_std=0.01, fid=56.7, protocol=protocol)
    metrics = dict(checkpoint=str(checkpoint), directions=dict(a=figures))
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    assert tool("publish", checkpoint, tmp_path / "x.pth", "--to", "a").code == 0
    (card,) = tmp_path.glob("x-*.md")
    text = card.read_text("utf-8")
    assert ("- KID: 0.1234 +- 0.0100" in text and "7 against 8" in text) == of_these_weights
    assert ("Not measured." in text) != of_these_weights


def test_a_flipped_bit_is_recognised(published):
    data = bytearray(published.read_bytes())
    data[len(data) // 2] ^= 4
    published.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(published)


@pytest.mark.parametrize(
    "change",
    [
        dict(generator=dict(type="mmgen_ext.Nope")),
        dict(generator=7),
        dict(domains=5),
        dict(generator=dict(type="mmgen_ext.ResnetGenerator", num_blocks="many")),
        5,
    ],
    ids=str,
)
def test_config_in_a_checkpoint_that_builds_nothing(
    change, tool, trained, sentence, data_root, tmp_path
):
    content = read_checkpoint(trained / "latest.pth")
    config = content["mmgen_ext"]["config"]
    config["model"] = {**config["model"], **change} if isinstance(change, dict) else change
    path = tmp_path / "odd.pth"
    write_checkpoint(path, content)
    sentence(tool("translate", "auto", path, data_root / "testB", "--out", tmp_path / "o"), path)
    sentence(tool("publish", path, tmp_path / "x.pth"), path)


def test_wrong_input(tool, trained, sentence, tmp_path):
    latest = trained / "latest.pth"
    sentence(tool("publish", latest, tmp_path / "x.onnx"), "'.onnx'", ".pth or .safetensors")
    sentence(tool("publish", latest, tmp_path / "x.pth", "--to", "c"), "unknown domain 'c'", "a, b")
    bare = tmp_path / "bare.pth"
    torch.save({"weight": torch.zeros(3, 3)}, bare)
    sentence(tool("publish", bare, tmp_path / "x.pth"), "holds no config and no generator")
    assert [path.name for path in tmp_path.iterdir()] == ["bare.pth"]


def test_mmgens_checkpoint_is_published_with_its_config(tool, trained, tiny_config, tmp_path):
    bare = tmp_path / "bare.pth"
    torch.save(dict(state_dict=read_checkpoint(trained / "latest.pth")["state_dict"]), bare)
    result = tool("publish", bare, tmp_path / "x.pth", "--config", tiny_config)
    assert result.code == 0, result.err
    (path,) = tmp_path.glob("x-*.pth")
    assert read_checkpoint(path)["mmgen_ext"]["config"]["model"]["default_domain"] == "b"
