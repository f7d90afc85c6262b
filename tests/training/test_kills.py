"""kill -9 at any moment, again and again: the same bits at the end, and nothing but whole files."""

import json
import os
import random
import signal
import sys
import time

import pytest
import torch
from PIL import Image
from processes import Tool

from mmgen_ext.checkpoint import find_checkpoints, iteration, read_checkpoint

KILLS = 50


def same_state(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_state, a, b))
    return a == b


def log_lines(work_dir):
    """Logged losses and learning rates by iteration, of all the lives of a run.

    Raises if two lives logged different numbers for one iteration.
    """
    found = {}
    for log in sorted(work_dir.glob("*.log.json")):
        for line in log.read_text("utf-8").splitlines():
            entry = json.loads(line)
            if entry.get("mode") == "train":
                values = {k: v for k, v in entry.items() if "loss" in k or k == "lr"}
                assert found.setdefault(entry["iter"], values) == values, entry["iter"]
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_fifty_kills_change_no_bit_and_leave_nothing_half_done(tiny_config, tmp_path):
    rng = random.Random(2021)
    # A constant learning rate, so that the end can be where the kills have brought the run.
    options = ["checkpoint_config.interval=1", "log_config.interval=7", "lr_config.decay_from=1.0"]
    options += ["checkpoint_config.max_keep_ckpts=3", "custom_hooks.0.interval=2"]

    def start(name, workers, total_iters, *more):
        args = ["--work-dir", tmp_path / name, *more, "--cfg-options", *options]
        args += [f"data.workers_per_gpu={workers}", f"total_iters={total_iters}"]
        return Tool("train", tiny_config, *args, output=tmp_path / f"{name}.out")

    def newest():
        return max((iteration(path) for path in find_checkpoints(tmp_path / "killed")), default=0)

    work_dir = tmp_path / "killed"
    torn = 0
    for kill in range(KILLS):
        before = newest()
        run = start("killed", kill % 3, 10**6, "--resume", "auto")
        # Some fall anywhere, the start included; most while it trains and writes.
        if kill % 5:
            run.wait_for(lambda before=before: newest() > before)
            time.sleep(rng.uniform(0.0, 0.5))
        else:
            time.sleep(rng.uniform(0.0, 1.7))
        assert run.process.exitcode is None, run.text[-1500:]
        try:
            os.killpg(run.pid, signal.SIGKILL)
        except ProcessLookupError:  # before it led a session of its own
            os.kill(run.pid, signal.SIGKILL)
        run.process.join()
        torn += len(list(work_dir.rglob("*.part")))
    assert newest() > 30, "the kills fell while nothing was done"
    total = newest() + 5
    last = start("killed", 1, total, "--resume", "auto")
    assert last.wait() == 0, last.text[-1500:]
    undisturbed = start("undisturbed", 0, total)
    assert undisturbed.wait() == 0, undisturbed.text[-1500:]

    paths = [tmp_path / name / f"iter_{total}.pth" for name in ("undisturbed", "killed")]
    a, b = map(read_checkpoint, paths)
    for key in ("state_dict", "optimizer"):
        assert same_state(a[key], b[key]), key
    for key in ("pools", "random"):
        assert same_state(a["mmgen_ext"][key], b["mmgen_ext"][key]), key
    expected, found = log_lines(tmp_path / "undisturbed"), log_lines(work_dir)
    assert found == expected and len(found) == total // 7
    for path in work_dir.rglob("*"):
        assert ".part" not in path.name
        if path.suffix == ".pth":
            read_checkpoint(path)
        elif path.suffix == ".png":
            Image.open(path).load()
    names = {path.name for path in work_dir.glob("*.pth")}
    assert names == {*(f"iter_{total - n}.pth" for n in (0, 1, 2)), "latest.pth"}
    assert (work_dir / "latest").read_text() == f"iter_{total}.pth\n"
    print(f"{KILLS} kills in {total} iterations, {torn} of them in the middle of a write")
