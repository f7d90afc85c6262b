"""Ctrl-C and SIGTERM: noted, and obeyed when an iteration is whole."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

from ..words import counted


class Interrupted(Exception):
    """The run was asked to stop, finished its iteration and saved it.

    Args:
        number: The signal's.
        done: Iterations done.
    """

    def __init__(self, number: int, done: int):
        super().__init__(
            f"stopped by {signal.Signals(number).name} after {counted(done, 'iteration')}, saved"
        )
        self.exit_code = 128 + number


@contextlib.contextmanager
def signals_noted(note_first: Callable[[int], None], echo: float = 0.0) -> Iterator[None]:
    """Tell `note_first` about the first SIGINT or SIGTERM; a second one leaves at once.

    Args:
        note_first: Given the signal's number.
        echo: Seconds in which another signal counts as the same: torchrun passes on what a terminal
            has sent to all processes already.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread can handle signals.
        return
    noted: list[float] = []

    def note(number: int, frame: object) -> None:
        if not noted:
            noted.append(time.monotonic())
            note_first(number)
        elif time.monotonic() - noted[0] >= echo:
            os._exit(128 + number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, note) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def leave_workers_to_the_loader() -> None:
    """Let a dead loader worker be found where batches are fetched, and nowhere else.

    torch's handler of SIGCHLD would raise wherever the main thread is, in the middle of a step too.
    """
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
