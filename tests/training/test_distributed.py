"""N processes are one: real gloo ranks, started as torchrun, Slurm and MPI start them."""

import json
import os
import stat
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from processes import (
    DUMP,
    ROOT,
    SWITCHES,
    Tool,
    config_with_hook,
    hook_text,
    run_ranks,
    start_ranks,
)

from mmgen_ext.checkpoint import find_checkpoints, read_checkpoint
from mmgen_ext.inference.translator import Translator
from mmgen_ext.training.launchers import launch_environment

SGD = """
optimizer = dict(
    _delete_=True,
    generators=dict(type="SGD", lr=5e-6, momentum=0.5),
    discriminators=dict(type="SGD", lr=5e-6, momentum=0.5),
)
"""
LONG = ["--cfg-options", "total_iters=20", "log_config.interval=1", "checkpoint_config.interval=10"]


def with_sgd(path, base):
    """Write a config that is `base` with SGD at a small rate."""
    path.write_text(f"_base_ = {str(base)!r}\n{SGD}", "utf-8")
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_config):
    """The tiny config, with a hook that writes what every rank ends with."""
    return config_with_hook(tmp_path_factory.mktemp("config") / "dump.py", tiny_config, DUMP)


@pytest.fixture(scope="module")
def sgd_config(tmp_path_factory, config):
    # ReLU and |x| have kinks, at which rounding becomes a step: only at small rates do 20 steps of
    # different rounding stay close. Every weight still moves 10 to 100 times the tolerance.
    return with_sgd(tmp_path_factory.mktemp("config") / "sgd.py", config)


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
        # Outputs: the rounding of the parameters, enlarged by the network, on some CPUs more than
        # on others; half a level of a picture on none.
        apart = (pools[0]["images"] - pools[1]["images"]).abs()
        assert apart.mean() < 1e-3 and apart.max() < 1 / 255
    for step, line in losses(tmp_path / "two").items():
        assert line == pytest.approx(losses(tmp_path / "one")[step], rel=1e-3)
        assert line == pytest.approx(losses(tmp_path / "pieces")[step], abs=1.1e-5)
    text = Path(f"{tmp_path / 'two'}.out.0").read_text()
    assert "a step takes 2 pictures of each domain: 2 processes x 1" in text
    assert "generators 5e-06" in text  # not scaled, and printed
    assert not Path(f"{tmp_path / 'two'}.out.1").read_text().strip()  # rank 0 speaks for all


def test_ranks_with_accumulation_equal_the_larger_batch(sgd_config, tmp_path):
    ranks = train_ranks(2, sgd_config, tmp_path / "ranks", *LONG, "accumulate_iters=2")
    one = train_alone(sgd_config, tmp_path / "one", *LONG, "data.samples_per_gpu=4")
    # Rounding: a batch of four is summed in another order than four of one.
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


def tutorial_config(path, data_root):
    """mmgen's own facades config with the data root changed, made small."""
    base = Path(distribution("mmgen").locate_file("mmgen/.mim/configs/cyclegan"))
    text = (base / "cyclegan_lsgan_resnet_in_facades_b1x1_80k.py").read_text("utf-8")
    text = text.replace("'./data/unpaired_facades'", repr(data_root.as_posix()))
    assert data_root.as_posix() in text
    path.write_text(text + hook_text(DUMP), "utf-8")
    return path


def test_a_tutorial_config_of_mmgens_is_synchronised_too(tmp_path, data_root):
    config = tutorial_config(tmp_path / "facades.py", data_root)
    options = ["--cfg-options", "total_iters=6", "checkpoint_config.interval=2"]
    options += ["model.generator.base_channels=4", "model.generator.num_blocks=1"]
    options += ["model.discriminator.base_channels=4", "log_config.interval=1"]
    options += [f"optimizer.{name}.lr=1e-5" for name in ("generators", "discriminators")]
    options += ["data.workers_per_gpu=0", "--no-validate"]
    two = train_ranks(2, config, tmp_path / "two", *options)
    options.insert(1, "data.samples_per_gpu=2")
    one = train_alone(config, tmp_path / "one", *options)
    assert two["state_dict"].keys() == one["state_dict"].keys()
    for step, line in losses(tmp_path / "two").items():
        assert line == pytest.approx(losses(tmp_path / "one")[step], rel=1e-3)
    # mmgen's image buffers are one as well, and stand in the checkpoint.
    assert two["mmgen_ext"]["pools"]["photo"]["count"] == 12


@pytest.mark.parametrize("loss", ["wgan-gp", "hinge"])
def test_other_losses_and_all_switches_are_synchronised_too(config, tmp_path, loss):
    options = [*(SWITCHES if loss == "hinge" else []), "model.gan_loss.type=mmgen_ext.GANLoss"]
    options += [f"model.gan_loss.gan_type={loss}", "precision=bf16"]
    train_ranks(2, config, tmp_path / "run", "--cfg-options", *options)


def test_ranks_that_differ_stop_with_a_sentence(tiny_config, tmp_path):
    """One bit of one parameter, on one rank."""
    body = """
def before_train_iter(self, runner):
    if runner.iter == 2 and runner.rank == 1:
        weight = next(runner.model.module.generators["b"].parameters()).data
        weight.view(torch.int32)[0, 0, 0, 1] ^= 1
"""
    config = config_with_hook(tmp_path / "drift.py", tiny_config, body)
    options = ["--cfg-options", "optimizer.generators.lr=1e-12", "checkpoint_config.interval=2"]
    run = tmp_path / "run"
    ranks = start_ranks(2, config, "--work-dir", run, *options, output=tmp_path / "out")
    assert [each.wait() for each in ranks] == [1, 1]
    for each in ranks:
        assert "the networks of rank 0 and rank 1 are not the same any more: 1 of" in each.text
        assert "generators.b.model.0.conv.weight" in each.text
        assert "Traceback" not in each.text
    assert [path.name for path in find_checkpoints(run)] == ["iter_2.pth"]


def test_a_mistake_of_the_users_ends_all_ranks_with_a_sentence(tiny_config, tmp_path):
    out = tmp_path / "out"
    work_dir = ["--work-dir", tmp_path / "run"]
    ranks = start_ranks(2, tiny_config, *work_dir, "--resume", "none.pth", output=out)
    assert [each.wait() for each in ranks] == [1, 1]
    assert all("error: no checkpoint none.pth" in each.text for each in ranks)


def test_each_launcher_says_who_is_who():
    torchrun = dict(RANK="3", WORLD_SIZE="4", LOCAL_RANK="1", MASTER_ADDR="n1", MASTER_PORT="5")
    assert launch_environment("pytorch", torchrun) == torchrun
    assert launch_environment("none", torchrun) == torchrun  # recognised by itself
    assert launch_environment("none", {}) is None
    slurm = dict(SLURM_PROCID="5", SLURM_NTASKS="8", SLURM_LOCALID="1", SLURM_JOB_ID="123456")
    found = launch_environment("slurm", {**slurm, "SLURM_STEP_NODELIST": "gpu7"})
    assert (found["RANK"], found["WORLD_SIZE"], found["LOCAL_RANK"]) == ("5", "8", "1")
    assert (found["MASTER_ADDR"], found["MASTER_PORT"]) == ("gpu7", "23456")
    mpi = {f"OMPI_COMM_WORLD_{k}": v for k, v in dict(RANK="1", SIZE="2", LOCAL_RANK="1").items()}
    found = launch_environment("mpi", {**mpi, "OMPI_COMM_WORLD_LOCAL_SIZE": "2"})
    assert (found["RANK"], found["MASTER_ADDR"]) == ("1", "127.0.0.1")
    intel = dict(PMI_RANK="0", PMI_SIZE="2", MPI_LOCALRANKID="0", MASTER_ADDR="node1")
    assert launch_environment("mpi", intel)["MASTER_ADDR"] == "node1"
    with pytest.raises(ValueError, match="MASTER_ADDR is not set"):
        launch_environment("mpi", mpi)
    for launcher in ("pytorch", "slurm", "mpi"):
        with pytest.raises(ValueError, match=f"--launcher {launcher}: .* is not set"):
            launch_environment(launcher, {})


def environment(**more):
    """As in a shell of the user's, where `python` is this one."""
    return {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **more}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the launchers are bash scripts")
def test_slurm_script_starts_ranks_that_train_together(config, tmp_path):
    """A stand-in for srun, which no test machine has: it starts tasks with Slurm's variables."""
    srun = tmp_path / "srun"
    srun.write_text(
        "#!/usr/bin/env bash\n"
        'echo "$@" > "$0.args"\n'
        'tasks=1; while [[ "$1" == -* ]]; do\n'
        '    case "$1" in --ntasks=*) tasks="${1#*=}";; -p) shift;; esac; shift\n'
        "done\n"
        "export SLURM_NTASKS=$tasks SLURM_STEP_NODELIST=127.0.0.1 SLURM_JOB_ID=$$\n"
        "for ((i = 0; i < tasks; i++)); do\n"
        '    SLURM_PROCID=$i SLURM_LOCALID=$i "$@" & pids[i]=$!\n'
        "done\n"
        'for pid in "${pids[@]}"; do wait "$pid" || exit 1; done\n'
    )
    srun.chmod(srun.stat().st_mode | stat.S_IEXEC)
    env = environment(GPUS="2", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    script = ROOT / "tools" / "slurm_train.sh"
    work_dir = tmp_path / "run dir"
    command = ["bash", script, "gpu", "monet", config, work_dir, "--cfg-options", "total_iters=3"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-1500:]
    states = [torch.load(work_dir / f"rank{r}.pt") for r in (0, 1)]
    assert largest_difference(*states) == 0
    assert "2 processes x 1" in done.stderr + done.stdout
    assert (tmp_path / "srun.args").read_text().startswith("-p gpu --job-name=monet --gres=gpu:2")


@pytest.mark.parametrize("script", ["dist_train.sh", "slurm_train.sh"])
@pytest.mark.skipif(sys.platform == "win32", reason="the launchers are bash scripts")
def test_scripts_say_how_they_are_used(script):
    done = subprocess.run(["bash", ROOT / "tools" / script], capture_output=True, text=True)
    assert done.returncode == 2 and f"bash tools/{script}" in done.stderr
    # The comment at the top and no other.
    assert done.stderr.startswith("Train ") and done.stderr.endswith("checkpoint.\n")
