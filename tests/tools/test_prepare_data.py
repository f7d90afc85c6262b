"""tools/prepare_data.py: names, the demo's set, what is printed, wrong arguments."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmgen_ext.datasets import demo
from mmgen_ext.datasets.known import KNOWN

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "prepare_data.py"


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    """The demo's data set with three pieces a photograph, made by the tool."""
    monkeypatch.setattr(demo, "NUM_PIECES", 3)
    return tmp_path / "demo set"


def test_the_demo_set_is_made_and_its_config_named(small_set, tool):
    result = tool("prepare_data", "demo", "--out", small_set)
    assert result.code == 0, result.err
    assert "trainA 12, trainB 12, testA 12, testB 12" in result.out
    assert re.search(r"train\.py configs/\S+_demo\.py --cfg-options 'data_root=.*set'", result.out)


def test_the_demo_set_replaces_a_set_only_if_asked_and_nothing_else(small_set, tool, sentence):
    mine = small_set / "trainA" / "mine.png"
    mine.parent.mkdir(parents=True)
    mine.touch()
    sentence(tool("prepare_data", "demo", "--out", small_set), "is there already; --overwrite")
    assert [mine] == [p for p in small_set.rglob("*") if p.is_file()]
    assert tool("prepare_data", "demo", "--out", small_set, "--overwrite").code == 0
    assert not mine.exists() and len(list(small_set.glob("trainA/*"))) == 12
    (small_set / "diary").touch()
    run = ("prepare_data", "demo", "--out", small_set, "--overwrite")
    sentence(tool(*run), "holds more than a data set: diary")


def test_a_folder_of_ones_own_is_taken_under_a_known_or_another_name(small_set, tool, tmp_path):
    tool("prepare_data", "demo", "--out", small_set)
    result = tool("prepare_data", "maps", "--from", small_set, "--out", tmp_path / "maps")
    assert result.code == 0, result.err
    assert f"data_root: {(tmp_path / 'maps').as_posix()}" in result.out
    assert f"220k_maps.py --cfg-options data_root={(tmp_path / 'maps').as_posix()}" in result.out
    result = tool("prepare_data", "mine", "--from", small_set, "--out", tmp_path / "mine")
    assert "--work-dir work_dirs/mine" in result.out and "domains=a,b" in result.out
    again = tool("prepare_data", "mine", "--from", small_set, "--out", tmp_path / "mine")
    assert again.code == 0 and "mine is prepared already" in again.out


def test_what_is_prepared_already_is_said_before_anything_is_imported(tmp_path):
    for folder in ("trainA", "trainB"):
        (tmp_path / "data" / "maps" / folder / "x").mkdir(parents=True)
        (tmp_path / "data" / "maps" / folder / "x" / "0.jpg").touch()
    command = [sys.executable, "-X", "importtime", TOOL, "maps"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "argparse" in result.stderr and "torch" not in result.stderr
    assert result.returncode == 0 and "maps is prepared already" in result.stdout
    assert "tools/train.py configs/cyclegan/cyclegan_lsgan_resnet_in_b1x1_220k_maps.py\n" in (
        result.stdout
    )


def test_every_known_set_has_one_config_with_its_data_root():
    for name in KNOWN:
        (config,) = (ROOT / "configs" / "cyclegan").glob(
            f"cyclegan_lsgan_resnet_in_b1x1_*_{name}.py"
        )
        assert f'data_root = "data/{name}"' in config.read_text("utf-8")
        assert name in TOOL.read_text("utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C to one process there")
def test_ctrl_c_while_the_libraries_are_imported_is_one_word(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-v", TOOL, "mine"]
    with open(log, "w") as file, subprocess.Popen(command, stderr=file) as process:
        while "import 'torch.nn'" not in log.read_text(errors="replace"):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    said = log.read_text(errors="replace")
    # Alone in its line, or behind what -v said when it was stopped before the end of its line.
    word = re.search("^(import .*|# .*)?interrupted$", said, re.MULTILINE)
    assert process.returncode == -signal.SIGINT and word
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["monet2foto"], "did you mean monet2photo"),
        (["mine"], "no data set 'mine' is known"),
        (["mine", "--from", "nothing.zip"], "no file or folder nothing.zip"),
        (["own", "none", "nothing", "out"], "no folder or video"),
    ],
)
def test_mistakes_are_one_sentence(tool, sentence, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence(tool("prepare_data", *arguments), words)
    assert not list(tmp_path.iterdir())


def test_paths_with_blanks_that_the_shell_cut_are_told_so(tool, sentence, tmp_path):
    (tmp_path / "my pictures").mkdir()
    result = tool("prepare_data", "own", tmp_path / "my", "pictures", "photos", "data/mine")
    words = "unrecognized arguments: data/mine; a path with blanks needs quotation marks"
    assert result.code == 2 and words in result.err
    result = tool("prepare_data", "own", "a", "b", "c", "--shiny")
    assert "unrecognized arguments: --shiny" in result.err and "blanks" not in result.err
    for words in (
        ["own", tmp_path / "mypictures", tmp_path, "out"],
        ["check", tmp_path / "pictures"],
    ):
        sentence(tool("prepare_data", *words), f'did you mean "{tmp_path / "my pictures"}"?')


@pytest.mark.parametrize("test", ["0", "-1", "1.5", "x", "nan"])
def test_a_part_for_testing_is_below_one_or_whole(tool, test):
    result = tool("prepare_data", "own", "a", "b", "c", "--test", test)
    assert result.code == 2 and "expected a part as 0.1, or a number as 50" in result.err
