"""Each disease made on purpose in a real training, and none where there is none.

What was seen on monet2photo and horse2zebra at 64 to 256 pixels with batches of 1, in windows of
10 to 16 pictures after the start of each detector: accuracy 0.41 to 0.93 (single checks up to 0.98
with six pictures, known by heart), mode collapse 0.76 to 1.3, inversion 0.55 to 0.98, identity 0.63
to 1.6; checkerboard below 0 with upsample="resize", and with "deconv" 0.14 at the beginning and up
to 0.075 after 300 iterations, while networks that do not learn keep their 0.1 to 0.28.
"""

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmgen.models import build_module
from processes import DUMP, config_with_hook, run_ranks
from test_train import losses, same_state

from mmgen_ext.checkpoint import read_checkpoint
from mmgen_ext.config import load_config
from mmgen_ext.datasets.stream import permuted_index
from mmgen_ext.datasets.unpaired import UnpairedImageDataset
from mmgen_ext.training.health import DETECTORS, Watch, describe
from mmgen_ext.training.health.coverage import Coverage, find_files
from mmgen_ext.training.health.measures import (
    accuracy,
    change,
    checkerboard,
    grid_energy,
    luminance_correlation,
    relative_spread,
)
from mmgen_ext.training.health.step import decision_boundary, directions, judge
from mmgen_ext.training.records import read_records

ROOT = Path(__file__).resolve().parents[2]
NAMES = [detector.name for detector in DETECTORS]


@pytest.fixture(scope="module")
def pictures(photos):
    """Sixteen crops of 128 x 128 of real photographs, BGR in [-1, 1]."""
    crops = [
        photo[y : y + 128, x : x + 128, ::-1].transpose(2, 0, 1)
        for photo in photos.values()
        for y in (20, 150)
        for x in (30, 200)
    ]
    return torch.from_numpy(np.stack(crops)).float() / 127.5 - 1


def jpeg(images, quality):
    """Through a JPEG file of that quality."""
    import cv2

    found = []
    for image in images:
        array = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        data = cv2.imencode(".jpg", array, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        found.append(torch.from_numpy(cv2.imdecode(data, 1)).permute(2, 0, 1) / 127.5 - 1)
    return torch.stack(found)


# ---- measures


def test_correlation_is_pearsons_and_of_a_negative_minus_one(pictures):
    fake = pictures.roll(1, 0)
    small = torch.nn.functional.adaptive_avg_pool2d
    gray = [0.114 * x[:, 0] + 0.587 * x[:, 1] + 0.299 * x[:, 2] for x in (pictures, fake)]
    a, b = (small(x[:, None], 32).flatten(1).numpy() for x in gray)
    slow = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    assert luminance_correlation(pictures, fake).tolist() == pytest.approx(slow, abs=1e-5)
    assert luminance_correlation(pictures, -0.5 * pictures + 0.2).mean() < -0.999
    assert luminance_correlation(pictures, gray[0][:, None]).mean() > 0.999  # other channels
    assert luminance_correlation(pictures, torch.full_like(pictures, 0.3)).abs().max() < 1e-3


def test_change_is_measured_in_contrasts_of_the_source(pictures):
    assert change(pictures, pictures) == 0
    contrast = (pictures - pictures.mean((2, 3), keepdim=True)).abs().mean()
    assert change(pictures, pictures + 0.1) == pytest.approx(float(0.1 / contrast), rel=1e-4)
    assert change(pictures / 4, (pictures + 0.1) / 4) == pytest.approx(float(0.1 / contrast))


def test_spread_is_a_quartile_over_pairs_of_normed_thumbnails(pictures):
    def slow(images):
        x = list(torch.nn.functional.adaptive_avg_pool2d(images, 32).numpy())
        x = [t - t.mean((1, 2), keepdims=True) for t in x]
        x = [t / np.sqrt((t**2).mean()) for t in x]
        pairs = [(i, j) for i in range(len(x)) for j in range(i)]
        return np.quantile([np.sqrt(((x[i] - x[j]) ** 2).mean()) for i, j in pairs], 0.25)

    sources, fakes = pictures[:8], pictures[8:]
    assert relative_spread(fakes, sources, sources) == pytest.approx(
        slow(fakes) / slow(sources), rel=1e-4
    )


def test_one_picture_for_all_is_found_and_a_faint_or_dark_one_is_not(pictures):
    def spread(fakes):
        return relative_spread(fakes, pictures, pictures)

    noise = 0.02 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    assert spread(pictures[:1] + noise) < 0.1
    assert spread(torch.zeros_like(pictures)) == 0
    assert spread(pictures[:3].repeat(6, 1, 1, 1)[:16]) == 0  # three modes
    assert spread(pictures[:1] + 0.1 * pictures) < 0.3
    assert spread(pictures) == 1
    assert spread(0.1 * pictures - 0.5) == pytest.approx(1, abs=1e-3)
    # Maps are more alike than photographs: no fault of the translator.
    maps = pictures[:1] + 0.5 * pictures
    assert relative_spread(maps, pictures, maps) == 1 > spread(maps)
    assert relative_spread(pictures[:3], pictures, pictures) is None
    assert relative_spread(pictures, pictures[:1].repeat(16, 1, 1, 1), pictures) is None


def slow_grid_energy(images):
    """The formula, one tile and one frequency after the other."""
    n, wave = 32, 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(32) / 32)
    window, found = np.outer(wave, wave), []
    for image in images.double().numpy():
        for top in range(0, image.shape[1] - n + 1, n):
            for left in range(0, image.shape[2] - n + 1, n):
                power = np.zeros((n, n))
                for tile in image[:, top : top + n, left : left + n]:
                    flat = tile - (tile * window).sum() / window.sum()
                    power += np.abs(np.fft.fft2(flat * window)) ** 2 / (window**2).sum()

                def box(y, x, power=power):
                    return np.mean([power[(y + i) % n, (x + j) % n] for i in (-1, 0, 1)
                                    for j in (-1, 0, 1)])  # fmt: skip

                grid = 0
                for y in (0, 8, 16, 24):
                    for x in (0, 8, 16, 24):
                        if (y, x) != (0, 0):
                            beside = [(y, x + 4), (y, x - 4)] if x else []
                            beside += [(y + 4, x), (y - 4, x)] if y else []
                            grid += box(y, x) - np.mean([box(*each) for each in beside])
                found.append(9 * grid / len(image) / n**2)
    return np.sort(found)[(len(found) - 1) // 2]  # torch's median


def test_grid_energy_is_what_its_formula_says(pictures):
    for images in (pictures[:2, :, :64, :96], torch.randn(2, 1, 70, 64)):
        assert grid_energy(images) == pytest.approx(slow_grid_energy(images), rel=1e-3)
    assert grid_energy(pictures[..., :31]) is None


@pytest.mark.parametrize("size", [64, 128])
def test_checkerboard_grows_with_a_grid_and_knows_it_from_texture(pictures, size):
    images = pictures[..., :size, :size]
    fakes, reals, others = images[::2], images[1::2], images[:8]
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for grid in (
        (-1.0) ** (x + y),
        (-1.0) ** x,
        ((x % 4 < 2) * 2.0 - 1) * ((y % 4 < 2) * 2 - 1),
        2.0 * ((x % 2 == 0) & (y % 2 == 0)) - 0.5,
    ):
        found = [
            checkerboard((fakes + k * grid).clamp(-1, 1), others, reals) for k in (0, 0.1, 0.3)
        ]
        deviation = float(grid.std())
        assert found[0] < 0.03
        assert found[1:] == pytest.approx([0.1 * deviation, 0.3 * deviation], rel=0.15)
        woven = (reals + 0.3 * grid).clamp(-1, 1)
        assert checkerboard((fakes + 0.3 * grid).clamp(-1, 1), others, woven) < 0.08
        assert checkerboard((fakes + 0.3 * grid).clamp(-1, 1), woven, reals) < 0.08
    # JPEG's blocks are no grid, whoever has them, nor are pixels that were doubled.
    assert checkerboard(fakes, jpeg(others, 5), jpeg(reals, 5)) < 0.03
    assert checkerboard(jpeg(fakes, 5), jpeg(others, 5), reals) < 0.03
    coarse = torch.nn.functional.interpolate(images[..., ::2, ::2], scale_factor=2)
    assert checkerboard(coarse[::2], others, coarse[1::2]) < 0.03
    # Noise of the sensor, or an 8-bit staircase on a plain sky, are no grid.
    assert checkerboard(fakes + 0.1 * torch.randn(fakes.shape), others, reals) < 0.03
    assert abs(checkerboard(torch.full_like(fakes, 0.5), others, reals)) < 0.03


def test_accuracy_counts_the_worse_kind_and_ranks_a_critics_scores():
    real, fake = torch.tensor([0.9, 0.6, 0.2, 0.7]), torch.tensor([0.1, 0.4, 0.45, 0.3])
    assert accuracy(real, fake, 0.5) == 0.75
    assert accuracy(fake, real, 0.5) == 0
    assert accuracy(real * 0, fake * 0, 0.5) == 0  # one word for all
    real, fake = (
        torch.randn(1, 1, 6, 6).round(decimals=1),
        torch.randn(1, 1, 5, 5).round(decimals=1),
    )
    pairs = [(a > b) + 0.5 * (a == b) for a in real.flatten() for b in fake.flatten()]
    assert accuracy(real, fake, None) == pytest.approx(np.mean([float(p) for p in pairs]))


@pytest.mark.parametrize(
    ("loss", "boundary"),
    [
        (dict(type="mmgen_ext.GANLoss"), 0.5),
        (dict(type="mmgen_ext.GANLoss", real_label_val=0.9, fake_label_val=0.3), 0.6),
        (dict(type="mmgen_ext.GANLoss", gan_type="vanilla"), 0),
        (dict(type="mmgen_ext.GANLoss", gan_type="hinge"), 0),
        (dict(type="mmgen_ext.GANLoss", gan_type="wgan-gp"), None),
        (dict(type="GANLoss", gan_type="lsgan", real_label_val=1.0, fake_label_val=0.0), 0.5),
        (dict(type="GANLoss", gan_type="wgan"), None),
        (dict(type="GANLoss", gan_type="wgan-logistic-ns"), 0),
    ],
)
def test_boundary_between_fake_and_real(loss, boundary):
    assert decision_boundary(build_module(loss)) == pytest.approx(boundary)


@pytest.mark.parametrize(
    "config",
    [
        dict(type="mmgen_ext.PatchDiscriminator", norm="batch", spectral_norm=True),
        dict(type="PatchDiscriminator", norm_cfg=dict(type="BN"), in_channels=6),
    ],
)
def test_judging_says_what_training_would_and_leaves_no_trace(config, pictures):
    network = build_module(dict(config, base_channels=4, num_conv=2))
    network.append = torch.nn.Dropout(0.5)
    network.register_forward_hook(lambda module, _, out: module.append(out))
    image, source = pictures[:2], pictures[2:4]
    before = {k: v.clone() for k, v in network.state_dict().items()}
    random = torch.get_rng_state()
    found = judge(network, image, source)
    assert network.training and same_state(dict(network.state_dict()), before)
    assert torch.equal(torch.get_rng_state(), random) and not found.requires_grad
    # pix2pix's is given the source as well.
    given = torch.cat([source, image], 1) if "in_channels" in config else image
    assert torch.equal(found, network(given))
    assert not same_state(dict(network.state_dict()), before)  # as a step does


def test_directions_of_two_domains_and_of_one():
    names = ["real_a", "fake_b", "real_b", "fake_a"]
    found = directions(dict.fromkeys(names))
    assert found == [("fake_b", "real_a", "real_b"), ("fake_a", "real_b", "real_a")]
    assert directions(dict.fromkeys(["real_a", "fake_b", "real_b"])) == found[:1]  # pix2pix
    assert directions({}) == directions(dict.fromkeys(["fake_b", "real_a"])) == []


# ---- coverage


@settings(deadline=None, max_examples=40)
@given(
    length=st.integers(1, 90),
    start=st.integers(0, 200),
    count=st.integers(1, 300),
    ranks=st.integers(1, 4),
)
def test_every_stream_covers_its_domain_from_wherever_it_is_joined(length, start, count, ranks):
    samples = [(n, "a", str(permuted_index(1, 0, n, length))) for n in range(start, start + count)]
    coverage = Coverage(dict(a=length))
    for first in range(0, count, 40):  # checks, at which the ranks' samples come together
        window = samples[first : first + 40]
        coverage.add(sample for rank in range(ranks) for sample in window[rank::ranks])
    assert coverage.values().get("a", 1.0) == 1


def test_draws_with_repetition_and_files_that_are_gone_are_seen():
    rng = np.random.default_rng(0)
    coverage = Coverage(dict(a=400, b=400, c=4))
    coverage.add((n, "a", str(rng.integers(400))) for n in range(800))  # 1 - 1/e
    coverage.add((n, "b", str(n % 400 // 2 * 2)) for n in range(1000))  # each second is missing
    coverage.add((n, "c", str(max(1, n % 4))) for n in range(9))
    assert coverage.values() == pytest.approx(dict(a=0.63, b=0.5, c=0.75), abs=0.03)


def test_files_are_found_in_batches_of_both_libraries():
    ours = dict(img_a=1, img_a_path=["x", "y"], img_b_path=["z"])
    mmgens = dict(img_a=1, meta=[[dict(img_a_path="x", img_b_path="z"), dict(img_a_path="y")]])
    for batch in (ours, mmgens):
        assert list(find_files(batch, "img_a_path")) == ["x", "y"]


# ---- detectors


def test_a_disease_counts_after_some_checks_in_a_row_and_so_does_its_end():
    identity = next(d for d in DETECTORS if d.name == "identity")
    watch = Watch(identity, patience=3)
    values = [0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1]
    changes = {i: watch.firing for i, value in enumerate(values) if watch.note(value, 200 + i)}
    assert changes == {2: True, 12: False}
    assert watch.note(0, 0) is False and watch.against == 0  # before the start


def test_each_detector_is_described_and_its_remedy_names_keys_that_exist():
    described = describe()
    keys = {"name", "title", "measure", "threshold", "direction", "meaning", "remedy", "start"}
    cfg = load_config(
        ROOT / "configs/cyclegan/cyclegan_lsgan_resnet-resize_in_b1x1_80k_monet2photo.py"
    )
    for each in described:
        assert set(each) == keys and each["direction"] in ("above", "below")
        names = re.findall(r"\b(?:model|data|optimizer)\.[a-z_.]*[a-z]", each["remedy"])
        assert names, each["remedy"]
        for name in names:
            section, key = name.rsplit(".", 1)
            if name in ("model.gan_loss.loss_weight", "data.train.data_root", "model.nce_weight"):
                continue  # have defaults, are the leaf's, or CUT's
            assert key in cfg.get(section) if "." not in section else name, name
            value = cfg
            for part in name.split("."):
                value = value[part]
    assert len({each["name"] for each in described}) == len(described) == 8


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("health.interval=0", ["interval=0", "at least 1"]),
        ("health.detectors.mode_colapse.start=1", ["mode_colapse", "mode_collapse"]),
        ("health.detectors.mode_collapse.treshold=1", ["treshold"]),
    ],
)
def test_wrong_arguments_get_a_sentence(tool, tiny_config, tmp_path, sentence, option, words):
    sentence(tool("train", tiny_config, "--work-dir", tmp_path, "--cfg-options", option), *words)


# ---- diseases in real trainings


@pytest.fixture
def run(tool, tiny_config, tmp_path):
    """Train; return the records of its health, and the log's lines about it."""

    def train(*options, config=None, name="run", resume=None):
        quiet = ["checkpoint_config.interval=1000", "report=None"]
        if config is None:  # others name a hook
            quiet.append("custom_hooks=[]")
        result = tool(
            *("train", config or tiny_config, "--work-dir", tmp_path / name),
            *(["--resume", resume] if resume else []),
            *("--cfg-options", *quiet, *options),
        )
        assert result.code == 0, result.err[-800:]
        text = "".join(log.read_text("utf-8") for log in (tmp_path / name).glob("*.log"))
        lines = [line for line in text.splitlines() if " health: " in line]
        return read_records(tmp_path / name).get("health", []), lines

    return train


QUICK = ("health.interval=5", "health.start=0", "health.patience=3")


def firing(records):
    return {
        name for record in records for name, check in record["checks"].items() if check["firing"]
    }


def generators(body):
    """A hook that puts what its `translate` returns in place of each generator's output."""
    return f"""
def before_run(self, runner):
    def translate(network, inputs, output):
        x = inputs[0]
        return {body} + 0 * output
    for network in runner.model.module.generators.values():
        network.register_forward_hook(translate)
"""


DISEASES = {
    "mode_collapse": "torch.linspace(-9, 9, 32).cos().expand(x.shape)",
    "colour_inversion": "-0.8 * x",
    "checkerboard": "x + 0.3 * (-1.0) ** torch.arange(32)",
    "identity": "x + 0.004",
}


@pytest.mark.parametrize("name", DISEASES)
def test_a_generator_that_is_ill_is_named_once_with_its_remedy(run, tiny_config, tmp_path, name):
    config = config_with_hook(tmp_path / "ill.py", tiny_config, generators(DISEASES[name]))
    # The discriminators of so short a run say "fake" to all.
    others = "health.detectors.discriminator_collapse_low=None"
    records, lines = run(*QUICK, "total_iters=30", others, config=config)
    assert [record["iter"] for record in records] == [5, 10, 15, 20, 25, 30]
    known = [record["checks"][name] for record in records if name in record["checks"]]
    assert [check["firing"] for check in known][-4:] == [True] * 4
    assert firing(records) == {name}
    (line,) = [line for line in lines if f": {name} is" in line]
    detector = next(d for d in DETECTORS if d.name == name)
    check = known[-4]
    assert " - WARNING - health: " in line
    assert f"{name} is {check['value']:.3g}, {detector.direction} the threshold" in line
    assert f"threshold of {detector.threshold:g}: {detector.meaning}" in line
    assert line.endswith(f"to help, {detector.remedy}")
    assert set(check["values"]) == {"a", "b"} and check["threshold"] == detector.threshold


def test_recovery_is_told(run, tiny_config, tmp_path):
    body = """
def before_run(self, runner):
    self.handles = [
        network.register_forward_hook(lambda network, inputs, output: inputs[0] + 0 * output)
        for network in runner.model.module.generators.values()
    ]
def after_train_iter(self, runner):
    if runner.iter == 19:
        [handle.remove() for handle in self.handles]
"""
    config = config_with_hook(tmp_path / "ill.py", tiny_config, body)
    records, lines = run(*QUICK, "health.num_pictures=5", "total_iters=45", config=config)
    states = [record["checks"]["identity"]["firing"] for record in records]
    assert states == [False, False, True, True, True, True, False, False, False]
    lines = [line for line in lines if "identity is" in line]
    assert len(lines) == 2 and "WARNING" in lines[0]
    assert "INFO" in lines[1] and "Identity is over: identity is" in lines[1]


def test_a_discriminator_that_does_not_learn_collapses(run):
    records, lines = run(*QUICK, "optimizer.discriminators.lr=0", "total_iters=15")
    assert records[-1]["checks"]["discriminator_collapse_low"]["firing"]
    (line,) = [line for line in lines if "discriminator_collapse_low" in line]
    assert "never right" in line and "optimizer.discriminators.lr" in line


def test_a_discriminator_without_an_opponent_collapses(run):
    options = ("optimizer.generators.lr=0", "optimizer.discriminators.lr=2e-3", "total_iters=100")
    records, lines = run("health.interval=10", "health.start=50", *options)
    assert records[-1]["checks"]["discriminator_collapse_high"]["firing"]
    assert any("never wrong" in line and "optimizer.generators.lr" in line for line in lines)


def test_a_slow_data_set_starves_the_networks(run, monkeypatch):
    load = UnpairedImageDataset.__getitem__

    last = time.perf_counter()

    def slow(self, sample):  # four times as slow as a step, however busy the machine is
        nonlocal last
        time.sleep(max(0.1, 4 * (time.perf_counter() - last)))
        loaded = load(self, sample)
        last = time.perf_counter()
        return loaded

    monkeypatch.setattr(UnpairedImageDataset, "__getitem__", slow)
    records, lines = run(*QUICK, "total_iters=16", "checkpoint_config.interval=1")
    check = records[-1]["checks"]["data_starvation"]
    assert check["firing"] and 0.5 < check["value"] < 1 and set(check["values"]) == {"rank 0"}
    assert any("data_starvation" in line and "data.workers_per_gpu" in line for line in lines)


def test_files_that_vanish_leave_a_domain_unbalanced(run, tiny_config, tmp_path, data_root):
    root = shutil.copytree(data_root, tmp_path / "set")
    body = f"""
def after_train_iter(self, runner):
    from pathlib import Path
    if runner.iter == 11:
        for path in sorted(Path({str(root)!r}, "trainB").rglob("*.png"))[:2]:
            path.unlink()
"""
    config = config_with_hook(tmp_path / "ill.py", tiny_config, body)
    records, lines = run(*QUICK, "total_iters=35", f"data_root={root}", config=config)
    values = [record["checks"]["domain_imbalance"]["values"] for record in records]
    assert all(each.get("a", 1) == 1 for each in values) and values[1]["b"] == 1
    assert values[-1]["b"] == 0.5 and records[-1]["checks"]["domain_imbalance"]["firing"]
    assert any("Domain imbalance in b" in line and "data.train.type" in line for line in lines)


def test_a_healthy_run_is_left_alone(run):
    options = ("health.interval=10", "health.patience=1", "total_iters=150")
    records, lines = run(*options, "health.detectors.checkerboard.start=100")
    assert len(records) == 15 and not lines and not firing(records)
    last = records[-1]["checks"]
    assert list(last) == NAMES
    for name, check in last.items():
        assert check["values"].keys() == ({"rank 0"} if name == "data_starvation" else {"a", "b"})
        assert check["value"] in check["values"].values()
    # Writing a checkpoint or a picture is no waiting for data.
    assert last["data_starvation"]["value"] < 0.4


def test_a_resumed_run_has_seen_no_picture_twice(run):
    """It joins its passes of 6 and 4 pictures in the middle."""
    run("total_iters=9", "health.interval=5")
    records, lines = run("total_iters=40", "health.interval=5", "health.start=30", resume="auto")
    assert [record["iter"] for record in records] == [*range(5, 41, 5)]
    values = [record["checks"]["domain_imbalance"]["values"] for record in records[2:]]
    assert values == [{"a": 1, "b": 1}] * 6 and not lines


def test_a_run_that_went_back_has_seen_no_picture_twice(run, tiny_config, tmp_path):
    body = """
def before_train_iter(self, runner):
    if not runner.rolled_back and runner.iter in (10, 11):
        for batch in runner.data_batch:
            batch["img_a"][0, 0, 3, 3] = float("inf")
"""
    config = config_with_hook(tmp_path / "inf.py", tiny_config, body)
    steps = ("total_iters=20", "max_bad_steps=2", "checkpoint_config.interval=3")
    records, lines = run(*steps, "health.interval=2", "health.start=20", config=config)
    assert "going on from" in next((tmp_path / "run").glob("*.log")).read_text("utf-8")
    assert all(r["checks"].get("domain_imbalance", {}).get("value", 1) == 1 for r in records)
    assert records[-1]["checks"]["domain_imbalance"]["values"] == {"a": 1, "b": 1} and not lines


def test_watching_changes_no_bit(run, tmp_path):
    options = ["total_iters=9", "model.discriminator.norm=batch", "log_config.interval=1"]
    options += ["model.discriminator.spectral_norm=True", "model.generator.use_dropout=True"]
    options += ["checkpoint_config.interval=9"]
    watched, _ = run(*options, "health.interval=2", name="watched")
    records, _ = run(*options, "health=None", name="plain")
    assert len(watched) == 4 and not records
    a, b = (read_checkpoint(tmp_path / name / "iter_9.pth") for name in ("watched", "plain"))
    assert same_state(a["state_dict"], b["state_dict"])
    assert same_state(a["optimizer"], b["optimizer"])
    for key in ("pools", "random"):
        assert same_state(a["mmgen_ext"][key], b["mmgen_ext"][key]), key
    assert losses(tmp_path / "watched") == losses(tmp_path / "plain")


def test_ranks_are_watched_together_and_stay_equal(tiny_config, tmp_path):
    config = config_with_hook(tmp_path / "dump.py", tiny_config, DUMP)
    options = ["--cfg-options", "total_iters=40", "health.interval=10", "report=None"]
    run_ranks(2, config, "--work-dir", tmp_path / "run", *options, output=tmp_path / "out")
    records = read_records(tmp_path / "run")["health"]
    assert [record["iter"] for record in records] == [10, 20, 30, 40]
    checks = records[-1]["checks"]
    assert set(checks["data_starvation"]["values"]) == {"rank 0", "rank 1"}
    assert checks["domain_imbalance"]["values"] == {"a": 1, "b": 1}
    a, b = (torch.load(tmp_path / "run" / f"rank{rank}.pt") for rank in (0, 1))
    assert same_state(dict(a), dict(b))


def test_domains_of_different_channels_are_watched_as_far_as_it_goes(run, tiny_config, tmp_path):
    records, _ = run("model.channels.a=1", "model.channels.b=3", "total_iters=10", *QUICK)
    assert set(records[-1]["checks"]) == set(NAMES) - {"identity"}


def test_mmgens_own_model_is_watched_too(run, tiny_config, tmp_path):
    sizes = dict(in_channels=3, base_channels=4, norm_cfg=dict(type="IN"))
    model = dict(
        _delete_=True,
        type="CycleGAN",
        default_domain="b",
        reachable_domains=["a", "b"],
        related_domains=["a", "b"],
        gan_loss=dict(type="GANLoss", gan_type="lsgan", real_label_val=1.0, fake_label_val=0.0),
        generator=dict(type="ResnetGenerator", out_channels=3, num_blocks=1, **sizes),
        discriminator=dict(type="PatchDiscriminator", num_conv=2, **sizes),
    )
    config = tmp_path / "mmgens.py"
    config.write_text(f"_base_ = {str(tiny_config)!r}\nmodel = {model!r}\n", "utf-8")
    records, _ = run("total_iters=10", *QUICK, config=config)
    assert set(records[-1]["checks"]) == set(NAMES)
    assert set(records[-1]["checks"]["checkerboard"]["values"]) == {"a", "b"}


def test_the_docs_name_every_detector_with_its_threshold():
    text = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text("utf-8")
    for detector in describe():
        assert f"`{detector['name']}`" in text
        assert f"| {detector['direction']} {detector['threshold']:g} |" in text
        assert detector["remedy"] in text
