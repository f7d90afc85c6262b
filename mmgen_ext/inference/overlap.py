"""Reading, network and writing at the same time: threads with bounded queues between them."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_END = object()
_TICK = 0.2  # Seconds after which a waiting thread looks whether it is still needed.


class Ahead(Generic[T]):
    """An iterator whose items are made by another thread, a few ahead; a context manager.

    Args:
        items: What to iterate over. An error in it is raised where its item would come.
        size: How many items may wait.
    """

    def __init__(self, items: Iterable[T], size: int):
        self._items, self._error = items, None
        self._queue: queue.Queue = queue.Queue(size)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Ahead[T]:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while (item := self._queue.get()) is not _END:
            yield item
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except Exception as error:
            self._error = error
        self._put(_END)

    def _put(self, item: object) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_TICK)
                return True
            except queue.Full:
                continue
        return False


class Behind(Generic[T]):
    """A thread that uses up items in their order; a context manager that waits for all of them.

    Args:
        use: Called with each item. Its error is raised by a later `put`, or on leaving.
        size: How many items may wait.
    """

    def __init__(self, use: Callable[[T], None], size: int):
        self._use, self._error = use, None
        self._queue: queue.Queue = queue.Queue(size)
        self._idle = threading.Event()  # Items are dropped, so that nobody waits for room.
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Behind[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, *exc: object) -> None:
        if kind is not None:
            self._idle.set()
        self._queue.put(_END)
        self._thread.join()
        if kind is None and self._error:
            raise self._error

    def put(self, item: T) -> None:
        """Hand over an item; waits while too many wait already."""
        if self._error:
            raise self._error
        self._queue.put(item)

    def _run(self) -> None:
        while (item := self._queue.get()) is not _END:
            if self._idle.is_set():
                continue
            try:
                self._use(item)
            except Exception as error:
                self._error = error
                self._idle.set()


class Interrupts:
    """Ctrl-C and SIGTERM while a file is written: noted, so that it can be completed first.

    A context manager. Outside of the main thread, which alone can handle signals, it does nothing.

    Attributes:
        asked: Whether there was one.
    """

    def __init__(self):
        self.asked, self._raises = False, False

    def __enter__(self) -> Interrupts:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, function: Callable[..., T], *args: object) -> T | None:
        """What a function returns, or None if it was interrupted: it alone is broken off."""
        try:
            try:
                self._raises = True
                return None if self.asked else function(*args)
            finally:
                self._raises = False
        except KeyboardInterrupt:
            self.asked = True
            return None

    def _note(self, number: int, frame: object) -> None:
        self.asked = True
        if self._raises:
            self._raises = False
            raise KeyboardInterrupt
