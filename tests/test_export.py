"""Export: whatever the Translator reads becomes one ONNX file that makes the same pixels."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmcv import Config

from mmgen_ext import export
from mmgen_ext.checkpoint import write_checkpoint
from mmgen_ext.export import export_onnx
from mmgen_ext.inference.translator import Translator
from mmgen_ext.inference.weights import build_generators

TINY = dict(base_channels=4, num_blocks=1)
OURS = dict(type="mmgen_ext.CycleGAN", domains=["monet", "photo"])
MMGENS = dict(type="CycleGAN", reachable_domains=["monet", "photo"])
CHANNELS = dict(in_channels=3, out_channels=3)
RGB = dict(type="Normalize", mean=[0.4, 0.5, 0.6], std=[0.5, 0.4, 0.3], to_rgb=True)
MODELS = {
    "ours": dict(OURS, generator=dict(type="mmgen_ext.ResnetGenerator", **TINY)),
    "resize": dict(
        OURS,
        generator=dict(
            type="mmgen_ext.ResnetGenerator", upsample="resize", padding_mode="replicate", **TINY
        ),
    ),
    "subpixel, blur": dict(
        OURS,
        generator=dict(
            type="mmgen_ext.ResnetGenerator", upsample="subpixel", downsample="blur", **TINY
        ),
    ),
    "global skip": dict(
        OURS,
        generator=dict(
            type="mmgen_ext.ResnetGenerator", global_skip=True, last_activation="softsign", **TINY
        ),
    ),
    "smoothing": dict(
        OURS,
        generator=dict(type="mmgen_ext.ResnetGenerator", global_skip=True, smoothing=3, **TINY),
    ),
    "recolor": dict(
        OURS,
        generator=dict(
            type="mmgen_ext.MobileResnetGenerator", global_skip=True, recolor=True, **TINY
        ),
    ),
    "semantics": dict(OURS, generator=dict(type="mmgen_ext.ResnetGenerator", semantics=2, **TINY)),
    "gray to colour": dict(
        OURS, generator=dict(type="mmgen_ext.ResnetGenerator", in_channels=1, **TINY)
    ),
    "batch norm": dict(
        OURS, generator=dict(type="mmgen_ext.ResnetGenerator", norm="batch", **TINY)
    ),
    "U-Net": dict(
        OURS, generator=dict(type="mmgen_ext.UnetGenerator", num_down=5, base_channels=4)
    ),
    "mmgen's": dict(MMGENS, generator=dict(type="ResnetGenerator", **CHANNELS, **TINY)),
    "mmgen's batch norm": dict(
        MMGENS,
        generator=dict(type="ResnetGenerator", norm_cfg=dict(type="BN"), **CHANNELS, **TINY),
    ),
    "mmgen's U-Net": dict(
        MMGENS,
        generator=dict(type="UnetGenerator", num_down=5, base_channels=4, **CHANNELS),
    ),
    "mmgen's RGB": dict(MMGENS, generator=dict(type="ResnetGenerator", **CHANNELS, **TINY)),
}


def write_model(path, name):
    """A checkpoint with contrast, batch norms that have seen something, and its config."""
    config = dict(model=dict(MODELS[name], default_domain="monet"))
    config["test_pipeline"] = [RGB] if "RGB" in name else None
    generators = build_generators(Config(config).model)
    for parameter in generators.parameters():
        parameter.data *= 4
    for module in generators.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    state = generators.state_dict(prefix="generators.")
    write_checkpoint(path, dict(state_dict=state, mmgen_ext=dict(config=config)))
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("tiny") / "tiny.pth", "ours")


@pytest.fixture
def picture(photos):
    return np.ascontiguousarray(photos["chelsea"][:101, :131, ::-1])


@pytest.mark.parametrize("with_processing", [False, True], ids=["network", "whole"])
@pytest.mark.parametrize("name", MODELS)
def test_every_generator_makes_the_checkpoints_pixels(tmp_path, picture, name, with_processing):
    checkpoint = write_model(tmp_path / "model.pth", name)
    report = export_onnx(None, checkpoint, tmp_path / "x.onnx", "monet", with_processing)
    assert report.difference <= (1 if with_processing else 0.13)
    translator = Translator(None, checkpoint, device="cpu")
    image = picture[..., : translator.channels()]
    expected = translator.batch([image, image[:, ::-1], image[:50, :33]])
    assert expected[0].std() > 10
    exported = Translator(None, tmp_path / "x.onnx", device="cpu")
    got = exported.batch([image, image[:, ::-1], image[:50, :33]])
    for want, have in zip(expected, got, strict=True):
        assert want.shape == have.shape
        assert np.abs(want.astype(int) - have).max() <= 1


def test_whole_file_needs_nothing_but_onnxruntime(tiny, tmp_path, picture):
    export_onnx(None, tiny, tmp_path / "x.onnx", with_processing=True)
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    translator = Translator(None, tiny, device="cpu")
    for h, w in ((101, 131), (3, 40), (64, 64)):
        image = np.ascontiguousarray(picture[:h, :w])
        (got,) = session.run(None, {"image": np.stack([image] * 2)})
        assert got.dtype == np.uint8 and got.shape == (2, h, w, 3)
        assert np.abs(got.astype(int) - translator(image)).max() <= 1


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_opset_is_the_one_asked_for(tiny, tmp_path, opset):
    report = export_onnx(None, tiny, tmp_path / "x.onnx", opset=opset, with_processing=True)
    model = onnx.load(tmp_path / "x.onnx")
    assert report.opset == opset
    assert [entry.version for entry in model.opset_import if not entry.domain] == [opset]


def test_file_says_what_it_is(tmp_path):
    checkpoint = write_model(tmp_path / "model.pth", "mmgen's RGB")
    export_onnx(None, checkpoint, tmp_path / "x.onnx", to="photo")
    model = onnx.load(tmp_path / "x.onnx")
    (text,) = [p.value for p in model.metadata_props if p.key == "mmgen_ext"]
    content = json.loads(text)
    assert (content["domain"], content["to_rgb"]) == ("photo", True)
    assert content["mean"] == pytest.approx(RGB["mean"])
    assert (content["size_divisor"], content["min_size"]) == (4, 8)
    for value in (*model.graph.input, *model.graph.output):
        dims = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        assert dims == ["batch", 3, "height", "width"]


def test_export_is_silent_and_leaves_one_file(tiny, tmp_path, capfd, recwarn):
    export_onnx(None, tiny, tmp_path / "café 画" / "x y.onnx")
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert not recwarn.list
    assert [p.name for p in (tmp_path / "café 画").iterdir()] == ["x y.onnx"]


def test_what_differs_from_pytorch_is_not_left_behind(tiny, tmp_path, monkeypatch):
    (tmp_path / "x.onnx").write_bytes(b"of yesterday")
    run = export.OnnxNetwork.run
    monkeypatch.setattr(export.OnnxNetwork, "run", lambda *args: run(*args) + 0.1)
    with pytest.raises(ValueError, match=r"not written: .* differ by 12\.\d of 255"):
        export_onnx(None, tiny, tmp_path / "x.onnx")
    monkeypatch.setattr(export.OnnxNetwork, "run", lambda *args: run(*args) * np.float32(np.nan))
    with pytest.raises(ValueError, match="differ by nan"):
        export_onnx(None, tiny, tmp_path / "x.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["x.onnx"]
    assert (tmp_path / "x.onnx").read_bytes() == b"of yesterday"


def test_network_that_onnx_cannot_express_gets_a_sentence(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.Tanh, "forward", lambda self, x: torch.special.i1e(x))
    with pytest.raises(ValueError, match="ResnetGenerator cannot be exported with opset 17"):
        export_onnx(None, tiny, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_onnx_is_answered_with_the_extra(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r'pip install -e "\.\[export\]"'):
        export_onnx(None, tiny, tmp_path / "x.onnx")


def test_bad_input_gets_a_sentence(tool, sentence, tiny, tmp_path):
    sentence(tool("export", "auto", tiny, tmp_path / "x.pth"), "'.pth'", "expected .onnx")
    sentence(tool("export", "auto", tiny, tmp_path / "x.onnx", "--opset", 9), "13 to 20")
    sentence(tool("export", "auto", tiny, tmp_path / "x.onnx", "--to", "c"), "monet, photo")
    sentence(tool("export", "auto", tmp_path / "no.pth", tmp_path / "x.onnx"), "no.pth")
    export_onnx(None, tiny, tmp_path / "x.onnx")
    again = tool("export", "auto", tmp_path / "x.onnx", tmp_path / "y.onnx")
    sentence(again, "exported already")


def test_tool_exports_what_the_translate_tool_runs(tool, trained, data_root, tmp_path):
    out = tmp_path / "x.onnx"
    result = tool("export", "auto", trained / "latest.pth", out, "--to", "a", "--with-processing")
    assert result.code == 0, result.err
    for part in ("makes a", "opset 17", "uint8 (N, H, W, 3) BGR", "2 of 256 x 256", "of 255"):
        assert part in result.out
    for weights in (out, trained / "latest.pth"):
        to = tmp_path / weights.suffix[1:]
        result = tool("translate", "auto", weights, data_root / "testB", "--to", "a", "--out", to)
        assert result.code == 0, result.err
    pictures = sorted((tmp_path / "onnx").rglob("*.png"))
    assert len(pictures) == 2
    for path in pictures:
        from mmgen_ext.datasets.images import read_image

        expected = read_image(tmp_path / "pth" / path.relative_to(tmp_path / "onnx"))
        assert np.abs(expected.astype(int) - read_image(path)).max() <= 1
