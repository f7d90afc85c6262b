"""Averaged generators: the formula, checkpoints, resume, off and on; training is as it was."""

import subprocess
import sys

import pytest
import torch
from test_train import ROOT, losses, same_state

from mmgen_ext.checkpoint import EMA_PREFIX, read_checkpoint, without_averages

EMA = ["ema.decay=0.9"]


@pytest.fixture
def run(tool, tiny_config, tmp_path):
    """Train tiny networks in a folder of the test: run(folder, *options, resume=...)."""

    def train(folder, *options, resume=None):
        args = ["train", tiny_config, "--work-dir", tmp_path / folder]
        args += ["--resume", resume] if resume else []
        result = tool(*args, "--cfg-options", "custom_hooks=[]", *options)
        assert result.code == 0, result.err[-800:]
        return tmp_path / folder, result

    return train


def split(path):
    state = read_checkpoint(path)["state_dict"]
    ema = {k.removeprefix(EMA_PREFIX): v for k, v in state.items() if k.startswith(EMA_PREFIX)}
    return without_averages(state), ema


def test_averages_follow_the_formula_step_by_step(run):
    """w' = d w' + (1 - d) w with d = min(decay, (1 + n) / (10 + n)), over the saved weights."""
    folder, _ = run("a", *EMA, "checkpoint_config.interval=1", "total_iters=5")
    average = None
    for done in range(1, 6):
        raw, ema = split(folder / f"iter_{done}.pth")
        weights = {
            k[len("generators.") :]: v for k, v in raw.items() if k.startswith("generators.")
        }
        assert set(ema) == set(weights)
        if average is not None:
            decay = min(0.9, done / (9 + done))
            average = {k: decay * average[k] + (1 - decay) * weights[k] for k in weights}
            for key in weights:
                torch.testing.assert_close(ema[key], average[key], rtol=1e-5, atol=1e-6)
                assert "weight" not in key or not torch.equal(ema[key], weights[key])
        average = ema


def test_training_with_averages_is_the_same_to_the_bit(run):
    with_ema, _ = run("with", *EMA)
    without, _ = run("without")
    a, b = (read_checkpoint(folder / "iter_6.pth") for folder in (with_ema, without))
    assert same_state(without_averages(a["state_dict"]), dict(b["state_dict"]))
    assert same_state(a["optimizer"], b["optimizer"])
    assert losses(with_ema) == losses(without)
    assert "average_updates" not in b["mmgen_ext"]


def test_resume_continues_the_averages_to_the_bit(run):
    constant = "lr_config.decay_from=1"  # or it would fall by total_iters
    whole, _ = run("whole", *EMA, constant)
    halves, _ = run("halves", *EMA, constant, "total_iters=4")
    run("halves", *EMA, constant, resume="auto")
    a, b = (read_checkpoint(folder / "iter_6.pth") for folder in (whole, halves))
    assert same_state(a["state_dict"], b["state_dict"])
    assert a["mmgen_ext"]["average_updates"] == b["mmgen_ext"]["average_updates"] == 6


def test_off_and_on_again_harms_nothing(run):
    constant = "lr_config.decay_from=1"
    plain, _ = run("plain", constant, "total_iters=6")
    folder, _ = run("switched", *EMA, constant, "total_iters=2")
    assert split(folder / "iter_2.pth")[1]
    run("switched", constant, "total_iters=4", resume="auto")
    assert not split(folder / "iter_4.pth")[1]
    _, result = run("switched", *EMA, constant, "total_iters=6", resume="auto")
    assert "averaged weights begin anew after 4 iterations" in result.err + result.out + "".join(
        log.read_text("utf-8") for log in folder.glob("*.log")
    )
    raw, ema = split(folder / "iter_6.pth")
    assert ema and same_state(raw, split(plain / "iter_6.pth")[0])
    assert read_checkpoint(folder / "iter_6.pth")["mmgen_ext"]["average_updates"] == 2


def test_a_checkpoint_with_averages_can_begin_a_training(run):
    folder, _ = run("first", *EMA)
    run("second", f"load_from={folder / 'latest.pth'}", "total_iters=1")


@pytest.mark.parametrize("decay", ["1.0", "-0.1", "1.5"])
def test_a_wrong_decay_is_refused(tool, tiny_config, tmp_path, sentence, decay):
    options = ["--work-dir", tmp_path, "--cfg-options", f"ema.decay={decay}"]
    sentence(tool("train", tiny_config, *options), f"ema.decay={decay}", "0.999")


def test_mmgen_reads_a_checkpoint_with_averages(run, tmp_path):
    """Its own loader takes what it knows: the weights of the last iteration."""
    folder, _ = run("run", *EMA)
    code = (
        "import sys, mmgen_ext, torch\n"
        "from mmcv.runner import load_checkpoint\n"
        "from mmgen.models import build_model\n"
        "from mmgen_ext.config import load_config\n"
        "cfg = load_config(sys.argv[1])\n"
        "model = build_model(cfg.model)\n"
        "load_checkpoint(model, sys.argv[2], map_location='cpu')\n"
        "state = torch.load(sys.argv[2], weights_only=True)['state_dict']\n"
        "assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())\n"
    )
    args = [str(folder / "tiny.py"), str(folder / "latest.pth")]
    result = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr[-800:]
