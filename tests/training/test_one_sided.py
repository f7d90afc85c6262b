"""CUT through every tool: trained, resumed, by many processes, translated with, measured."""

import json

import pytest
import torch
from processes import Tool, run_ranks

from mmgen_ext.checkpoint import read_checkpoint
from mmgen_ext.inference.translator import Translator

CUT = """
_base_ = {base!r}
model = dict(
    type="mmgen_ext.CUT", default_domain="b", num_patches=16, width=8, pool_size=0,
    generator=dict(num_blocks=2, use_dropout=True),
)
data_root = {data_root!r}
optimizer = dict(projections=dict(type="Adam", lr=2e-4))
lr_config = dict(decay_from=0.0)
ema = dict(decay=0.9)
evaluation = dict(interval=6)
precision = "bf16"
"""
# Without dropout, whose masks are each process' own, and at small rates: see test_distributed.py.
SGD = """
_base_ = {base!r}
model = dict(generator=dict(use_dropout=False))
sgd = dict(type="SGD", lr=1e-3, momentum=0.5)
optimizer = dict(_delete_=True, generators=sgd, discriminators=sgd, projections=sgd)
precision = "fp32"
ema = evaluation = None
custom_hooks = []
total_iters = 4
log_config = dict(interval=1)
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_config, crops):
    path = tmp_path_factory.mktemp("config") / "cut.py"
    path.write_text(CUT.format(base=str(tiny_config), data_root=str(crops)), "utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, tool, config):
    work_dir = tmp_path_factory.mktemp("run") / "cut"
    torch.set_num_threads(1)
    result = tool("train", config, "--work-dir", work_dir)
    assert result.code == 0, result.err[-900:]
    return work_dir


def test_run_watches_and_measures_the_one_direction(run):
    (log,) = run.glob("*.log.json")
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()[1:]]
    train = next(line for line in lines if line["mode"] == "train")
    assert {"loss_gan_g_b", "loss_gan_d_b", "nce_loss", "nce_id_loss"} <= set(train)
    (evaluation,) = (line for line in lines if line["mode"] == "evaluation")
    assert list(evaluation["directions"]) == ["b"]
    assert "cycle_error" not in evaluation["directions"]["b"]
    assert (run / "training_samples" / "iter_6.png").is_file()
    text = log.with_suffix("").read_text("utf-8")
    assert "WARNING" not in text.replace("WARNING - health", "")


def test_resumed_run_equals_an_undisturbed_one_to_the_bit(run, tool, config, tmp_path):
    (tmp_path / "iter_2.pth").write_bytes((run / "iter_2.pth").read_bytes())
    result = tool("train", config, "--work-dir", tmp_path, "--resume", "auto")
    assert result.code == 0, result.err[-900:]
    ours, expected = (read_checkpoint(folder / "iter_6.pth") for folder in (tmp_path, run))
    names = {key.partition(".")[0] for key in expected["state_dict"]}
    assert names == {"generators", "discriminators", "projections", "generators_ema"}
    assert all(torch.equal(ours["state_dict"][k], v) for k, v in expected["state_dict"].items())
    for name, optimizer in expected["optimizer"].items():
        for number, state in optimizer["state"].items():
            for key, value in state.items():
                assert torch.equal(ours["optimizer"][name]["state"][number][key], value)


def test_two_ranks_equal_one_process_with_the_joint_batch(config, tmp_path):
    sgd = tmp_path / "sgd.py"
    sgd.write_text(SGD.format(base=str(config)), "utf-8")
    run_ranks(2, sgd, "--work-dir", tmp_path / "two", output=tmp_path / "two.out")
    for name, option in (("one", "data.samples_per_gpu=2"), ("pieces", "accumulate_iters=2")):
        options = ["--work-dir", tmp_path / name, "--cfg-options", option]
        alone = Tool("train", sgd, *options, output=tmp_path / f"{name}.out")
        assert alone.wait() == 0, alone.text[-1500:]
    two, one, pieces, start = (
        read_checkpoint(tmp_path / name)["state_dict"]
        for name in ("two/iter_4.pth", "one/iter_4.pth", "pieces/iter_4.pth", "two/iter_2.pth")
    )
    for part in ("generators", "discriminators", "projections"):
        keys = [key for key in two if key.startswith(part)]
        moved = max(float((two[k] - start[k]).abs().max()) for k in keys)
        # Two batches one after the other round as two ranks do.
        assert all(torch.equal(two[k], pieces[k]) for k in keys), part
        assert max(float((two[k] - one[k]).abs().max()) for k in keys) < moved / 50, part


def test_its_checkpoint_is_translated_measured_exported_and_published(run, tool, crops, tmp_path):
    latest = run / "latest.pth"
    pictures = sorted((crops / "testA").iterdir())
    result = tool("translate", "auto", latest, crops / "testA", "--out", tmp_path / "made")
    assert result.code == 0, result.err
    assert len(list((tmp_path / "made").iterdir())) == len(pictures)
    result = tool("evaluate", "auto", latest, "--out", tmp_path / "metrics.json")
    assert result.code == 0, result.err
    assert list(json.loads((tmp_path / "metrics.json").read_text("utf-8"))["directions"]) == ["b"]
    result = tool("export", "auto", latest, tmp_path / "b.onnx")
    assert result.code == 0 and "makes b" in result.out, result.err
    result = tool("publish", latest, tmp_path / "b.pth")
    assert result.code == 0, result.err
    (published,) = tmp_path.glob("b-*.pth")
    assert Translator(None, published).domains == ["b"]
    assert "A CUT generator" in published.with_suffix(".md").read_text("utf-8")


@pytest.mark.parametrize("name", ["translate", "evaluate", "export", "publish"])
def test_the_direction_that_it_has_not_is_refused(run, tool, sentence, crops, tmp_path, name):
    inputs = dict(
        translate=["auto", run / "latest.pth", crops / "testB", "--out", tmp_path / "out"],
        evaluate=["auto", run / "latest.pth"],
        export=["auto", run / "latest.pth", tmp_path / "a.onnx"],
        publish=[run / "latest.pth", tmp_path / "a.pth"],
    )
    sentence(
        tool(name, *inputs[name], "--to", "a"),
        "got the domain 'a'; this model makes b alone. Take --to b, or a checkpoint with a "
        "generator of 'a': CUT is trained with model.default_domain=a",
    )
