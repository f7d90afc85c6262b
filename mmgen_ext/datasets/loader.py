"""The loader: from a data set, ours or mmgen's, to an endless stream of batches."""

from __future__ import annotations

import functools
import signal
import warnings

import cv2
import torch
from mmcv.parallel import collate
from mmgen.datasets import UnpairedImageDataset as MmgenUnpairedImageDataset
from torch.utils.data import DataLoader, Dataset, default_collate

from .stream import StreamSampler, permuted_index, sample_generator, seeded_globals
from .unpaired import UnpairedImageDataset


class Stream(Dataset):
    """mmgen's data sets numbered by sample: their order and their draws as a function of (seed, n).

    mmgen draws domain B at random, from worker seeds that are the same in every epoch: over a third
    of it is never seen. Here both domains go through permutations of their own.

    Args:
        dataset: A data set of mmgen's, or any that is indexed by number.
        seed: Of the stream.
    """

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        """Items in the data set."""
        return len(self.dataset)

    def __getitem__(self, sample: int) -> dict:
        """Return sample number `sample` of the endless stream."""
        dataset = self.dataset
        with seeded_globals(sample_generator(self.seed, sample)):
            if not isinstance(dataset, MmgenUnpairedImageDataset) or dataset.test_mode:
                return dataset[permuted_index(self.seed, 0, sample, len(dataset))]
            a = permuted_index(self.seed, 0, sample, dataset.len_a)
            b = permuted_index(self.seed, 1, sample, dataset.len_b)
            return dataset.pipeline(
                {
                    f"img_{dataset.domain_a}_path": dataset.data_infos_a[a]["path"],
                    f"img_{dataset.domain_b}_path": dataset.data_infos_b[b]["path"],
                }
            )


def _start_worker(worker_id: int) -> None:
    # Workers are parallel to each other already; OpenCV's own threads would only get in their way.
    cv2.setNumThreads(0)
    # Ctrl-C reaches every process of a terminal; the training process decides when to end. SIGTERM
    # stays: it is how Python ends workers that are left over when it exits.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def build_loader(
    dataset: Dataset,
    samples_per_gpu: int = 1,
    workers_per_gpu: int = 2,
    seed: int = 0,
    start_iter: int = 0,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> DataLoader:
    """Build a loader that never ends and whose batches depend on seed and iteration alone.

    Args:
        dataset: Ours or mmgen's.
        samples_per_gpu: Batch size of this process.
        workers_per_gpu: Loader processes of this process; 0 loads in the training process.
        seed: Of the stream.
        start_iter: First iteration.
        rank: This process.
        world_size: How many there are.
        pin_memory: Page-locked batches, for asynchronous copies to a GPU.
    """
    # Workers wait for files: more than there are cores do no harm.
    warnings.filterwarnings("ignore", "This DataLoader will create")
    collate_fn = default_collate
    if not isinstance(dataset, UnpairedImageDataset):
        dataset = Stream(dataset, seed)
        # mmgen's pipelines end in mmcv's DataContainers.
        collate_fn = functools.partial(collate, samples_per_gpu=samples_per_gpu)
    return DataLoader(
        dataset,
        batch_sampler=StreamSampler(samples_per_gpu, start_iter, rank, world_size),
        num_workers=workers_per_gpu,
        collate_fn=collate_fn,
        worker_init_fn=_start_worker,
        pin_memory=pin_memory,
        # The loader draws a number when it starts: not from the stream that dropout draws from,
        # which a resumed run continues.
        generator=torch.Generator(),
    )
