"""Faults, each done for real: killed ranks and workers, a full disk, lost files, NaN, no memory."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from processes import DUMP, ROOT, Tool, config_with_hook, hook_text, run_ranks, start_ranks

from mmgen_ext.checkpoint import find_checkpoints, iteration, read_checkpoint

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def weights(work_dir):
    return read_checkpoint(work_dir / "latest.pth")["state_dict"]


def newest(work_dir):
    return max((iteration(path) for path in find_checkpoints(work_dir)), default=0)


def train(config, work_dir, *options, **env):
    run = Tool("train", config, "--work-dir", work_dir, *options, output=f"{work_dir}.out", **env)
    return run.wait(), run.text


@pytest.fixture(scope="module")
def plain(tiny_config, tmp_path_factory):
    """Final weights of an undisturbed run of 12 iterations."""
    work_dir = tmp_path_factory.mktemp("plain") / "run"
    code, text = train(tiny_config, work_dir, "--cfg-options", "total_iters=12")
    assert code == 0, text[-1500:]
    return weights(work_dir)


@posix
@pytest.mark.slow
def test_torchrun_starts_again_after_a_killed_rank_and_ends_with_the_same_weights(
    tiny_config, tmp_path
):
    config = config_with_hook(tmp_path / "dump.py", tiny_config, DUMP)
    options = ["--cfg-options", "total_iters=60", "checkpoint_config.interval=5"]
    undisturbed = tmp_path / "undisturbed"
    run_ranks(2, config, "--work-dir", undisturbed, *options, output=tmp_path / "out")
    work_dir = tmp_path / "run dir"
    command = ["bash", ROOT / "tools" / "dist_train.sh", config, "2", "--work-dir", work_dir]
    env = {**os.environ, "PYTHON": sys.executable, "MAX_RESTARTS": "1"}
    with open(tmp_path / "torchrun.out", "wb") as out:
        torchrun = subprocess.Popen(
            [*map(str, command), *options], env=env, stdout=out, stderr=out, start_new_session=True
        )
        try:
            end = time.monotonic() + 120
            while newest(work_dir) < 10:
                text = (tmp_path / "torchrun.out").read_text()
                assert torchrun.poll() is None and time.monotonic() < end, text[-2000:]
                time.sleep(0.02)
            listed = subprocess.run(
                ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(torchrun.pid)],
                capture_output=True,
                text=True,
            ).stdout.splitlines()
            ranks = [int(line.split()[0]) for line in listed if "train.py" in line]
            assert len(ranks) == 2, listed
            os.kill(ranks[1], signal.SIGKILL)
            code = torchrun.wait(180)
        finally:
            if torchrun.poll() is None:
                os.killpg(torchrun.pid, signal.SIGKILL)
    text = (tmp_path / "torchrun.out").read_text()
    assert code == 0, text[-2000:]
    assert re.search(r"resumed from .*iter_\d+\.pth after \d+ iterations?", text)
    assert equal(weights(work_dir), weights(undisturbed))
    for number in (0, 1):
        assert equal(torch.load(work_dir / f"rank{number}.pt"), weights(undisturbed))


@posix
@pytest.mark.slow
def test_ctrl_c_on_many_processes_saves_and_exits_with_130(tiny_config, tmp_path):
    work_dir = tmp_path / "run"
    command = ["bash", ROOT / "tools" / "dist_train.sh", tiny_config, "2", "--work-dir", work_dir]
    command += ["--cfg-options", "total_iters=100000", "checkpoint_config.interval=50000"]
    env = {**os.environ, "PYTHON": sys.executable}
    with open(tmp_path / "out", "wb") as out:
        run = subprocess.Popen(
            [*map(str, command)], env=env, stdout=out, stderr=out, start_new_session=True
        )
        end = time.monotonic() + 120
        while "Iter [4/" not in (text := (tmp_path / "out").read_text()):
            assert run.poll() is None and time.monotonic() < end, text[-2000:]
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to torchrun and all processes
        assert run.wait(60) == 130
    text = (tmp_path / "out").read_text()
    assert "Traceback" not in text and newest(work_dir) >= 4
    assert text.count(f"stopped by SIGINT after {newest(work_dir)} iterations, saved") == 2


def children(pid):
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    )
    return [int(line) for line in listed.stdout.split()]


@posix
def test_killed_loader_worker_is_named_and_nothing_is_lost(tiny_config, tmp_path, plain):
    work_dir = tmp_path / "run"
    args = ["--work-dir", work_dir, "--cfg-options", "data.workers_per_gpu=2"]
    many = [*args, "total_iters=12", "checkpoint_config.interval=1000"]
    slow = config_with_hook(
        tmp_path / "slow.py",
        tiny_config,
        "def after_train_iter(self, runner):\n    time.sleep(0.3)",
    )
    slow.write_text(slow.read_text().replace("import os", "import os, time"))
    run = Tool("train", slow, *many, output=tmp_path / "out")
    run.wait_for(lambda: "Iter [2/" in run.text)
    worker = children(run.pid)[0]
    os.kill(worker, signal.SIGKILL)
    assert run.wait() == 1
    assert "Traceback" not in run.text
    assert re.search(rf"error: loader worker .*{worker}.* was killed, .* after \d+ iter", run.text)
    assert "--resume auto" in run.text and "workers_per_gpu" in run.text
    assert 2 <= newest(work_dir) < 12  # saved, though no checkpoint was due
    code, text = train(tiny_config, work_dir, "--resume", "auto", "--cfg-options", "total_iters=12")
    assert code == 0, text[-1500:]
    assert equal(weights(work_dir), plain)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB of its own."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs takes root on Linux")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_is_a_warning_and_the_run_saves_again_later(
    small_disk, tiny_config, tmp_path, plain
):
    work_dir = small_disk / "run"
    options = ["total_iters=12", "checkpoint_config.interval=1", "log_config.interval=1"]
    options += ["checkpoint_config.max_keep_ckpts=2", "custom_hooks.0.interval=1"]
    body = """
def before_train_iter(self, runner):
    filler = os.path.join(os.path.dirname(runner.work_dir), "filler")
    if runner.iter == 4:  # Somebody fills the disk to the last byte ...
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 512)
            except OSError:
                pass
    if runner.iter == 9:  # ... and tidies up.
        os.remove(filler)
"""
    config = config_with_hook(tmp_path / "fill.py", tiny_config, body)
    config.write_text(
        config.read_text().replace("custom_hooks = [", 'custom_hooks = [dict(type="GalleryHook"), ')
    )
    run = Tool(
        "train", config, "--work-dir", work_dir, "--cfg-options", *options, output=tmp_path / "out"
    )
    assert run.wait() == 0, run.text[-2500:]
    failed = re.findall(r"checkpoint (iter_\d+\.pth) was not saved .*training goes on", run.text)
    assert failed == [f"iter_{n}.pth" for n in (5, 6, 7, 8, 9)]
    assert "Traceback" not in run.text and "Logging error" not in run.text
    assert [p.name for p in find_checkpoints(work_dir)] == ["iter_11.pth", "iter_12.pth"]
    assert equal(weights(work_dir), plain)
    assert not list(work_dir.rglob("*.part"))


def test_disk_that_stays_full_fails_at_the_end_and_older_checkpoints_are_whole(
    small_disk, tiny_config, tmp_path
):
    body = """
def before_train_iter(self, runner):
    if runner.iter == 4:
        with open(os.path.join(os.path.dirname(runner.work_dir), "filler"), "wb") as file:
            try:
                while True:
                    file.write(b"x" * 512)
            except OSError:
                pass
"""
    config = config_with_hook(tmp_path / "fill.py", tiny_config, body)
    work_dir = small_disk / "run"
    run = Tool("train", config, "--work-dir", work_dir, output=tmp_path / "out")
    assert run.wait() == 1
    assert "error: checkpoint iter_6.pth was not saved" in run.text
    assert "Traceback" not in run.text
    for path in find_checkpoints(work_dir):
        read_checkpoint(path)
    assert newest(work_dir) == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_picture_deleted_during_training_is_replaced_by_the_next(
    tiny_config, tmp_path, data_root, workers
):
    root = shutil.copytree(data_root, tmp_path / "set")
    gone = next((root / "trainB").rglob("*0.png"))
    body = f"""
def before_train_iter(self, runner):
    if runner.iter == 2:
        os.remove({str(gone)!r})
"""
    config = config_with_hook(tmp_path / "delete.py", tiny_config, body)
    options = [f"data_root={root}", "total_iters=20", f"data.workers_per_gpu={workers}"]
    code, text = train(config, tmp_path / "run", "--cfg-options", *options)
    assert code == 0, text[-1500:]
    assert f"{gone} is not there any more: the next picture takes its place" in text
    shutil.rmtree(root / "trainB")
    (root / "trainB").mkdir()


def test_all_pictures_deleted_stops_with_a_sentence_and_saves(tiny_config, tmp_path, data_root):
    root = shutil.copytree(data_root, tmp_path / "set")
    body = f"""
def before_train_iter(self, runner):
    if runner.iter == 2:
        import shutil
        shutil.rmtree({str(root / "trainB")!r})
"""
    config = config_with_hook(tmp_path / "delete.py", tiny_config, body)
    options = ["--cfg-options", f"data_root={root}", "checkpoint_config.interval=100"]
    code, text = train(config, tmp_path / "run", *options)
    assert code == 1 and "error: no picture of domain 'b' is there any more" in text
    assert "Traceback" not in text
    assert newest(tmp_path / "run") == 3


POISON = """
def before_train_iter(self, runner):
    # A machine that computes wrongly, {when}.
    if runner.iter + 1 {condition} and runner.max_iters:
        self.count = getattr(self, "count", 0) + 1
        if self.count <= {times}:
            weight = next(runner.model.module.generators["b"].parameters()).data
            self.kept = weight.clone() if torch.isfinite(weight).all() else self.kept
            weight[0] = float("nan")
        elif torch.isnan(next(runner.model.module.generators["b"].parameters())).any():
            next(runner.model.module.generators["b"].parameters()).data.copy_(self.kept)
"""


def poison(path, base, condition, times):
    body = POISON.format(when="for a while", condition=condition, times=times)
    return config_with_hook(path, base, body)


def test_a_step_that_is_not_finite_is_not_taken(tiny_config, tmp_path):
    """Iteration 5 is spoilt: weights, moments and pools are those of iteration 4."""
    body = """
def before_train_iter(self, runner):
    if runner.iter == 4:
        for batch in runner.data_batch:
            batch["img_a"][0, 0, 3, 3] = float("inf")
"""
    config = config_with_hook(tmp_path / "inf.py", tiny_config, body)
    options = ["--cfg-options", "checkpoint_config.interval=1", "total_iters=6"]
    code, text = train(config, tmp_path / "run", *options)
    assert code == 0, text[-1500:]
    assert "iteration 5: not finite (" in text and "The step is not taken" in text
    assert "trainA" in text and "trainB" in text  # the pictures are named
    states = [read_checkpoint(tmp_path / "run" / f"iter_{n}.pth") for n in (4, 5, 6)]
    assert equal(states[0]["state_dict"], states[1]["state_dict"])
    assert not equal(states[1]["state_dict"], states[2]["state_dict"])
    counts = [state["mmgen_ext"]["pools"]["a"]["count"] for state in states]
    assert counts == [4, 4, 5]
    steps = [state["optimizer"]["generators"]["state"][0]["step"] for state in states]
    assert [float(step) for step in steps] == [4, 4, 5]
    assert torch.isfinite(torch.cat([v.flatten() for v in states[2]["state_dict"].values()])).all()


def test_many_bad_steps_go_back_to_the_last_checkpoint_with_half_the_rate(tiny_config, tmp_path):
    config = poison(tmp_path / "poison.py", tiny_config, "== 5", 1)
    options = ["total_iters=9", "max_bad_steps=3", "log_config.interval=1"]
    code, text = train(config, tmp_path / "run", "--cfg-options", *options)
    assert code == 0, text[-1500:]
    assert text.count("The step is not taken") == 3
    assert re.search(r"going on from .*iter_4\.pth with half the learning rate", text)
    content = read_checkpoint(tmp_path / "run" / "latest.pth")
    assert content["optimizer"]["generators"]["param_groups"][0]["initial_lr"] == 1e-4
    assert content["mmgen_ext"]["rolled_back"] is True
    assert all(torch.isfinite(value).all() for value in content["state_dict"].values())


def test_bad_steps_without_end_stop_with_a_sentence_and_the_batch(tiny_config, tmp_path):
    config = poison(tmp_path / "poison.py", tiny_config, ">= 5", 1000)
    options = ["total_iters=50", "max_bad_steps=3", "checkpoint_config.interval=4"]
    code, text = train(config, tmp_path / "run", "--cfg-options", *options)
    assert code == 1 and "Traceback" not in text
    (error,) = re.findall(r"^error: .*", text, re.MULTILINE)
    for words in ("3 steps in a row", "iteration 7", "loss_gan_g_b=nan", "trainA", "trainB"):
        assert words in error
    assert "half the learning rate has not helped" in error and "grad_clip" in error
    saved = torch.load(tmp_path / "run" / "bad_batches" / "iter_7_rank_0.pth", weights_only=True)
    assert saved["iteration"] == 7 and saved["batches"][0]["img_a"].shape == (1, 3, 32, 32)
    assert newest(tmp_path / "run") == 4


def test_bad_steps_before_any_checkpoint_stop_with_a_sentence(tiny_config, tmp_path):
    rates = [f"optimizer.{name}.lr=1e30" for name in ("generators", "discriminators")]
    options = ["max_bad_steps=2", "checkpoint_config.interval=100", *rates]
    code, text = train(tiny_config, tmp_path / "run", "--cfg-options", *options)
    assert code == 1 and "Traceback" not in text
    assert "There is no checkpoint yet to go back to" in text


def test_bad_steps_of_mmgens_models_are_not_taken_either(tmp_path, data_root):
    from test_distributed import tutorial_config

    config = tutorial_config(tmp_path / "facades.py", data_root)
    body = """
def before_train_iter(self, runner):
    if runner.iter == 2:
        runner.data_batch[0]["img_mask"][0, 0, 3, 3] = float("nan")
"""
    config.write_text(config.read_text() + hook_text(body))
    options = ["total_iters=4", "checkpoint_config.interval=1", "data.workers_per_gpu=0"]
    options += ["model.generator.base_channels=4", "model.generator.num_blocks=1"]
    options += ["model.discriminator.base_channels=4"]
    code, text = train(config, tmp_path / "run", "--no-validate", "--cfg-options", *options)
    assert code == 0, text[-1500:]
    assert "iteration 3: not finite" in text
    states = [read_checkpoint(tmp_path / "run" / f"iter_{n}.pth") for n in (2, 3, 4)]
    assert equal(states[0]["state_dict"], states[1]["state_dict"])
    assert all(torch.isfinite(value).all() for value in states[2]["state_dict"].values())


def test_a_bad_step_of_one_rank_is_not_taken_on_any(tiny_config, tmp_path):
    body = """
def before_train_iter(self, runner):
    if runner.iter == 3 and runner.rank == 1:
        runner.data_batch[0]["img_b"][:] = float("nan")
"""
    text = hook_text(body + DUMP)
    config = tmp_path / "nan.py"
    config.write_text(f"_base_ = {str(tiny_config)!r}\n{text}")
    options = ["--cfg-options", "checkpoint_config.interval=1"]
    texts = run_ranks(2, config, "--work-dir", tmp_path / "run", *options, output=tmp_path / "out")
    assert "iteration 4: not finite" in texts[0] and texts[0].count("trainA") >= 2
    states = [read_checkpoint(tmp_path / "run" / f"iter_{n}.pth")["state_dict"] for n in (3, 4)]
    assert equal(*states)
    assert equal(torch.load(tmp_path / "run" / "rank1.pt"), weights(tmp_path / "run"))


def test_gradients_are_clipped_where_grad_clip_is_set(tiny_config, tmp_path):
    """With SGD at rate 1 the weights move by just the clipped gradient."""
    text = """
optimizer = dict(
    _delete_=True, generators=dict(type="SGD", lr=1.0), discriminators=dict(type="SGD", lr=1.0)
)
lr_config = None
"""
    config = tmp_path / "clip.py"
    config.write_text(f"_base_ = {str(tiny_config)!r}\n{text}")
    for key in ("grad_clip", "optimizer_config.grad_clip"):  # OpenMMLab's place for it
        work_dir = tmp_path / key
        body = """
def before_run(self, runner):
    torch.save(runner.model.module.state_dict(), f"{runner.work_dir}/start.pt")
"""
        config.write_text(f"_base_ = {str(tiny_config)!r}\n{text}{hook_text(body)}")
        options = [f"{key}.max_norm=0.01", "total_iters=1"]
        code, out = train(config, work_dir, "--cfg-options", *options)
        assert code == 0, out[-1500:]
        before, after = torch.load(work_dir / "start.pt"), weights(work_dir)
        for part in ("generators", "discriminators"):
            moved = [after[k] - before[k] for k in after if k.startswith(part)]
            norm = torch.cat([m.flatten().double() for m in moved]).norm()
            assert float(norm) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("value", ["grad_clip=5", "grad_clip.max_norm=-1", "grad_clip.norm=3"])
def test_wrong_grad_clip(tool, tiny_config, sentence, tmp_path, value):
    result = tool("train", tiny_config, "--work-dir", tmp_path / "w", "--cfg-options", value)
    sentence(result, "expected dict(max_norm=NUMBER above 0)")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory so")
def test_out_of_memory_says_what_to_lower(tiny_config, tmp_path):
    body = """
def before_run(self, runner):
    import resource
    used = int(open("/proc/self/statm").read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, -1))
"""
    config = config_with_hook(tmp_path / "memory.py", tiny_config, body)
    options = ["data.samples_per_gpu=400", "model.generator.base_channels=64"]
    code, text = train(config, tmp_path / "run", "--cfg-options", *options)
    assert code == 1 and "Traceback" not in text, text[-1500:]
    (error,) = re.findall(r"^error: .*", text, re.MULTILINE)
    for words in ("out of memory on cpu after 0 iterations", "data.samples_per_gpu",
                  "accumulate_iters", "base_channels", "--resume auto"):  # fmt: skip
        assert words in error


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_all_processes_of_a_run_saves_what_is_done(tiny_config, tmp_path, number, plain):
    """As a terminal or Slurm sends it: to the loader workers, too."""
    work_dir = tmp_path / "run"
    slow = config_with_hook(
        tmp_path / "slow.py",
        tiny_config,
        "def after_train_iter(self, runner):\n    time.sleep(0.1)",
    )
    slow.write_text(slow.read_text().replace("import os", "import os, time"))
    options = ["total_iters=12", "data.workers_per_gpu=2", "checkpoint_config.interval=100"]
    run = Tool(
        "train", slow, "--work-dir", work_dir, "--cfg-options", *options, output=tmp_path / "out"
    )
    run.wait_for(lambda: "Iter [4/" in run.text)
    os.killpg(run.pid, number)
    assert run.wait(30) == 128 + number, run.text[-1500:]
    assert f"stopped by {number.name} after" in run.text and "Traceback" not in run.text
    assert 4 <= newest(work_dir) < 12
    code, text = train(tiny_config, work_dir, "--resume", "auto", "--cfg-options", "total_iters=12")
    assert code == 0, text[-1500:]
    assert equal(weights(work_dir), plain)


@posix
def test_a_second_signal_leaves_at_once(tiny_config, tmp_path):
    body = "def after_train_iter(self, runner):\n    time.sleep(60)"
    slow = config_with_hook(tmp_path / "slow.py", tiny_config, body)
    slow.write_text(slow.read_text().replace("import os", "import os, time"))
    run = Tool("train", slow, "--work-dir", tmp_path / "run", output=tmp_path / "out")
    run.wait_for(lambda: "Hooks will be executed" in run.text)
    time.sleep(1)
    os.kill(run.pid, signal.SIGTERM)
    run.wait_for(lambda: "once more to leave at once" in run.text)
    os.kill(run.pid, signal.SIGTERM)
    assert run.wait(10) == 128 + signal.SIGTERM


@posix
def test_a_signal_to_one_rank_stops_all_after_the_same_iteration(tiny_config, tmp_path):
    options = ["--cfg-options", "total_iters=100000", "checkpoint_config.interval=50000"]
    options += ["data.workers_per_gpu=1"]
    work_dir = tmp_path / "run"
    ranks = start_ranks(2, tiny_config, "--work-dir", work_dir, *options, output=tmp_path / "out")
    ranks[0].wait_for(lambda: "Iter [10/" in ranks[0].text)
    os.kill(ranks[1].pid, signal.SIGTERM)
    assert [each.wait(60) for each in ranks] == [143, 143], [each.text[-800:] for each in ranks]
    done = newest(work_dir)
    assert done >= 10
    assert all(f"stopped by SIGTERM after {done} iterations" in each.text for each in ranks)
    image = np.asarray(Image.open(next((work_dir / "training_samples").glob("*.png"))))
    assert image.std() > 10
