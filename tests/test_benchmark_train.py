"""The measurement of training steps: the same work for all, and figures that can be read."""

import json

import pytest
import torch
from mmcv import Config
from mmgen.models import build_model

from mmgen_ext import benchmark_train
from mmgen_ext.benchmark_mmgen import mmgens_model
from mmgen_ext.config import load_config


def test_both_libraries_train_networks_of_the_same_weights(tiny_config):
    cfg = load_config(tiny_config)
    ours = build_model(cfg.model)
    theirs = build_model(mmgens_model(cfg), dict(buffer_size=50))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    losses = {loss.loss_name(): loss.loss_weight for loss in theirs.gen_auxiliary_losses}
    assert losses == dict(cycle_loss=10.0, id_loss=5.0)


def test_networks_that_mmgen_lacks_are_answered(tiny_config):
    cfg = load_config(tiny_config, {"model.generator.upsample": "resize"})
    with pytest.raises(ValueError, match="mmgen has no generator with upsample='resize'"):
        mmgens_model(cfg)


def test_step_prints_a_table_and_json(tool, tiny_config):
    result = tool("benchmark", "train", tiny_config, "--sizes", 32, "--rounds", 2)
    assert result.code == 0, result.err[-600:]
    found = json.loads(result.out.splitlines()[-1])
    for kind in ("fp32", "bf16"):
        assert found[f"{kind}_s"] > 0 and found[f"floor_{kind}_s"] > 0
        assert sum(found[f"{kind}_parts"].values()) == pytest.approx(1)
    assert found["mmgen_s"] > 0 and found["mmgen_mb"] > 100
    assert "x mmgen" in result.out


def test_flops_are_those_of_the_plain_step(tiny_config):
    cfg = load_config(tiny_config)
    device = torch.device("cpu")
    data = benchmark_train.random_batch(cfg, 32, 1, device)
    counts = [
        benchmark_train.count_flops(benchmark_train.Contender(kind, cfg, device), data)
        for kind in ("fp32", "bf16", "mmgen")
    ]
    assert counts[0] == counts[1]
    # mmgen computes gradients of real images that nothing needs.
    assert counts[0] <= counts[2] < 1.1 * counts[0]


def test_medians_count_and_all_take_turns():
    order = []

    def run(name):
        order.append(name)
        return len(order)

    runs = {name: lambda name=name: run(name) for name in "ab"}
    assert benchmark_train.interleaved(runs, 3) == dict(a=7, b=8)
    assert order == list("ab" * 5)


def test_config_of_mmgens_is_answered(tool, tmp_path):
    path = tmp_path / "theirs.py"
    cfg = Config(dict(model=dict(type="CycleGAN"), data={}, optimizer={}))
    path.write_text(cfg.pretty_text, "utf-8")
    result = tool("benchmark", "train", path)
    assert "choose one of mmgen_ext's" in result.err


def test_a_measured_process_that_fails_says_why(tiny_config):
    turns = benchmark_train.Turns("fp32", str(tiny_config), 2, 1, "cpu", 1, {})
    with pytest.raises(ValueError, match=r"a measured process failed: RuntimeError: "):
        turns.ask("step")
    turns.close()
