"""Evaluation while training: records, the best weights, resume, ranks, interruptions, faults."""

import json
import os
import shutil
import signal

import pytest
import torch
from processes import Tool, config_with_hook, run_ranks
from test_distributed import with_sgd
from test_train import losses, same_state

from mmgen_ext.checkpoint import EMA_PREFIX, read_checkpoint, without_averages
from mmgen_ext.datasets.images import list_images
from mmgen_ext.training.records import read_records

CONFIG = """
_base_ = {base!r}
data_root = {root!r}
evaluation = dict(interval=2)
ema = dict(decay=0.9)
data = dict(test=dict(pipeline=[dict(type="mmgen_ext.Resize", size=48)]))
lr_config = dict(decay_from=1)
custom_hooks = []
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_config, crops):
    path = tmp_path_factory.mktemp("evaluation") / "evaluated.py"
    path.write_text(CONFIG.format(base=str(tiny_config), root=str(crops)), "utf-8")
    return path


@pytest.fixture
def run(tool, config, tmp_path):
    def train(folder, *options, resume=None, code=0, config=config):
        args = ["train", config, "--work-dir", tmp_path / folder]
        args += ["--resume", resume] if resume else []
        result = tool(*args, *(["--cfg-options", *options] if options else []))
        assert result.code == code, result.err[-800:]
        return tmp_path / folder

    return train


@pytest.fixture(scope="module")
def whole(tool, config, tmp_path_factory):
    """The run directory of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    result = tool("train", config, "--work-dir", folder)
    assert result.code == 0, result.err[-800:]
    return folder


def log_of(folder):
    return "".join(path.read_text("utf-8") for path in sorted(folder.glob("*.log")))


def test_both_directions_are_measured_recorded_and_shown(whole):
    records = read_records(whole)["evaluation"]
    assert [record["iter"] for record in records] == [2, 4, 6]
    for record in records:
        assert record["weights"] == "ema" and record["features"] == "lite0"
        assert set(record["directions"]) == {"a", "b"}
        for found in record["directions"].values():
            assert {"kid", "kid_std", "fid", "ssim", "cycle_error", "untranslated"} <= set(found)
            assert found["protocol"]["iteration"] == record["iter"]
            assert found["protocol"]["reference"] == "test"
    text = log_of(whole)
    assert "b to a" in text and "untranslated" in text
    # For TensorBoard and other loggers of mmcv's.
    lines = [json.loads(line) for p in whole.glob("*.log.json") for line in p.open()]
    assert any("kid_a" in line for line in lines)


def test_the_lowest_kid_is_kept(whole):
    folder = whole
    records = read_records(folder)["evaluation"]
    means = {r["iter"]: sum(d["kid"] for d in r["directions"].values()) / 2 for r in records}
    best = min(means, key=means.get)
    (path,) = folder.glob("best_*.pth")
    assert path.name == f"best_kid_iter_{best}.pth"
    state, at_best = (read_checkpoint(p)["state_dict"] for p in (path, folder / f"iter_{best}.pth"))
    assert same_state(dict(state), dict(at_best)) and any(k.startswith(EMA_PREFIX) for k in state)
    content = read_checkpoint(folder / "iter_6.pth")["mmgen_ext"]["best"]
    assert content["best_kid"] == pytest.approx(means[best])
    assert (
        content["best_checkpoint"] == path.name and "lite0, 48 x 48, test" in content["best_scale"]
    )


def test_the_best_survives_a_resume(run, whole):
    halves = run("halves", "total_iters=4")
    before = {p.name: p.read_bytes() for p in halves.glob("best_*.pth")}
    run("halves", resume="auto")
    names = [sorted(p.name for p in folder.glob("best_*.pth")) for folder in (whole, halves)]
    assert names[0] == names[1]
    bests = [read_checkpoint(f / "iter_6.pth")["mmgen_ext"]["best"] for f in (whole, halves)]
    assert bests[0] == bests[1]
    # What is not better than before is not written again.
    if names[1] == list(before):
        assert (halves / names[1][0]).read_bytes() == before[names[1][0]]
    kids = [
        [d["kid"] for r in read_records(f)["evaluation"] for d in r["directions"].values()]
        for f in (whole, halves)
    ]
    assert kids[0] == kids[1]


def test_training_is_the_same_to_the_bit(whole, tool, config, tmp_path):
    evaluated = whole
    result = tool("train", config, "--work-dir", tmp_path / "plain", "--no-validate")
    assert result.code == 0
    a, b = (read_checkpoint(f / "iter_6.pth") for f in (evaluated, tmp_path / "plain"))
    assert same_state(a["state_dict"], b["state_dict"]) and same_state(
        a["optimizer"], b["optimizer"]
    )
    assert losses(evaluated) == losses(tmp_path / "plain")
    assert "evaluation" not in read_records(tmp_path / "plain")


def test_training_with_dropout_is_the_same_to_the_bit(run, tool, config, tmp_path):
    """Whatever draws from torch's stream of random numbers would show."""
    options = ["model.generator.use_dropout=True", "total_iters=4"]
    evaluated, plain = run("evaluated", *options), run("plain", *options, "evaluation=None")
    a, b = (read_checkpoint(folder / "iter_4.pth") for folder in (evaluated, plain))
    assert same_state(a["state_dict"], b["state_dict"])


def test_a_score_of_another_folder_or_scale_is_not_the_best_here(run, whole):
    other = run("other", resume=whole / "iter_4.pth")
    assert [path.name for path in other.glob("best_*.pth")] == ["best_kid_iter_6.pth"]
    halves = run("halves", "total_iters=4")
    run("halves", "evaluation.reference=train", resume="auto")
    assert [path.name for path in halves.glob("best_*.pth")] == ["best_kid_iter_6.pth"]


def test_a_best_that_cannot_be_written_leaves_the_one_before(run, monkeypatch):
    """Scores 3, 1 (the disk is full), 2: the last is better than what is kept."""
    from mmgen_ext.training import runner
    from mmgen_ext.training.hooks import evaluation

    scores = iter([3.0, 1.0, 2.0])
    real, write = evaluation.evaluate, runner.write_checkpoint

    def scored(*args, **kwargs):
        return real(*args, **kwargs) | dict(kid=next(scores))

    def refuse(path, content):
        if path.name == "best_kid_iter_4.pth":
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(evaluation, "evaluate", scored)
    monkeypatch.setattr(runner, "write_checkpoint", refuse)
    folder = run("run", "evaluation.to=b")
    assert [path.name for path in folder.glob("best_*.pth")] == ["best_kid_iter_6.pth"]
    assert read_checkpoint(folder / "iter_4.pth")["mmgen_ext"]["best"]["best_kid"] == 3.0


def test_waiting_for_metrics_is_not_called_waiting_for_data(whole):
    for record in read_records(whole)["train"]:
        assert record["data_time"] < 1, record


def test_two_ranks_measure_what_one_does(run, config, tmp_path):
    # Adam's first steps are as large as its rate, however small a gradient: rounding would count.
    slow = with_sgd(tmp_path / "slow.py", config)
    alone = run("alone", "data.samples_per_gpu=2", config=slow)
    args = [slow, "--work-dir", tmp_path / "two", "--device", "cpu"]
    run_ranks(2, *args, output=tmp_path / "out")
    found = [read_records(folder)["evaluation"] for folder in (alone, tmp_path / "two")]
    assert [r["iter"] for r in found[1]] == [2, 4, 6]
    for one, two in zip(*found, strict=True):
        for domain, figures in one["directions"].items():
            for name in ("kid", "fid", "ssim", "cycle_error"):
                other = two["directions"][domain][name]
                assert other == pytest.approx(figures[name], rel=2e-2, abs=2e-3), name
            assert two["directions"][domain]["protocol"]["num_source"] in (9, 10)


SLOW = '''
def before_run(self, runner):
    """Translations take a second each, so that a signal comes in between."""
    import time
    from mmgen_ext.inference.translator import Translator
    batch = Translator.batch
    def slow(self, images, to):
        open(f"{runner.work_dir}/evaluating", "a").write("x")
        time.sleep(0.5)
        return batch(self, images, to)
    Translator.batch = slow
'''


def test_ctrl_c_in_an_evaluation_saves_and_resumes_to_the_bit(run, whole, config, tmp_path):
    slow = config_with_hook(tmp_path / "slow.py", config, SLOW)
    folder = tmp_path / "stopped"
    process = Tool("train", slow, "--work-dir", folder, output=tmp_path / "out")
    process.wait_for((folder / "evaluating").exists)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert "the evaluation was left out" in process.text and "Traceback" not in process.text
    assert (folder / "iter_2.pth").exists()
    run("stopped", resume="auto")
    a, b = (read_checkpoint(f / "iter_6.pth") for f in (whole, folder))
    assert same_state(a["state_dict"], b["state_dict"]) and same_state(
        a["optimizer"], b["optimizer"]
    )


def test_kill_9_in_an_evaluation_loses_nothing_but_the_iterations_since_the_last_checkpoint(
    run, whole, config, tmp_path
):
    slow = config_with_hook(tmp_path / "slow.py", config, SLOW)
    folder = tmp_path / "killed"
    options = ["--cfg-options", "evaluation.interval=3", "checkpoint_config.interval=1"]
    process = Tool("train", slow, "--work-dir", folder, *options, output=tmp_path / "out")
    process.wait_for((folder / "evaluating").exists)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(60) == -9
    assert (folder / "iter_2.pth").exists() and not (folder / "iter_3.pth").exists()
    run("killed", resume="auto")
    a, b = (read_checkpoint(f / "iter_6.pth") for f in (whole, folder))
    assert same_state(a["state_dict"], b["state_dict"])


@pytest.mark.parametrize("left", [3, 0])
def test_too_few_test_pictures_are_said_once_and_training_goes_on(run, crops, tmp_path, left):
    root = shutil.copytree(crops, tmp_path / "few")
    for path in list_images(root / "testB")[left:]:
        path.unlink()
    folder = run("run", f"data_root={root}")
    text = log_of(folder)
    assert text.count("not evaluated: translations to a") == 1
    assert f"'b' has {left} pictures" in text and "at least 4" in text
    assert "evaluation" not in read_records(folder) and (folder / "iter_6.pth").exists()


def test_one_direction_alone(run):
    folder = run("run", "evaluation.to=b", "total_iters=2")
    (record,) = read_records(folder)["evaluation"]
    assert list(record["directions"]) == ["b"]


def test_a_test_picture_that_breaks_is_named_and_training_goes_on(run, crops, tmp_path):
    root = shutil.copytree(crops, tmp_path / "set")
    (root / "testA" / "5 é.png").write_text("no picture")
    folder = run("run", f"data_root={root}", "total_iters=2")
    text = log_of(folder)
    assert "not evaluated: cannot read" in text and "5 é.png" in text
    assert (folder / "iter_2.pth").exists()


def test_ranks_do_not_wait_for_one_that_has_a_broken_picture(config, crops, tmp_path):
    root = shutil.copytree(crops, tmp_path / "set")
    (root / "testB" / "1 é.png").write_text("no picture")
    args = [config, "--work-dir", tmp_path / "two", "--device", "cpu"]
    texts = run_ranks(2, *args, "--cfg-options", f"data_root={root}", output=tmp_path / "out")
    assert "not evaluated: cannot read" in texts[0]


def test_a_wrong_extractor_file_is_said_once_and_training_goes_on(run, tmp_path):
    wrong = tmp_path / "wrong.pth"
    torch.save({}, wrong)
    options = ["evaluation.features=inception", f"evaluation.features_weights={wrong}"]
    folder = run("run", *options)
    assert log_of(folder).count("not done: evaluation") == 1
    assert "not the Inception network of FID" in log_of(folder)


def test_wrong_arguments_are_a_sentence(tool, config, tmp_path, sentence):
    for option, words in (
        ("evaluation.save_best=psnr", "'psnr'"),
        ("evaluation.interval=0", "evaluation.interval=0"),
        ("evaluation.colour=blue", "colour"),
        ("evaluation.type=EvaluationHok", "did you mean 'EvaluationHook'?"),
    ):
        result = tool("train", config, "--work-dir", tmp_path / "x", "--cfg-options", option)
        sentence(result, words)


def test_raw_weights_are_measured_where_none_are_averaged(run):
    folder = run("run", "ema=None", "total_iters=2")
    (record,) = read_records(folder)["evaluation"]
    assert record["weights"] == "raw"
    assert len(without_averages(read_checkpoint(folder / "iter_2.pth")["state_dict"]))
