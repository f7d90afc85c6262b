"""The measurement of training steps: the same work for all, and figures that can be read."""

import json
import os

import pytest
import torch
from mmcv import Config
from mmgen.models import build_model
from processes import ROOT

from mmgen_ext import benchmark_growth, benchmark_train
from mmgen_ext.benchmark_mmgen import mmgens_model, mmgens_training
from mmgen_ext.benchmark_run import interleaved
from mmgen_ext.config import load_config
from mmgen_ext.datasets.images import read_image


def test_both_libraries_train_networks_of_the_same_weights(tiny_config):
    cfg = load_config(tiny_config)
    ours = build_model(cfg.model)
    theirs = build_model(mmgens_model(cfg), dict(buffer_size=50))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    losses = {loss.loss_name(): loss.loss_weight for loss in theirs.gen_auxiliary_losses}
    assert losses == dict(cycle_loss=10.0, id_loss=5.0)


def test_networks_that_mmgen_lacks_are_answered(tiny_config):
    cfg = load_config(tiny_config, {"model.generator.upsample": "resize"})
    with pytest.raises(ValueError, match=r"mmgen has no generator with .*upsample='resize'"):
        mmgens_model(cfg)


def test_mmgen_trains_whole_pictures_and_its_own_networks_at_the_size_of_ours(tmp_path):
    name = "cyclegan_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"
    cfg = load_config(ROOT / "configs" / "cyclegan" / name)
    assert cfg.data.train.pipeline[2].size == 64 and cfg.model.discriminator.get("enlarge") == 2
    (tmp_path / "mmgen.py").write_text(mmgens_training(cfg, dict(total_iters=7)), "utf-8")
    theirs = Config.fromfile(str(tmp_path / "mmgen.py"))
    sizes = {
        key: value
        for step in theirs.data.train.pipeline
        for key, value in step.items()
        if key in ("scale", "crop_size") and step.type != "Flip"
    }
    assert sizes == dict(scale=(143, 143), crop_size=(128, 128))
    networks = [theirs.model.generator, theirs.model.discriminator]
    assert [network.type for network in networks] == ["ResnetGenerator", "PatchDiscriminator"]
    assert [network.base_channels for network in networks] == [32, 32]
    assert theirs.model.generator.num_blocks == 6 and theirs.total_iters == 7


@pytest.mark.slow
def test_step_prints_a_table_and_json(tool, tiny_config):
    result = tool("benchmark", "train", tiny_config, "--sizes", 32, "--rounds", 2)
    assert result.code == 0, result.err[-600:]
    found = json.loads(result.out.splitlines()[-1])
    for kind in ("fp32", "bf16"):
        assert found[f"{kind}_s"] > 0 and found[f"floor_{kind}_s"] > 0
        parts = found[f"{kind}_parts"]
        assert sum(parts.values()) == pytest.approx(1)
        assert all(parts[name] > 0 for name in ("data", "forward", "backward", "logging"))
    assert found["mmgen_s"] > 0 and found["mmgen_mb"] > 100
    assert "x mmgen" in result.out


def test_flops_are_those_of_the_plain_step(tiny_config):
    cfg = load_config(tiny_config)
    device = torch.device("cpu")
    data = benchmark_train.random_batch(cfg, 32, 1, device)
    counts = [
        benchmark_train.count_flops(benchmark_train.Contender(kind, cfg, device), data)
        for kind in ("fp32", "bf16", "mmgen")
    ]
    assert counts[0] == counts[1]
    # mmgen computes gradients of real images that nothing needs.
    assert counts[0] <= counts[2] < 1.1 * counts[0]


def test_medians_count_and_all_take_turns():
    order = []

    def run(name):
        order.append(name)
        return len(order)

    runs = {name: lambda name=name: run(name) for name in "ab"}
    assert interleaved(runs, 3) == dict(a=3, b=4)
    assert order == list("ab" * 3)
    assert interleaved(runs, 4, dict(b=2)) == dict(a=9.5, b=9.5)
    assert order[6:] == list("abaaba")


def test_config_of_mmgens_is_answered(tool, tmp_path):
    path = tmp_path / "theirs.py"
    cfg = Config(dict(model=dict(type="CycleGAN"), data={}, optimizer={}))
    path.write_text(cfg.pretty_text, "utf-8")
    result = tool("benchmark", "train", path)
    assert "choose one of mmgen_ext's" in result.err


def test_a_measured_process_that_fails_says_why(tiny_config):
    turns = benchmark_train.Turns("fp32", str(tiny_config), 2, 1, "cpu", 1, {})
    with pytest.raises(ValueError, match=r"a measured process failed: RuntimeError: "):
        turns.ask("step")
    turns.close()


def test_a_measured_process_may_say_a_lot(tiny_config, tmp_path):
    path = tmp_path / "loud.py"
    loud = "import sys\nfor _ in range(2000):\n    print('x' * 100, file=sys.stderr)\ndel sys\n"
    path.write_text(loud + tiny_config.read_text("utf-8"), "utf-8")
    turns = benchmark_train.Turns("fp32", str(path), 32, 1, "cpu", 1, {})
    assert turns.ask("memory") > 0
    turns.close()


def test_numbers_that_are_none_are_answered(tool):
    for option in ("--sizes", "--batch", "--rounds", "--threads", "--frames"):
        result = tool("benchmark", "train", "x.py", option, "0")
        assert result.code == 2 and "expected a whole number of at least 1" in result.err


@pytest.mark.slow
def test_growth_measures_real_runs_of_two_processes(tool, tiny_config, tmp_path):
    plot = tmp_path / "growth.png"
    options = ["--sizes", 32, "--batches", 1, "--ranks", 2, "--rounds", 1, "--plot", plot]
    result = tool("benchmark", "growth", tiny_config, *options, "--threads", 1)
    assert result.code == 0, result.err[-600:]
    runs = json.loads(result.out.splitlines()[-1])["runs"]
    assert [(run["precision"], run["ranks"]) for run in runs] == [("fp32", 2), ("bf16", 2)]
    assert all(run["s"] > 0 and run["mb"] > 100 for run in runs)
    assert read_image(plot).shape[1] > 500


def test_a_stopped_growth_shows_what_was_measured_and_ends_as_interrupted(
    tool, tiny_config, monkeypatch
):
    def measure(cfg, point, *args):
        if point.size == 64:
            raise KeyboardInterrupt
        return dict(s=1.0, mb=200)

    monkeypatch.setattr(benchmark_growth, "_measure", measure)
    result = tool("benchmark", "growth", tiny_config, "--sizes", 32, 64, "--ranks", 1)
    assert result.code == 130 and "interrupted" in result.err
    assert [run["size"] for run in json.loads(result.out.splitlines()[-1])["runs"]] == [32]


def test_each_size_is_measured_with_one_batch_and_each_batch_at_one_size():
    found = list(benchmark_growth.points((128, 64), (1, 2), (1,), ("fp32",)))
    assert [(p.size, p.batch) for p in found] == [(64, 1), (128, 1), (128, 2)]


def test_runs_that_would_not_fit_are_left_out():
    found = {
        benchmark_growth.Point("fp32", 1, 64, 1): dict(mb=1000),
        benchmark_growth.Point("fp32", 1, 128, 1): dict(mb=4000),
        benchmark_growth.Point("fp32", 1, 64, 4): dict(mb=4000),  # as many pixels
        benchmark_growth.Point("bf16", 1, 128, 1): dict(mb=10**9),
    }
    too_large = benchmark_growth.too_large
    assert not too_large(benchmark_growth.Point("fp32", 1, 128, 2), found, "cpu")
    assert too_large(benchmark_growth.Point("fp32", 1, 128, 2), found, "cpu", free=8000 * 2**20)
    two = {point._replace(ranks=2): result for point, result in found.items()}
    assert too_large(benchmark_growth.Point("fp32", 2, 128, 2), two, "cpu", free=16000 * 2**20)


def test_loader_says_how_a_data_set_costs_at_the_start(tool, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "cache"))
    plot = tmp_path / "loader.png"
    options = ["--images", 40, "--workers", 0, 1, "--seconds", 0.1, "--sizes", 32]
    result = tool("benchmark", "loader", tiny_config, *options, "--plot", plot)
    assert result.code == 0, result.err[-600:]
    found = json.loads(result.out.splitlines()[-1])
    assert found["start"]["40"]["first_s"] > found["start"]["40"]["s"] > 0
    assert all(rate > 0 for row in found["samples_per_s"].values() for rate in row)
    assert plot.stat().st_size > 1000
    assert not (tmp_path / "cache").exists()  # Pictures that are gone are not remembered.
    assert os.environ["MMGEN_EXT_CACHE"] == str(tmp_path / "cache")
