"""What changes during a run: weights of losses, learning rates."""

import json

import pytest
import torch

from mmgen_ext.checkpoint import read_checkpoint
from mmgen_ext.training.hooks.loss_schedule import on_ramp, read_ramp

OPTIONS = [
    "--cfg-options",
    "custom_hooks=[]",
    "log_config.interval=1",
    "loss_schedule.identity_weight.end=0.5",
    "loss_schedule.cycle_weight.to=1",
    "loss_schedule.cycle_weight.start=0.5",
    "optimizer.generators.lr=1e-4",
    "optimizer.discriminators.lr=4e-4",
    "lr_config.warmup=linear",
    "lr_config.warmup_iters=4",
    "lr_config.warmup_ratio=0.2",
    "lr_config.decay_from=1.0",
]


def log_of(folder):
    """Losses and learning rates by iteration."""
    (path,) = folder.glob("*.log.json")
    lines = map(json.loads, path.read_text("utf-8").splitlines()[1:])
    return {line["iter"]: {k: v for k, v in line.items() if "l" in k} for line in lines}


@pytest.fixture(scope="module")
def whole(tool, tiny_config, tmp_path_factory):
    """Six iterations with both schedules."""
    work_dir = tmp_path_factory.mktemp("schedules") / "whole"
    torch.set_num_threads(1)
    result = tool("train", tiny_config, "--work-dir", work_dir, *OPTIONS)
    assert result.code == 0, result.err[-600:]
    return work_dir


def test_weights_change_linearly_between_fractions_of_the_run():
    found = [on_ramp(10.0, 1.0, 0.25, 0.75, i / 8) for i in range(9)]
    assert found == [10.0, 10.0, 10.0, 7.75, 5.5, 3.25, 1.0, 1.0, 1.0]
    assert on_ramp(5.0, 0.0, 0.5, 0.5, 0.5) == 0.0  # at once


def test_a_loss_is_computed_and_logged_until_its_weight_is_zero(whole):
    logged = log_of(whole)
    assert [i for i in logged if "id_loss" in logged[i]] == [1, 2, 3]
    text = next(whole.glob("*.log")).read_text("utf-8")
    assert "identity_weight goes from 5 to 0, iterations 0 to 3" in text
    # Nothing but cycle and adversarial losses is left; the cycle weight is 10 in the fourth, 4 in
    # the sixth.
    weighted = {i: logged[i]["loss"] - logged[i]["cycle_loss"] for i in (5, 6)}
    others = {i: logged[i]["loss_gan_g_a"] + logged[i]["loss_gan_g_b"] for i in (5, 6)}
    assert weighted == pytest.approx(others, abs=1e-4)
    assert logged[6]["cycle_loss"] < 0.6 * logged[4]["cycle_loss"]


def test_two_learning_rates_warm_up_each_to_its_own(whole):
    rates = [entry["lr"] for entry in log_of(whole).values()]
    shares = [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    assert [r["generators"] for r in rates] == pytest.approx([1e-4 * s for s in shares], abs=6e-6)
    assert [r["discriminators"] for r in rates] == pytest.approx([4e-4 * s for s in shares])


def test_resumed_run_goes_on_with_the_weights_and_rates_of_its_iteration(
    whole, tool, tiny_config, tmp_path
):
    (tmp_path / "iter_2.pth").write_bytes((whole / "iter_2.pth").read_bytes())
    result = tool("train", tiny_config, "--work-dir", tmp_path, "--resume", "auto", *OPTIONS)
    assert result.code == 0, result.err[-600:]
    ours, expected = (read_checkpoint(f / "iter_6.pth")["state_dict"] for f in (tmp_path, whole))
    assert all(torch.equal(ours[key], value) for key, value in expected.items())
    assert log_of(tmp_path) == {k: v for k, v in log_of(whole).items() if k > 2}


def test_another_schedule_is_another_training(whole, tool, tiny_config, sentence):
    other = [*OPTIONS, "loss_schedule.identity_weight.end=1.0"]
    result = tool("train", tiny_config, "--work-dir", whole, "--resume", "auto", *other)
    sentence(result, "- loss_schedule.identity_weight.end = 0.5")


def test_unknown_weights_and_impossible_ramps_are_answered(tool, tiny_config, tmp_path, sentence):
    options = ["--cfg-options", "loss_schedule.identity.end=0.5"]
    result = tool("train", tiny_config, "--work-dir", tmp_path, *options)
    sentence(result, "no weight 'identity' that can change; expected one of cycle_weight, cycle_s")
    for ramp in (dict(end=2), dict(start=0.5, end=0.2), dict(to=-1), 3, dict(stop=1), dict(to="x")):
        with pytest.raises(ValueError, match=r"loss_schedule.cycle_weight=.*; expected"):
            read_ramp("cycle_weight", ramp)
