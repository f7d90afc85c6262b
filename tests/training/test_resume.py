"""Resume is the same command again: what continues, what stops, and what is said."""

import re

import pytest
import torch
from processes import SWITCHES

from mmgen_ext.checkpoint import find_checkpoints, read_checkpoint
from mmgen_ext.training.run_dir import config_difference


def options(*pairs):
    return ["--cfg-options", "custom_hooks=[]", *pairs]


@pytest.fixture
def run(tool, tiny_config, tmp_path):
    """Train tiny_config in one folder: run('--resume', 'auto', ...)."""

    def call(*args, work_dir=tmp_path / "run"):
        return tool("train", tiny_config, "--work-dir", work_dir, *args)

    call.work_dir = tmp_path / "run"
    return call


def log_of(run):
    return "".join(path.read_text("utf-8") for path in sorted(run.work_dir.glob("*.log")))


def test_resuming_a_finished_run_says_so_and_succeeds(run):
    assert run(*options()).code == 0
    before = {path: path.stat().st_mtime_ns for path in run.work_dir.glob("*.pth")}
    again = run("--resume", "auto", *options())
    assert again.code == 0
    assert "is finished, 6 of 6 iterations" in again.err + log_of(run)
    assert "--cfg-options total_iters=12" in again.err + log_of(run)
    assert {path: path.stat().st_mtime_ns for path in run.work_dir.glob("*.pth")} == before


def test_resuming_with_a_larger_end_continues(run):
    assert run(*options("total_iters=4")).code == 0
    more = run("--resume", "auto", *options("total_iters=8"))
    assert more.code == 0
    assert read_checkpoint(run.work_dir / "latest.pth")["meta"]["iter"] == 8
    assert "after 4 iterations" in log_of(run)


def test_broken_newest_checkpoint_is_said_and_the_one_before_is_used(run):
    assert run(*options()).code == 0
    newest = run.work_dir / "iter_6.pth"
    expected = read_checkpoint(newest)["state_dict"]
    (run.work_dir / "latest.pth").unlink()  # the same file by another name
    newest.write_bytes(newest.read_bytes()[:-1000])
    assert run("--resume", "auto", *options()).code == 0
    assert re.search(r"not used: .*iter_6\.pth .*damaged", log_of(run))
    assert re.search(r"resumed from .*iter_4\.pth after 4 iterations", log_of(run))
    state = read_checkpoint(newest)["state_dict"]
    assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_all_checkpoints_broken_stops_instead_of_starting_anew(run, sentence):
    assert run(*options()).code == 0
    for path in find_checkpoints(run.work_dir):
        path.write_bytes(b"broken")
    sentence(run("--resume", "auto", *options()), "none of the checkpoints", "--resume CKPT")


@pytest.mark.parametrize("resume", [(), ("--resume", "auto")])
def test_another_config_in_the_same_folder_stops_with_a_diff(run, sentence, resume):
    assert run(*options()).code == 0
    before = {path: path.read_bytes() for path in run.work_dir.glob("*.p*")}
    change = ["optimizer.generators.lr=1e-3", "model.generator.num_blocks=2", "model.pool_size=3"]
    result = run(*resume, *options(*change))
    sentence(
        result,
        "holds a run of another config",
        "  - optimizer.generators.lr = 0.0002\n  + optimizer.generators.lr = 0.001",
        "  - model.generator.num_blocks = 1\n  + model.generator.num_blocks = 2",
        "1. To keep both, train in another folder: --work-dir",
        "2. To continue that run",
        "--resume auto",
    )
    assert "pool_size" not in result.err
    assert {path: path.read_bytes() for path in run.work_dir.glob("*.p*")} == before


def test_both_remedies_work(run, tool, tmp_path):
    assert run(*options("total_iters=2")).code == 0
    change = options("optimizer.generators.lr=1e-3", "total_iters=4")
    text = run(*change).err
    other = re.search(r"--work-dir (\S+)", text)[1]
    start = re.search(r"--resume (\S+\.pth)", text)[1]
    done = run("--resume", start, *change, work_dir=other)
    assert done.code == 0, done.err
    assert "other than in" in next(tmp_path.glob("run_2/*.log")).read_text()
    config = re.search(r"tools/train.py (\S+) --resume auto", text)[1]
    done = tool("train", config, "--resume", "auto", "--cfg-options", "total_iters=4")
    assert done.code == 0, done.err
    assert read_checkpoint(run.work_dir / "latest.pth")["meta"]["iter"] == 4


def test_what_changes_no_bit_of_the_training_may_change(run):
    assert run(*options("total_iters=2")).code == 0
    free = ["data.workers_per_gpu=1", "log_config.interval=1", "checkpoint_config.interval=1"]
    assert run("--resume", "auto", *options(*free, "log_level=WARNING")).code == 0


def test_the_same_pictures_in_a_step_may_be_divided_otherwise(run):
    assert run(*options("total_iters=2", "data.samples_per_gpu=2")).code == 0
    pieces = ["data.samples_per_gpu=1", "accumulate_iters=2"]
    assert run("--resume", "auto", *options(*pieces)).code == 0
    result = run("--resume", "auto", *options("total_iters=9"))
    assert result.code == 1
    assert (
        "- pictures of a domain in a step = 2\n  + pictures of a domain in a step = 1" in result.err
    )


def test_starting_anew_over_a_run_is_said_and_later_checkpoints_stay(run):
    assert run(*options()).code == 0
    assert run(*options("total_iters=3", "checkpoint_config.max_keep_ckpts=1")).code == 0
    assert "starting anew in" in log_of(run) and "holds a run of 6 iterations" in log_of(run)
    names = [path.name for path in find_checkpoints(run.work_dir)]
    assert names == ["iter_3.pth", "iter_4.pth", "iter_6.pth"]
    assert (run.work_dir / "latest").read_text() == "iter_3.pth\n"
    # The run is the one that came last, not the one with the most iterations.
    assert run("--resume", "auto", *options("total_iters=5")).code == 0
    assert "after 3 iterations" in log_of(run)
    assert "iter_6.pth is of a former run in this folder" in log_of(run)


def test_going_back_to_an_earlier_checkpoint_makes_that_the_run(run):
    assert run(*options()).code == 0
    early = run.work_dir / "iter_2.pth"
    assert (
        run("--resume", early, *options("total_iters=3", "checkpoint_config.interval=9")).code == 0
    )
    assert run("--resume", "auto", *options("total_iters=4")).code == 0
    assert "after 3 iterations" in log_of(run)


def test_a_fault_before_the_first_checkpoint_does_not_block_the_folder(run):
    run(*options("total_iters=1"))
    for path in run.work_dir.glob("*.pth"):
        path.unlink()
    assert run(*options("optimizer.generators.lr=1e-3", "total_iters=1")).code == 0


def test_a_run_started_anew_never_turns_into_the_former_one(run, monkeypatch):
    """Not when it is started again after a fault, and not by --resume auto."""
    assert run(*options()).code == 0
    (run.work_dir / "latest").write_text("iter_0.pth\n")  # as a start without --resume leaves it
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run(*options("total_iters=3")).code == 0
    assert "resumed from" not in log_of(run)
    assert (run.work_dir / "latest").read_text() == "iter_3.pth\n"
    # A fault later on: the same command, started again, goes on by itself.
    assert run(*options("total_iters=5")).code == 0
    assert "iter_3.pth after 3 iterations" in log_of(run)


def test_rests_of_a_killed_write_are_removed(run):
    assert run(*options("total_iters=2")).code == 0
    (run.work_dir / "training_samples").mkdir(exist_ok=True)
    for name in (".iter_4.pth.77.part", "training_samples/.iter_3.png.77.part"):
        (run.work_dir / name).write_bytes(b"half")
    assert run("--resume", "auto", *options()).code == 0
    assert not list(run.work_dir.rglob("*.part"))


def test_best_checkpoint_and_score_are_kept(run):
    assert run(*options("total_iters=2")).code == 0
    content = read_checkpoint(run.work_dir / "iter_2.pth")
    from mmgen_ext.checkpoint import write_checkpoint

    content["mmgen_ext"]["best"] = dict(best_score_fid=12.5)
    write_checkpoint(run.work_dir / "iter_2.pth", content)
    (run.work_dir / "best_fid_iter_2.pth").write_bytes(b"best")
    keep = "checkpoint_config.max_keep_ckpts=1"
    assert run("--resume", "auto", *options(keep)).code == 0
    content = read_checkpoint(run.work_dir / "latest.pth")
    assert content["mmgen_ext"]["best"] == dict(best_score_fid=12.5)
    assert [path.name for path in find_checkpoints(run.work_dir)] == ["iter_6.pth"]
    assert (run.work_dir / "best_fid_iter_2.pth").exists()


def test_checkpoint_with_states_of_wrong_types_is_refused_with_a_sentence(run, sentence):
    from mmgen_ext.checkpoint import write_checkpoint

    assert run(*options("total_iters=2")).code == 0
    whole = read_checkpoint(run.work_dir / "iter_2.pth")
    for key, value in (
        ("optimizer", dict(generators=3, discriminators=[])),
        ("optimizer", {}),
        ("meta", dict(iter="two")),
        ("mmgen_ext", {**whole["mmgen_ext"], "pools": dict(a=1, b=2)}),
        ("mmgen_ext", {**whole["mmgen_ext"], "random": [5]}),
        ("mmgen_ext", {**whole["mmgen_ext"], "losses": [5]}),
    ):
        path = run.work_dir / "wrong.pth"
        write_checkpoint(path, {**whole, key: value})
        sentence(run("--resume", path, *options()), "wrong.pth cannot be resumed")


def test_learning_rate_is_continued_exactly(run, tool, tiny_config, tmp_path):
    def rates(folder):
        found = {}
        for log in sorted(folder.glob("*.log.json")):
            for line in re.findall(r'"iter": (\d+), "lr": (\{.*?\})', log.read_text()):
                assert found.setdefault(*line) == line[1]
        return found

    whole = options("log_config.interval=1", "lr_config.decay_from=0.2")
    assert run(*whole).code == 0
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "iter_2.pth").write_bytes((run.work_dir / "iter_2.pth").read_bytes())
    assert run("--resume", "auto", *whole, work_dir=tmp_path / "again").code == 0
    ours, expected = rates(tmp_path / "again"), rates(run.work_dir)
    assert ours == {key: expected[key] for key in ("3", "4", "5", "6")}


def test_difference_names_only_what_decides():
    before = dict(
        grad_clip=None, model=dict(a=1, steps=[dict(x=1), dict(x=2)]), total_iters=4, seed=1
    )
    now = dict(model=dict(a=1, steps=[dict(x=1), dict(x=3)]), total_iters=9, seed=1, world_size=2)
    assert config_difference(before, now) == [
        "  - model.steps.1.x = 2",
        "  + model.steps.1.x = 3",
        "  - pictures of a domain in a step = 1",
        "  + pictures of a domain in a step = 2",
    ]
    assert config_difference(before, before) == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("switches", [[], SWITCHES], ids=["plain", "switches"])
def test_resumed_run_equals_an_undisturbed_one_to_the_bit(run, tmp_path, precision, switches):
    whole = options(f"precision={precision}", *switches)
    assert run(*whole).code == 0
    assert "is not watched" not in log_of(run)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "iter_2.pth").write_bytes((run.work_dir / "iter_2.pth").read_bytes())
    assert run("--resume", "auto", *whole, work_dir=tmp_path / "again").code == 0
    ours, expected = (
        read_checkpoint(folder / "iter_6.pth") for folder in (tmp_path / "again", run.work_dir)
    )
    assert all(torch.equal(ours["state_dict"][k], v) for k, v in expected["state_dict"].items())
    for name, optimizer in expected["optimizer"].items():
        for number, state in optimizer["state"].items():
            for key, value in state.items():
                assert torch.equal(ours["optimizer"][name]["state"][number][key], value)
