"""Logs: TensorBoard by one line of the config, a missing logger, and what the bar shows."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmgen_ext.training.hooks.progress import _short
from mmgen_ext.training.records import read_records

CONFIG = """
_base_ = {base!r}
data_root = {root!r}
log_config = dict(interval=2, hooks=[dict(type="TextLoggerHook"), dict(type={hook!r})])
evaluation = dict(interval=3)
data = dict(test=dict(pipeline=[dict(type="mmgen_ext.Resize", size=48)]))
"""


def write(path, tiny_config, crops, hook):
    path.write_text(CONFIG.format(base=str(tiny_config), root=str(crops), hook=hook), "utf-8")
    return path


def test_tensorboard_has_losses_metrics_and_pictures(tool, tiny_config, crops, tmp_path):
    config = write(tmp_path / "board.py", tiny_config, crops, "TensorboardLoggerHook")
    result = tool("train", config, "--work-dir", tmp_path / "run")
    assert result.code == 0, result.err[-600:]
    events = EventAccumulator(str(tmp_path / "run" / "tf_logs"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    scalars = set(tags["scalars"])
    assert any("cycle_loss" in tag for tag in scalars), scalars
    assert any("kid_a" in tag for tag in scalars) and any("fid_b" in tag for tag in scalars)
    assert [image.step for image in events.Images("gallery")] == [3, 6]


def test_a_logger_that_is_not_installed_is_a_sentence(tool, tiny_config, crops, tmp_path, sentence):
    config = write(tmp_path / "wandb.py", tiny_config, crops, "WandbLoggerHook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "wandb", None)
        result = tool("train", config, "--work-dir", tmp_path / "run")
    sentence(result, "cannot build the hooks", "wandb")


def test_the_bar_says_waiting_and_losses():
    means = dict(time=0.5, data_time=0.1, loss_gan_g_a=1.0, loss_gan_g_b=0.5, loss_gan_d_a=0.25)
    means |= dict(loss_gan_d_b=0.25, cycle_loss=3.0, id_loss=2.0, loss=6.5, other=1.0)
    assert _short(means) == "data wait 20%, G 1.5, D 0.5, cycle 3, identity 2, total 6.5"
    assert _short({}) == ""


def test_records_of_a_resumed_run_count_once(tmp_path):
    lines = ['{"env_info": "x"}', '{"mode": "train", "iter": 2, "loss": 1}', "no json"]
    lines += ['{"mode": "train", "iter": 4, "loss": NaN}', '{"mode": "health", "iter": 3}']
    (tmp_path / "1.log.json").write_text("\n".join(lines), "utf-8")
    (tmp_path / "2.log.json").write_text('{"mode": "train", "iter": 4, "loss": 3}\n{"mode": "tr')
    records = read_records(tmp_path)
    assert records["train"] == [
        dict(mode="train", iter=2, loss=1),
        dict(mode="train", iter=4, loss=3),
    ]
    assert [r["iter"] for r in records["health"]] == [3]


def test_a_former_run_in_the_folder_does_not_count(tmp_path):
    former = ['{"mode": "train", "iter": 2}', '{"mode": "evaluation", "iter": 6}']
    (tmp_path / "1.log.json").write_text("\n".join(former), "utf-8")
    now = ['{"env_info": "x"}', '{"mode": "train", "iter": 2, "loss": 3}']
    (tmp_path / "2.log.json").write_text("\n".join(now), "utf-8")
    records = read_records(tmp_path)
    assert not records["evaluation"] and len(records["train"]) == 1
