"""tools/convert.py: weights of others become a file of ours with the same pixels."""

import numpy as np
import pytest
import torch

from mmgen_ext.checkpoint import read_checkpoint
from mmgen_ext.inference.translator import Translator
from mmgen_ext.models import PatchDiscriminator, ResnetGenerator


@pytest.fixture
def both(tmp_path):
    """A file of both directions under no names of ours, the networks being tiny ones."""
    content = {}
    for name in ("G_A", "G_B"):
        network = ResnetGenerator(base_channels=4, num_blocks=1, init_cfg=dict(gain=0.2))
        state = network.state_dict()
        # One module for each weight and its bias.
        content[name] = {
            f"layers.{i // 2}.{key.rpartition('.')[2]}": value
            for i, (key, value) in enumerate(state.items())
        }
    path = tmp_path / "both ways.pth"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_both_directions_are_kept_with_the_same_pixels(both, suffix, tool, photos, tmp_path):
    out = tmp_path / f"ours{suffix}"
    result = tool("convert", both, out)
    assert result.code == 0, result.err
    assert "makes A, B" in result.out
    before, after = (Translator(None, path, device="cpu") for path in (both, out))
    picture = np.ascontiguousarray(photos["coffee"][:40, :60, ::-1])
    for domain in ("A", "B"):
        assert np.array_equal(before(picture, to=domain), after(picture, to=domain))
    content = read_checkpoint(out)
    assert {".".join(k.split(".")[:2]) for k in content["state_dict"]} == {
        "generators.A",
        "generators.B",
    }
    assert content["mmgen_ext"]["config"]["model"]["domains"] == ["A", "B"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([both.name, out.name])


def test_domains_are_named(both, tool, photos, sentence, tmp_path):
    out = tmp_path / "ours.pth"
    assert "makes apple, orange" in tool("convert", both, out, "--to-domain", "apple", "orange").out
    picture = np.ascontiguousarray(photos["coffee"][:40, :60, ::-1])
    before, after = (Translator(None, path, device="cpu") for path in (both, out))
    assert after.default_domain == "orange"
    assert np.array_equal(before(picture, to="A"), after(picture, to="apple"))
    result = tool("convert", both, out, "--to-domain", "apple")
    sentence(result, "expected 2 different names", "makes A, B")
    sentence(tool("convert", both, tmp_path / "x.onnx"), "expected .pth or .safetensors")


def test_ours_and_mmgens_are_converted_too(trained, tool, photos, tmp_path):
    out = tmp_path / "slim.pth"
    assert tool("convert", trained / "latest.pth", out, "--to-domain", "x", "y").code == 0
    picture = np.ascontiguousarray(photos["coffee"][:40, :60, ::-1])
    expected = Translator(None, trained / "latest.pth", device="cpu")(picture, to="b")
    assert np.array_equal(Translator(None, out, device="cpu")(picture, to="y"), expected)
    assert out.stat().st_size < (trained / "latest.pth").stat().st_size / 2


def test_what_is_no_generator_leaves_no_file(tool, sentence, tmp_path):
    torch.save(PatchDiscriminator(in_channels=3, base_channels=4).state_dict(), tmp_path / "d.pth")
    sentence(tool("convert", tmp_path / "d.pth", tmp_path / "x.pth"), "PatchGAN discriminator")
    assert [path.name for path in tmp_path.iterdir()] == ["d.pth"]
