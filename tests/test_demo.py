"""The demo: from nothing to a picture and a number, and an honest end if the number is low."""

import importlib.util
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmgen_ext.training.signals import Interrupted

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def demo():
    """demo/run.py as a module."""
    spec = importlib.util.spec_from_file_location("demo_run", ROOT / "demo" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_training_too_short_leaves_a_picture_and_ends_with_a_sentence(tmp_path):
    result = subprocess.run(
        [sys.executable, ROOT / "demo" / "run.py", "--iters", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "error: the demo failed: translating gained " in result.stderr
    assert "expected at least 1.5" in result.stderr
    assert "Your own pictures" not in result.stdout
    lines = [line for line in result.stdout.splitlines() if line.startswith("to ")]
    assert [line.split()[1] for line in lines] == ["drawing", "photo"]
    with Image.open(tmp_path / "work_dirs" / "demo" / "before_after.png") as picture:
        assert picture.width > 6 * 256 and picture.height > 4 * 256


def test_psnr_is_that_of_its_definition(demo):
    black = np.zeros((4, 4, 3), np.uint8)
    assert demo.psnr(black, black + 51) == pytest.approx(20 * np.log10(5))
    assert demo.psnr(black + 51, black) == demo.psnr(black, black + 51)


def test_the_worse_direction_decides(demo, capsys):
    truth = {"x": np.full((4, 4, 3), 100, np.uint8)}
    close, far = ({"x": truth["x"] + np.uint8(n)} for n in (1, 50))
    gain = demo.report({"drawing": (far, close, truth), "photo": (close, far, truth)})
    assert gain == pytest.approx(-20 * np.log10(50))
    assert "to photo" in capsys.readouterr().out


def test_a_gain_of_at_least_one_and_a_half_decibels_is_a_success(demo, capsys):
    assert demo.conclude(1.49) == 1
    assert "the demo failed" in capsys.readouterr().err
    assert demo.conclude(1.5) == 0
    assert "python tools/train.py" in capsys.readouterr().out


def test_being_stopped_is_a_sentence_too(demo, capsys, monkeypatch):
    def stopped(*args, **kwargs):
        raise Interrupted(signal.SIGTERM, 7)

    monkeypatch.setattr(demo, "train", stopped)
    monkeypatch.setattr(demo, "make_demo_dataset", lambda root, seed: None)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    assert demo.main() == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "stopped by SIGTERM after 7 iterations, saved\n"


def test_what_it_says_to_type_next_works(demo, capsys, tool, tmp_path, monkeypatch, data_root):
    demo.conclude(9.9)
    lines = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line)[2:] for line in lines if "python tools/" in line]
    own, train, translate = commands
    folders = dict(FOLDER_A="trainA", FOLDER_B="trainB", PICTURES="testA")

    def typed(words):
        return [str(data_root / folders[w]) if w in folders else w for w in words]

    monkeypatch.chdir(tmp_path)
    # As it is typed, but for where the config is written, the length of the training and the width
    # of the networks.
    result = tool("prepare_data", *typed(own), "--config", train[0])
    assert result.code == 0, result.err
    small = ["total_iters=1", "model.generator.base_channels=4", "data.workers_per_gpu=0"]
    result = tool("train", *train, "--cfg-options", *small)
    assert result.code == 0, result.err
    result = tool("translate", *typed(translate))
    assert result.code == 0, result.err
    assert "2 translated to trainB" in result.out
