"""N processes are one: real gloo ranks, started as torchrun, Slurm and MPI start them."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from processes import DUMP, ROOT, Tool, config_with_hook, run_ranks, start_ranks

from mmgen_ext.checkpoint import find_checkpoints, read_checkpoint
from mmgen_ext.inference.translator import Translator
from mmgen_ext.training.launchers import launch_environment

SGD = """
optimizer = dict(
    _delete_=True,
    generators=dict(type="SGD", lr={lr}, momentum=0.5),
    discriminators=dict(type="SGD", lr={lr}, momentum=0.5),
)
"""
LONG = ["--cfg-options", "total_iters=20", "log_config.interval=1", "checkpoint_config.interval=10"]


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_config):
    """The tiny config, with a hook that writes what every rank ends with."""
    return config_with_hook(tmp_path_factory.mktemp("config") / "dump.py", tiny_config, DUMP)


@pytest.fixture(scope="module")
def sgd_config(tmp_path_factory, config):
    # ReLU and |x| have kinks, at which rounding becomes a step: only at small rates do 20 steps of
    # different rounding stay close. Every weight still moves 20 to 200 times the tolerance.
    path = tmp_path_factory.mktemp("config") / "sgd.py"
    path.write_text(f"_base_ = {str(config)!r}\n{SGD.format(lr=1e-5)}")
    return path


def losses(work_dir):
    (log,) = work_dir.glob("*.log.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    return {line["iter"]: {k: v for k, v in line.items() if "loss" in k} for line in lines}


def train_alone(config, work_dir, *options):
    run = Tool("train", config, "--work-dir", work_dir, *options, output=f"{work_dir}.out")
    assert run.wait() == 0, run.text[-1500:]
    return read_checkpoint(work_dir / "latest.pth")


def train_ranks(world, config, work_dir, *options):
    """Train; return the checkpoint, and check that all ranks ended with the same bits."""
    run_ranks(world, config, "--work-dir", work_dir, *options, output=f"{work_dir}.out")
    states = [torch.load(work_dir / f"rank{r}.pt") for r in range(world)]
    content = read_checkpoint(work_dir / "latest.pth")
    for state in states:
        assert state.keys() == content["state_dict"].keys()
        assert all(torch.equal(state[k], content["state_dict"][k]) for k in state)
    return content


def largest_difference(a, b):
    return max(float((a[k] - b[k]).abs().max()) for k in a)


def test_two_ranks_equal_one_process_with_the_joint_batch(sgd_config, tmp_path):
    two = train_ranks(2, sgd_config, tmp_path / "two", *LONG)
    one = train_alone(sgd_config, tmp_path / "one", *LONG, "data.samples_per_gpu=2")
    pieces = train_alone(sgd_config, tmp_path / "pieces", *LONG, "accumulate_iters=2")
    assert largest_difference(two["state_dict"], one["state_dict"]) < 1e-5
    start = train_alone(sgd_config, tmp_path / "start", "--cfg-options", "total_iters=1")
    assert largest_difference(two["state_dict"], start["state_dict"]) > 1e-4  # it did move
    # Two batches one after the other round as two ranks do: equal to the bit, pools and all.
    assert largest_difference(two["state_dict"], pieces["state_dict"]) == 0
    for domain in "ab":
        pools = [run["mmgen_ext"]["pools"][domain] for run in (two, one, pieces)]
        assert [pool["count"] for pool in pools] == [40, 40, 40]
        assert torch.equal(pools[0]["images"], pools[2]["images"])
        assert torch.allclose(pools[0]["images"], pools[1]["images"], atol=1e-4)
    for step, line in losses(tmp_path / "two").items():
        assert line == pytest.approx(losses(tmp_path / "one")[step], rel=1e-3)
        assert line == pytest.approx(losses(tmp_path / "pieces")[step], rel=1e-6)
    text = Path(f"{tmp_path / 'two'}.out.0").read_text()
    assert "a step takes 2 pictures of each domain: 2 processes x 1" in text
    assert "generators 1e-05" in text  # not scaled, and printed
    assert not Path(f"{tmp_path / 'two'}.out.1").read_text().strip()  # rank 0 speaks for all


def test_ranks_with_accumulation_equal_the_larger_batch(sgd_config, tmp_path):
    ranks = train_ranks(2, sgd_config, tmp_path / "ranks", *LONG, "accumulate_iters=2")
    one = train_alone(sgd_config, tmp_path / "one", *LONG, "data.samples_per_gpu=4")
    assert largest_difference(ranks["state_dict"], one["state_dict"]) < 1e-5
    assert ranks["mmgen_ext"]["pools"]["a"]["count"] == 80


def test_with_adam_losses_and_outputs_are_those_of_one_process(config, tmp_path, data_root):
    rates = [f"optimizer.{name}.lr=1e-5" for name in ("generators", "discriminators")]
    train_ranks(2, config, tmp_path / "two", *LONG, *rates)
    train_alone(config, tmp_path / "one", *LONG, *rates, "data.samples_per_gpu=2")
    for step, line in losses(tmp_path / "two").items():
        assert line == pytest.approx(losses(tmp_path / "one")[step], rel=1e-3)
    image = cv2.imread(str(data_root / "testA" / "testA 1.png"))
    outputs = [
        Translator(None, tmp_path / name / "latest.pth", "cpu")(image, "b").astype(np.float64)
        for name in ("two", "one")
    ]
    assert np.abs(outputs[0] - outputs[1]).mean() / 127.5 < 1e-3


@pytest.mark.parametrize("world", [2, 3])
def test_resumed_ranks_equal_undisturbed_ones_to_the_bit(config, tmp_path, world):
    same = ["model.generator.use_dropout=True", "lr_config.decay_from=1.0"]
    whole, half = (["--cfg-options", f"total_iters={n}", *same] for n in (8, 4))
    plain = train_ranks(world, config, tmp_path / "plain", *whole)
    train_ranks(world, config, tmp_path / "run", *half)
    resumed = train_ranks(world, config, tmp_path / "run", "--resume", "auto", *whole)
    assert largest_difference(plain["state_dict"], resumed["state_dict"]) == 0
    assert len(resumed["mmgen_ext"]["random"]) == world
