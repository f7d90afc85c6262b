"""Progress with rate and remaining time: many times a second to a terminal, seldom to a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm


def progress(items: Iterable | None, title: str, total: int | None, **options: object) -> tqdm:
    """A bar on standard error that yields `items`; see tqdm for the options."""
    interval = 0.1 if sys.stderr.isatty() else 10
    return tqdm(items, title, total, mininterval=interval, **options)


def in_threads(work: Callable, items: Sequence, title: str) -> Iterator:
    """Yield work(item) for each item in order, many at a time, under a progress bar.

    Whoever stops halfway waits for no more than what is being worked on.
    """
    quiet = len(items) < 500 and not sys.stderr.isatty()
    bar = dict(disable=quiet, unit="image", leave=False)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield from progress(pool.map(work, items), title, len(items), **bar)
    finally:
        pool.shutdown(cancel_futures=True)
