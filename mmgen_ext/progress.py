"""Progress with rate and remaining time: many times a second to a terminal, seldom to a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tqdm import tqdm


def progress(items: Iterable | None, title: str, total: int | None, **options: object) -> tqdm:
    """A bar on standard error that yields `items`; see tqdm for the options."""
    interval = 0.1 if sys.stderr.isatty() else 10
    return tqdm(items, title, total, mininterval=interval, **options)
