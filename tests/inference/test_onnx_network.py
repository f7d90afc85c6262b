"""Running .onnx files: ours, other people's, and those that are none."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from mmgen_ext.export import export_onnx
from mmgen_ext.inference.onnx_network import load_onnx
from mmgen_ext.inference.translator import Translator


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """Files of one direction: the network alone, and with its processing."""
    folder = tmp_path_factory.mktemp("exported")
    for name, with_processing in (("network", False), ("whole", True)):
        path = folder / f"{name}.onnx"
        export_onnx(None, trained / "latest.pth", path, "a", with_processing)
    return folder


def write_foreign(path, shape=("n", 3, "h", "w"), kind=TensorProto.FLOAT, outputs=1):
    """A file of another program: it inverts its first channel and passes on the rest."""
    made = [helper.make_tensor_value_info(f"y{i}", kind, shape) for i in range(outputs)]
    sign = helper.make_tensor("sign", kind, (1, 3, 1, 1), [-1, 1, 1])
    nodes = [helper.make_node("Mul", ["x", "sign"], [value.name]) for value in made]
    x = helper.make_tensor_value_info("x", kind, shape)
    graph = helper.make_graph(nodes, "foreign", [x], made, [sign])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.mark.parametrize("name", ["network", "whole"])
def test_forward_equals_the_checkpoints_network(trained, exported, photos, name):
    translator = Translator(None, trained / "latest.pth", device="cpu")
    loaded = load_onnx(exported / f"{name}.onnx", "cpu")
    assert (loaded.domain, loaded.source, loaded.network.in_channels) == ("a", "b", 3)
    image = np.stack([photos["coffee"][:64, :96], photos["rocket"][:64, :96]])
    x = torch.from_numpy(image.transpose(0, 3, 1, 2) / 127.5 - 1).float()
    with torch.inference_mode():
        expected, got = translator.network("a")(x), loaded.network(x)
    assert got.shape == expected.shape and got.dtype == torch.float32
    limit = 1e-4 if name == "network" else 0.51 / 127.5
    assert (got - expected).abs().max() < limit


def test_limits_are_those_of_the_generator(exported):
    network, whole = (load_onnx(exported / f"{n}.onnx").network for n in ("network", "whole"))
    assert (network.size_divisor, network.min_size) == (4, 8)
    assert (whole.size_divisor, whole.min_size) == (1, 1)


def test_translator_takes_the_file_with_any_config(exported, tiny_config, photos):
    image = photos["coffee"][:30, :41, ::-1]
    results = [
        Translator(config, exported / "network.onnx")(image, to="a")
        for config in (None, "auto", tiny_config)
    ]
    assert all(np.array_equal(results[0], result) for result in results)
    with pytest.raises(ValueError, match="got the domain 'b'; this model makes a alone"):
        Translator(None, exported / "network.onnx")(image, to="b")


def test_other_precision_than_the_files_is_refused(exported):
    with pytest.raises(ValueError, match=r"'bf16' is not for .*fp32"):
        Translator(None, exported / "network.onnx", precision="bf16")


def test_threads_are_pytorchs_unless_they_are_named(exported):
    torch.set_num_threads(1)
    for threads, expected in ((None, 1), (2, 2)):
        network = load_onnx(exported / "network.onnx", "cpu", threads).network
        assert network.session.get_session_options().intra_op_num_threads == expected


def test_cuda_is_used_or_refused_but_not_replaced_in_silence(exported, monkeypatch):
    monkeypatch.setattr(
        "mmgen_ext.inference.onnx_network.pick_device", lambda device: torch.device("cuda:1")
    )
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ValueError, match=r"cannot use device 'cuda:1' here.*onnxruntime-gpu"):
        load_onnx(exported / "network.onnx", "cuda:1")
    assert load_onnx(exported / "network.onnx", "auto").network.device == "cpu"


def test_file_of_another_program_is_taken_as_rgb(tmp_path, photos):
    path = write_foreign(tmp_path / "my.model v2.onnx")
    translator = Translator(None, path, device="cpu")
    assert translator.domains == ["my_model v2"]
    image = np.ascontiguousarray(photos["coffee"][:33, :41, ::-1])
    expected = image.copy()
    expected[..., 2] = 255 - expected[..., 2]  # Its first channel is red.
    assert np.array_equal(translator(image), expected)


def test_file_that_fixes_the_batch_runs_picture_by_picture(tmp_path, photos):
    network = load_onnx(write_foreign(tmp_path / "x.onnx", (1, 3, "h", "w"))).network
    x = torch.rand(3, 3, 8, 12)
    assert torch.equal(network(x), x * torch.tensor([-1.0, 1, 1]).view(1, 3, 1, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(kind=TensorProto.FLOAT16), "it takes tensor(float16)"),
        (dict(shape=("n", "c", 3)), "['n', 'c', 3]; expected one input"),
        (dict(shape=("n", "h", "w", 3)), "no translator of pictures"),
        (dict(shape=(1, 3, 256, 256)), "one size or number only"),
        (dict(shape=(4, 3, "h", "w")), "one size or number only"),
    ],
    ids=["half", "three axes", "channels last", "fixed size", "fixed batch"],
)
def test_file_that_is_no_translator_gets_a_sentence(tmp_path, change, words):
    path = write_foreign(tmp_path / "x.onnx", **change)
    with pytest.raises(ValueError) as error:
        load_onnx(path)
    assert words in str(error.value) and str(path) in str(error.value)


def test_graph_that_fails_on_a_picture_gets_a_sentence(tmp_path):
    network = load_onnx(write_foreign(tmp_path / "x.onnx")).network
    with pytest.raises(ValueError, match=r"fails on an input of shape \(1, 5, 8, 8\)"):
        network(torch.zeros(1, 5, 8, 8))


def test_any_damage_is_noticed(exported, tmp_path):
    whole = (exported / "network.onnx").read_bytes()
    path = tmp_path / "x.onnx"
    generator = np.random.default_rng(0)
    for position in generator.integers(0, len(whole), 40):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(ValueError, match=r"x\.onnx"):
            load_onnx(path)
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"x\.onnx"):
            load_onnx(path)


def test_file_that_another_tool_wrote_anew_is_not_called_damaged(exported, tmp_path, photos):
    model = onnx.load(exported / "network.onnx")
    model.doc_string = "quantized"
    onnx.save(model, tmp_path / "x.onnx")
    translator = Translator(None, tmp_path / "x.onnx", device="cpu")
    assert translator.domains == ["a"]
    assert translator(photos["coffee"][:30, :30]).shape == (30, 30, 3)


@pytest.mark.parametrize("text", ["{", "[]", '{"domain": "a"}'])
def test_damaged_metadata_get_a_sentence(exported, tmp_path, text):
    model = onnx.load(exported / "network.onnx")
    for entry in model.metadata_props:
        entry.value = text
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(ValueError, match=r"metadata in .*x\.onnx are damaged.*export it again"):
        load_onnx(tmp_path / "x.onnx")


def test_missing_file_and_missing_onnxruntime_get_sentences(exported, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no ONNX file .*no\.onnx"):
        load_onnx(tmp_path / "no.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r'needs onnxruntime; .*pip install -e "\.\[export\]"'):
        load_onnx(exported / "network.onnx")
