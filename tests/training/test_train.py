"""Training for real: a tiny network on tiny photographs, through tools/train.py."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmcv import Config
from PIL import Image

from mmgen_ext.checkpoint import find_checkpoints, read_checkpoint, write_checkpoint
from mmgen_ext.config import load_config
from mmgen_ext.training.speed import choose_precision

ROOT = Path(__file__).resolve().parents[2]


def options(*pairs):
    return ["--cfg-options", *pairs]


def same_state(a, b):
    """Whether two nested states are equal to the bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_state, a, b))
    return a == b


def losses(work_dir):
    """Logged training losses by iteration, of every log in the run directory."""
    found = {}
    for log in sorted(work_dir.glob("*.log.json")):
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if entry.get("mode") == "train":
                found[entry["iter"]] = {k: v for k, v in entry.items() if "loss" in k}
    return found


def test_run_directory_describes_itself(trained, tiny_config, data_root):
    names = {path.name for path in trained.iterdir()}
    assert {"iter_6.pth", "iter_4.pth", "latest.pth", "tiny.py", "training_samples"} <= names
    cfg = load_config(trained / "tiny.py")  # the resolved config can be trained again
    assert cfg.data.train.data_root == str(data_root) and cfg.data.train.domains == ["a", "b"]
    assert cfg.seed == 2021
    (log,) = trained.glob("*.log")
    text = log.read_text("utf-8")
    assert "torch: " in text and "eta: " in text and "Iter [6/6]" in text
    first, *rest = (trained / f"{log.name}.json").read_text().splitlines()
    assert "env_info" in json.loads(first)
    entry = json.loads(rest[0])
    names = [
        "loss_gan_d_a",
        "loss_gan_d_b",
        "loss_gan_g_a",
        "loss_gan_g_b",
        "cycle_loss",
        "id_loss",
        "loss",
    ]
    assert set(names) <= set(entry) and entry["mode"] == "train"
    assert (trained / "training_samples" / "iter_3.png").stat().st_size > 1000


def test_checkpoint_is_complete_and_plain_data(trained):
    content = read_checkpoint(trained / "latest.pth")  # weights_only: nothing but data
    assert set(content) == {"meta", "state_dict", "optimizer", "mmgen_ext"}
    assert content["meta"]["iter"] == 6 and content["meta"]["seed"] == 2021
    assert set(content["optimizer"]) == {"generators", "discriminators"}
    names = {"config", "pools", "random", "losses", "best", "rolled_back", "sealed"}
    assert set(content["mmgen_ext"]) == names
    assert content["mmgen_ext"]["pools"]["a"]["images"].shape == (3, 3, 32, 32)
    json.dumps(content["mmgen_ext"]["config"])


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_equals_an_undisturbed_one_to_the_bit(
    trained, tool, tiny_config, tmp_path, workers
):
    work_dir = tmp_path / "run"
    schedule = ("lr_config.decay_from=0.0", "total_iters=6")
    plain = tool("train", tiny_config, "--work-dir", tmp_path / "plain", *options(*schedule))
    assert plain.code == 0, plain.err
    work_dir.mkdir()
    for name in ("iter_4.pth",):
        (work_dir / name).write_bytes((tmp_path / "plain" / name).read_bytes())
    rest = tool(
        "train", tiny_config, "--work-dir", work_dir, "--resume", "auto",
        *options(*schedule, f"data.workers_per_gpu={workers}"),
    )  # fmt: skip
    assert rest.code == 0, rest.err
    a, b = (read_checkpoint(d / "iter_6.pth") for d in (tmp_path / "plain", work_dir))
    for key in ("state_dict", "optimizer"):
        assert same_state(a[key], b[key]), key
    for key in ("pools", "random"):
        assert same_state(a["mmgen_ext"][key], b["mmgen_ext"][key]), key
    assert losses(work_dir)[6] == losses(tmp_path / "plain")[6]


def test_same_seed_same_weights_and_another_seed_others(trained, tool, tiny_config, tmp_path):
    def weights(name, *extra):
        result = tool("train", tiny_config, "--work-dir", tmp_path / name, *extra)
        assert result.code == 0, result.err[-600:]
        return read_checkpoint(tmp_path / name / "latest.pth")["state_dict"]

    assert same_state(weights("again"), read_checkpoint(trained / "latest.pth")["state_dict"])
    assert not same_state(weights("other", "--seed", "1"), weights("again"))


def test_learning_rate_falls_from_a_fraction_of_the_run(tool, tiny_config, tmp_path):
    def rates(total):
        work_dir = tmp_path / str(total)
        extra = options(f"total_iters={total}", "log_config.interval=1", "custom_hooks=[]")
        assert tool("train", tiny_config, "--work-dir", work_dir, *extra).code == 0
        lines = next(work_dir.glob("*.log.json")).read_text().splitlines()[1:]
        return [json.loads(line)["lr"]["generators"] for line in lines]

    assert rates(8) == pytest.approx([2e-4] * 5 + [1.5e-4, 1e-4, 0.5e-4], abs=1e-5)
    assert rates(4) == pytest.approx([2e-4] * 3 + [1e-4], abs=1e-5)


def test_dry_run_says_what_would_run_and_writes_nothing(tool, tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tool("train", tiny_config, "--dry-run")
    assert result.code == 0
    assert "a: 6 images, each seen 1.0 times" in result.out
    assert "million parameters" in result.out
    assert "\ndevice: cpu, 1 thread\nwork_dir: work_dirs/tiny\n" in result.out.replace("\\", "/")
    assert list(tmp_path.iterdir()) == []


def test_dry_run_says_what_is_in_the_folder_already(tool, tiny_config, trained, sentence):
    result = tool("train", tiny_config, "--dry-run", "--work-dir", trained)
    assert f"work_dir: {trained}, holds a run of 6 iterations: --resume auto goes on" in result.out
    result = tool("train", tiny_config, "--dry-run", "--device", "cuda:99")
    sentence(result, "'cuda:99' is not available here")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_ctrl_c_saves_and_says_how_to_go_on(tiny_config, tmp_path):
    work_dir = tmp_path / "lauf ü"
    command = [sys.executable, ROOT / "tools" / "train.py", tiny_config, "--work-dir", work_dir]
    extra = options(
        "total_iters=100000", "data.workers_per_gpu=2", "checkpoint_config.interval=50000"
    )
    process = subprocess.Popen(
        [*command, *extra], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not any('"train"' in p.read_text() for p in work_dir.glob("*.log.json")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped by SIGINT after" in err and "--resume auto" in err
    done = read_checkpoint(find_checkpoints(work_dir)[-1])["meta"]["iter"]
    assert f"after {done} iterations" in err


def test_full_disk_while_saving_leaves_the_older_checkpoint_whole(
    trained, tool, tiny_config, tmp_path, monkeypatch
):
    import mmgen_ext.training.runner as runner

    def full(path, content):
        if "iter_4" in path.name:
            raise OSError(28, "No space left on device")
        write_checkpoint(path, content)

    monkeypatch.setattr(runner, "write_checkpoint", full)
    work_dir = tmp_path / "run"
    result = tool("train", tiny_config, "--work-dir", work_dir)
    assert result.code == 0
    assert {p.name for p in work_dir.glob("*.pth")} == {"iter_2.pth", "iter_6.pth", "latest.pth"}
    log = next(work_dir.glob("*.log")).read_text()
    assert "iter_4.pth was not saved" in log and "No space left" in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_failed_write_keeps_what_was_there_and_leaves_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "latest.pth"
    write_checkpoint(path, {"state_dict": {"w": torch.zeros(3)}})
    real = open

    def to_full_device(file, mode="r", *args, **kwargs):
        return real("/dev/full" if "w" in mode else file, mode, *args, **kwargs)

    monkeypatch.setattr("builtins.open", to_full_device)
    with pytest.raises(OSError, match=r"latest\.pth|No space"):
        write_checkpoint(path, {"state_dict": {"w": torch.ones(300000)}})
    monkeypatch.undo()
    assert torch.equal(read_checkpoint(path)["state_dict"]["w"], torch.zeros(3))
    assert [p.name for p in tmp_path.iterdir()] == ["latest.pth"]


def test_domains_of_different_channels_train_and_translate(tool, tiny_config, data_root, tmp_path):
    config = tmp_path / "channels.py"
    config.write_text(f"_base_ = {str(tiny_config)!r}\nmodel = dict(channels=dict(a=1, b=3))\n")
    work_dir = tmp_path / "run"
    result = tool("train", config, "--work-dir", work_dir, *options("total_iters=2"))
    assert result.code == 0, result.err[-600:]
    for to, mode in (("a", "L"), ("b", "RGB")):
        out = tmp_path / to
        run = ["translate", "auto", work_dir / "latest.pth", data_root / "testA", "--to", to]
        result = tool(*run, "--out", out, "--compare")
        assert result.code == 0, result.err[-600:]
        assert len(list(out.rglob("*.png"))) == 2
        result = tool(*run, "--out", out, "--overwrite")
        assert {Image.open(path).mode for path in out.rglob("*.png")} == {mode}


def test_only_the_newest_checkpoints_are_kept_and_none_goes_before_a_new_one_is_whole(
    tool, tiny_config, tmp_path, monkeypatch
):
    import mmgen_ext.training.runner as runner

    def full_later(path, content):
        if content["meta"]["iter"] in (6, 8):
            raise OSError(28, "No space left on device")
        write_checkpoint(path, content)

    extra = options("total_iters=9", "checkpoint_config.max_keep_ckpts=2", "custom_hooks=[]")
    assert tool("train", tiny_config, "--work-dir", tmp_path / "a", *extra).code == 0
    assert [p.name for p in find_checkpoints(tmp_path / "a")] == ["iter_8.pth", "iter_9.pth"]
    monkeypatch.setattr(runner, "write_checkpoint", full_later)
    extra[1] = "total_iters=8"
    result = tool("train", tiny_config, "--work-dir", tmp_path / "b", *extra)
    assert result.code == 1 and "No space left" in result.err
    assert [p.name for p in find_checkpoints(tmp_path / "b")] == ["iter_2.pth", "iter_4.pth"]


def test_paths_with_quotes_and_backslashes_survive_in_the_written_config(
    tool, tiny_config, data_root, tmp_path
):
    work_dir = tmp_path / "Monet's \\new ü"
    extra = options("total_iters=1", "custom_hooks=[]")
    result = tool("train", tiny_config, "--work-dir", work_dir, *extra)
    assert result.code == 0, result.err[-600:]
    assert load_config(work_dir / "tiny.py").work_dir == str(work_dir)


def test_bf16_trains_and_keeps_float32_in_contiguous_checkpoints(tool, tiny_config, tmp_path):
    result = tool("train", tiny_config, "--work-dir", tmp_path, *options("precision=bf16"))
    assert result.code == 0, result.err[-600:]
    content = read_checkpoint(tmp_path / "latest.pth")
    moments = [s for o in content["optimizer"].values() for s in o["state"].values()]
    tensors = [*content["state_dict"].values(), *(t for s in moments for t in s.values())]
    assert all(t.dtype == torch.float32 and t.is_contiguous() for t in tensors)
    exact = tool("train", tiny_config, "--work-dir", tmp_path / "fp32")
    assert exact.code == 0
    others = read_checkpoint(tmp_path / "fp32" / "latest.pth")["state_dict"]
    assert not same_state(content["state_dict"], others)


@pytest.mark.parametrize(
    ("options_", "words"),
    [
        (["precision=bf8"], "precision='bf8' is not known; choose one of auto, fp32, bf16, fp16"),
        (["precision=fp16", "--device", "cpu"], "precision='fp16' needs a CUDA GPU"),
    ],
)
def test_precision_that_cannot_be_is_answered(
    tool, tiny_config, tmp_path, sentence, options_, words
):
    pair, *others = options_
    sentence(tool("train", tiny_config, "--work-dir", tmp_path, *others, *options(pair)), words)


def test_precision_of_mmgens_models_is_answered():
    cfg = Config(dict(model=dict(type="CycleGAN"), precision="bf16"))
    with pytest.raises(ValueError, match="mmgen's compute in fp32"):
        choose_precision(cfg, torch.device("cpu"))
