"""Numbering of samples: order, pairing and seeds as a pure function of (seed, sample number).

Sample n is the same for any number of loader workers, any number of ranks and from any resume
point, because nothing here has a state.
"""

from __future__ import annotations

import contextlib
import functools
import random
import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

# Philox counters are four words. The last names what is drawn, so that no two draws share a stream.
_PERMUTATION, _SAMPLE = 0, 1


def _generator(seed: int, kind: int, stream: int, number: int) -> np.random.Generator:
    counter = np.array([0, number, stream, kind], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=seed, counter=counter))


@functools.lru_cache(maxsize=8)
def _permutation(seed: int, stream: int, pass_number: int, length: int) -> np.ndarray:
    return _generator(seed, _PERMUTATION, stream, pass_number).permutation(length)


def permuted_index(seed: int, stream: int, sample: int, length: int) -> int:
    """Index of the item that sample number `sample` takes from `length` items.

    Every pass of `length` samples is a permutation of its own: each item exactly once.

    Args:
        seed: The run's seed.
        stream: Which folder: 0 for domain A, 1 for domain B.
        sample: Sample number, from 0.
        length: Items in the folder.
    """
    pass_number, position = divmod(sample, length)
    return int(_permutation(seed, stream, pass_number, length)[position])


def sample_generator(seed: int, sample: int) -> np.random.Generator:
    """The random numbers of one sample: its crops, flips and jitters."""
    return _generator(seed, _SAMPLE, 0, sample)


@contextlib.contextmanager
def seeded_globals(rng: np.random.Generator) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators from `rng`; restore them on leaving.

    Transforms of mmgen, mmcv and others draw from these: inside, their draws belong to the sample.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    word = int(rng.integers(2**32))
    random.seed(word)
    np.random.seed(word)
    torch.manual_seed(word)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class StreamSampler(Sampler):
    """Endless batches of sample numbers for one rank.

    Iteration i takes the samples [i * W * b, (i + 1) * W * b) for world size W and batch b. This
    rank has its b of them in order: W ranks take what one process takes with batch W * b.

    Args:
        batch_size: Samples per rank and iteration.
        start_iter: First iteration, for resuming.
        rank: This process.
        world_size: How many there are.
    """

    def __init__(self, batch_size: int, start_iter: int = 0, rank: int = 0, world_size: int = 1):
        if batch_size < 1:
            raise ValueError(f"samples_per_gpu={batch_size}; expected at least 1")
        self.batch_size, self.start_iter = batch_size, start_iter
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[list[int]]:
        """Yield lists of `batch_size` sample numbers, without end."""
        start = (self.start_iter * self.world_size + self.rank) * self.batch_size
        while True:
            yield list(range(start, start + self.batch_size))
            start += self.world_size * self.batch_size

    def __len__(self) -> int:
        """Endless; a number because mmcv's hooks compare with it."""
        return sys.maxsize
