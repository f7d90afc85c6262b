"""Losses between two log lines."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from mmcv.runner.log_buffer import LogBuffer

from . import distributed


class DeviceLogBuffer(LogBuffer):
    """Keeps losses as tensors on their device until a log line is due; one copy then moves all."""

    # Enough for any logger's interval; older values are dropped.
    max_history = 10_000

    def __init__(self):
        super().__init__()
        self.latest: dict[str, float] = {}  # What the last log line said.

    def update(self, vars: dict, count: int = 1) -> None:
        """Add values: floats or scalar tensors."""
        for key, value in vars.items():
            for history, item in ((self.val_history, value), (self.n_history, count)):
                history.setdefault(key, deque(maxlen=self.max_history)).append(item)

    def _to_host(self) -> None:
        for history in self.val_history.values():
            waiting = [i for i, value in enumerate(history) if isinstance(value, torch.Tensor)]
            if waiting:
                values = torch.stack([history[i].float() for i in waiting]).tolist()
                for i, value in zip(waiting, values, strict=True):
                    history[i] = value

    def average(self, n: int = 0) -> None:
        """Average the latest n values, or all for 0, over all processes."""
        self._to_host()
        for key in self.val_history:
            values, counts = (list(h[key])[-n:] for h in (self.val_history, self.n_history))
            self.output[key] = float(np.average(values, weights=counts))
        self.output.update(distributed.mean({key: self.output[key] for key in self.val_history}))
        self.latest = dict(self.output)
        self.ready = True

    def state_dict(self) -> dict:
        """The values that later lines may average, as plain data."""
        self._to_host()
        pairs = zip(self.val_history.items(), self.n_history.values(), strict=True)
        return {key: [list(values), list(counts)] for (key, values), counts in pairs}

    def load_state_dict(self, state: dict) -> None:
        """Continue from what state_dict returned."""
        self.clear()
        for key, columns in state.items():
            for history, column in zip((self.val_history, self.n_history), columns, strict=True):
                history[key] = deque(column, maxlen=self.max_history)
