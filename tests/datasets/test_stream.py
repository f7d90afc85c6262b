"""The stream of samples: a pure function of (seed, sample number)."""

import itertools
import os
import random
import signal
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmgen.datasets import build_dataset

from mmgen_ext.datasets import build_loader
from mmgen_ext.datasets.stream import (
    StreamSampler,
    permuted_index,
    sample_generator,
    seeded_globals,
)

PIPELINE = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=24),
    dict(type="mmgen_ext.RandomCrop", size=16),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
# mmgen's transforms draw from NumPy's global generator.
MMGENS_PIPELINE = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="Resize", keys=["img"], scale=(24, 24)),
    dict(type="Crop", keys=["img"], crop_size=(16, 16)),
    dict(type="Flip", keys=["img"]),
    dict(type="RescaleToZeroOne", keys=["img"]),
    dict(type="RandomImgNoise", keys=["img"]),
    dict(type="ImageToTensor", keys=["img"]),
    dict(type="Collect", keys=["img"], meta_keys=[]),
]


def unpaired(data_root, pipeline=PIPELINE, **options):
    return build_dataset(
        dict(
            type="mmgen_ext.UnpairedImageDataset",
            data_root=str(data_root),
            domains=["a", "b"],
            pipeline=pipeline,
            seed=7,
            **options,
        )
    )


def take(loader, n):
    batches = list(itertools.islice(loader, n))
    return {
        key: [x for batch in batches for x in batch[key]]
        for key in ("img_a", "img_b", "img_a_path", "img_b_path")
    }


def same(a, b):
    return (
        a["img_a_path"] == b["img_a_path"]
        and a["img_b_path"] == b["img_b_path"]
        and all(
            torch.equal(*pair) for k in ("img_a", "img_b") for pair in zip(a[k], b[k], strict=True)
        )
    )


@given(st.integers(0, 2**31), st.integers(0, 1), st.integers(1, 40), st.integers(0, 5))
def test_each_pass_is_a_permutation(seed, stream, length, pass_number):
    start = pass_number * length
    indices = [permuted_index(seed, stream, n, length) for n in range(start, start + length)]
    assert sorted(indices) == list(range(length))


def test_passes_and_folders_differ_in_order():
    def order(stream, pass_number, seed=0):
        return [permuted_index(seed, stream, 50 * pass_number + n, 50) for n in range(50)]

    orders = [order(0, 0), order(0, 1), order(1, 0), order(0, 0, seed=1)]
    assert len(set(map(tuple, orders))) == 4


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_after_a_pass_every_image_of_its_domain_was_seen_once(data_root, workers):
    loader = build_loader(unpaired(data_root), 1, workers, seed=7)
    got = take(loader, 12)  # two passes over A (6), three over B (4)
    for key, size in (("img_a_path", 6), ("img_b_path", 4)):
        for start in range(0, 12, size):
            assert len(set(got[key][start : start + size])) == size
    assert same(got, take(build_loader(unpaired(data_root), 1, 0, seed=7), 12))


@pytest.mark.parametrize("pipeline", [PIPELINE, MMGENS_PIPELINE], ids=["ours", "mmgen's"])
def test_samples_do_not_depend_on_workers_ranks_or_where_one_starts(data_root, pipeline):
    dataset = unpaired(data_root, pipeline)
    whole = take(build_loader(dataset, 4, 0, seed=7), 3)
    for workers in (1, 3):
        assert same(whole, take(build_loader(dataset, 4, workers, seed=7), 3))
    resumed = take(build_loader(dataset, 4, 2, seed=7, start_iter=2), 1)
    assert same(resumed, {k: v[8:12] for k, v in whole.items()})
    ranks = [take(build_loader(dataset, 2, 0, seed=7, rank=r, world_size=2), 3) for r in (0, 1)]
    for i in range(3):
        joint = {k: ranks[0][k][2 * i : 2 * i + 2] + ranks[1][k][2 * i : 2 * i + 2] for k in whole}
        assert same(joint, {k: v[4 * i : 4 * i + 4] for k, v in whole.items()})


@pytest.mark.slow
def test_spawned_workers_give_the_same_samples(data_root):
    # As on Windows and macOS: nothing of the parent's memory is there.
    loader = build_loader(unpaired(data_root, MMGENS_PIPELINE), 2, 1, seed=7)
    loader.multiprocessing_context = "spawn"
    plain = build_loader(unpaired(data_root, MMGENS_PIPELINE), 2, 0, seed=7)
    assert same(take(loader, 2), take(plain, 2))


def test_another_seed_is_another_stream(data_root):
    dataset = unpaired(data_root)
    first = take(build_loader(dataset, 2, 0), 4)
    dataset.seed = 8
    assert not same(first, take(build_loader(dataset, 2, 0), 4))


def test_a_picture_is_cropped_differently_when_it_comes_again(data_root):
    got = take(build_loader(unpaired(data_root), 1, 0), 30)
    crops = [x for x, path in zip(got["img_a"], got["img_a_path"], strict=True) if "0" in path[-6:]]
    assert len({x.numpy().tobytes() for x in crops}) == len(crops) == 5


def test_global_generators_are_seeded_by_the_sample_and_left_as_they_were():
    def draw():
        return random.random(), np.random.random(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    got = [draw()]
    with seeded_globals(sample_generator(0, 5)):
        inside = draw()
    got.append(draw())
    assert got == expected
    with seeded_globals(sample_generator(0, 5)):
        assert draw() == inside
    with seeded_globals(sample_generator(0, 6)):
        assert draw() != inside


def test_sampler_gives_the_ranks_what_one_process_takes():
    def first(sampler):
        return list(itertools.islice(sampler, 3))

    assert first(StreamSampler(4, start_iter=1)) == [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    assert first(StreamSampler(2, 1, rank=0, world_size=2)) == [[4, 5], [8, 9], [12, 13]]
    assert first(StreamSampler(2, 1, rank=1, world_size=2)) == [[6, 7], [10, 11], [14, 15]]
    with pytest.raises(ValueError, match="samples_per_gpu=0"):
        StreamSampler(0)


def test_mmgens_dataset_is_seen_whole_in_every_pass(data_root):
    keys = ["img_a", "img_b"]
    dataset = build_dataset(
        dict(
            type="UnpairedImageDataset",
            dataroot=str(data_root),
            domain_a="a",
            domain_b="b",
            pipeline=[
                *(dict(type="LoadImageFromFile", key=key, flag="color") for key in keys),
                dict(type="Crop", keys=keys, crop_size=(16, 16)),
                dict(type="ImageToTensor", keys=keys),
                dict(type="Collect", keys=keys, meta_keys=["img_a_path", "img_b_path"]),
            ],
        )
    )

    def paths(workers):
        batches = itertools.islice(build_loader(dataset, 1, workers, seed=7), 12)
        metas = [batch["meta"].data[0][0] for batch in batches]
        return [m["img_a_path"] for m in metas], [m["img_b_path"] for m in metas]

    a, b = paths(0)
    assert set(Counter(a).values()) == {2} and set(Counter(b).values()) == {3}
    assert paths(2) == (a, b)


def test_workers_leave_the_end_of_a_run_to_the_training_process(data_root):
    loader = build_loader(unpaired(data_root), 1, 1)
    batches = iter(loader)
    next(batches)
    (worker,) = batches._workers
    os.kill(worker.pid, signal.SIGINT)
    assert take(loader, 1) and worker.is_alive()
    for _ in range(5):
        next(batches)
