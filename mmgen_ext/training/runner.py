"""The iteration runner: mmcv's, with our checkpoints and without waits for the device."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmcv.runner import RUNNERS, IterBasedRunner
from mmcv.runner.log_buffer import LogBuffer

from .. import __version__
from ..checkpoint import check_fit, keep_newest, read_checkpoint, write_checkpoint
from ..config import plain_data
from ..files import link_or_copy


class DeviceLogBuffer(LogBuffer):
    """Keeps losses as tensors on their device until a log line is due; one copy then moves all."""

    # Enough for any logger's interval; older values are dropped.
    max_history = 10_000

    def update(self, vars: dict, count: int = 1) -> None:
        """Add values: floats or scalar tensors."""
        for key, value in vars.items():
            for history, item in ((self.val_history, value), (self.n_history, count)):
                history.setdefault(key, deque(maxlen=self.max_history)).append(item)

    def average(self, n: int = 0) -> None:
        """Average the latest n values, or all for 0."""
        for key, history in self.val_history.items():
            waiting = [i for i, value in enumerate(history) if isinstance(value, torch.Tensor)]
            if waiting:
                values = torch.stack([history[i].float() for i in waiting]).tolist()
                for i, value in zip(waiting, values, strict=True):
                    history[i] = value
            values, counts = (list(h[key])[-n:] for h in (self.val_history, self.n_history))
            self.output[key] = float(np.average(values, weights=counts))
        self.ready = True


class Interrupted(Exception):
    """The run was asked to stop, finished its iteration and saved it.

    Args:
        number: The signal's.
        done: Iterations done.
    """

    def __init__(self, number: int, done: int):
        super().__init__(f"stopped by {signal.Signals(number).name} after {done} iterations, saved")
        self.exit_code = 128 + number


@RUNNERS.register_module()
class TranslationRunner(IterBasedRunner):
    """Runs `model.train_step` for `max_iters` iterations over an endless loader.

    Args:
        *args: mmcv's.
        config: Resolved config as plain data, for the checkpoints.
        **kwargs: mmcv's.
    """

    def __init__(self, *args, config: dict | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.config = config
        self.stop_signal: int | None = None
        self.log_buffer = DeviceLogBuffer()

    def train(self, data_loader, **kwargs) -> None:
        """Run one iteration; mmgen's models are told its number."""
        super().train(data_loader, running_status=dict(iteration=self.iter), **kwargs)
        if self.stop_signal is not None:
            self.save_checkpoint(self.work_dir, done=self.iter)
            raise Interrupted(self.stop_signal, self.iter)

    def run(self, *args, **kwargs) -> None:
        """Run to the end; SIGINT and SIGTERM finish the iteration, save and raise Interrupted.

        A second signal leaves at once.
        """
        with self._signals_noted():
            super().run(*args, **kwargs)

    @contextlib.contextmanager
    def _signals_noted(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # Only the main thread can handle signals.
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.getsignal(number) for number in numbers]

        def note(number: int, frame: object) -> None:
            self.stop_signal = number
            self.logger.info("stopping after this iteration; once more to leave at once")
            for n in numbers:
                signal.signal(n, signal.SIG_DFL)

        for number in numbers:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def save_checkpoint(
        self,
        out_dir: str,
        filename_tmpl: str = "iter_{}.pth",
        save_optimizer: bool = True,
        create_symlink: bool = True,
        done: int | None = None,
        keep: int = -1,
        **kwargs,
    ) -> None:
        """Write the run's whole state; a full disk is a warning, and older files stay whole.

        Args:
            out_dir: Folder.
            filename_tmpl: Name, with the iterations done.
            save_optimizer: Whether to write what resuming needs.
            create_symlink: Whether to keep `latest.pth` too (a hard link or copy).
            keep: How many checkpoints stay, -1 for all; older ones go after the new one
                is whole.
            done: Iterations done; None inside an iteration, where mmcv's hook calls.
            **kwargs: mmcv's; unused.

        Raises:
            OSError: If the last state of a run cannot be written.
        """
        done = self.iter + 1 if done is None else done
        path = Path(out_dir) / filename_tmpl.format(done)
        try:
            write_checkpoint(path, self.state(done, save_optimizer))
            if create_symlink:
                link_or_copy(path, path.with_name("latest.pth"))
            keep_newest(path.parent, keep)
        except OSError as error:
            # Training goes on; only a run whose last state is lost has failed.
            if done >= self.max_iters or self.stop_signal is not None:
                raise
            self.logger.warning(
                "checkpoint %s was not saved (%s); training goes on, older checkpoints are whole",
                path.name,
                error,
            )

    def state(self, done: int, with_optimizer: bool = True) -> dict:
        """Everything a checkpoint holds: tensors and plain Python types alone.

        Args:
            done: Iterations done.
            with_optimizer: Whether to include what only resuming needs.
        """
        model = self.model.module
        state = {
            "meta": {
                **plain_data(self.meta or {}),
                "iter": done,
                "epoch": 0,
                "time": time.asctime(),
                "mmgen_ext_version": __version__,
                "mmcv_version": mmcv.__version__,
                "torch_version": str(torch.__version__),
            },
            "state_dict": {k: v.detach().cpu() for k, v in model.state_dict().items()},
            "mmgen_ext": {"config": self.config},
        }
        if with_optimizer:
            state["optimizer"] = {k: o.state_dict() for k, o in self.optimizer.items()}
            pools = getattr(model, "pools", {})
            state["mmgen_ext"]["pools"] = {k: pool.state_dict() for k, pool in pools.items()}
            state["mmgen_ext"]["random"] = random_state()
        return state

    def resume(self, checkpoint: str, **kwargs) -> None:
        """Continue where a checkpoint was written: weights, optimizers, pools, random states.

        Args:
            checkpoint: File.
            **kwargs: mmcv's; unused.
        """
        content = read_checkpoint(checkpoint)
        missing = {"meta", "state_dict", "optimizer"} - set(content)
        if missing:
            raise ValueError(
                f"checkpoint {checkpoint} cannot be resumed: it holds no {', '.join(missing)}. "
                f"Start from its weights with --cfg-options load_from={checkpoint}"
            )
        model = self.model.module
        check_fit(model, content["state_dict"], checkpoint)
        model.load_state_dict(content["state_dict"])
        for name, optimizer in self.optimizer.items():
            optimizer.load_state_dict(content["optimizer"][name])
        ours = content.get("mmgen_ext", {})
        for name, pool in getattr(model, "pools", {}).items():
            if name in ours.get("pools", {}):
                pool.load_state_dict(ours["pools"][name], self.model.device)
        if "random" in ours:
            set_random_state(ours["random"])
        self._iter = self._inner_iter = content["meta"]["iter"]
        self.logger.info("resumed from %s after %d iterations", checkpoint, self.iter)


def random_state() -> dict:
    """The states of the global generators of Python, NumPy and torch as plain data."""
    name, keys, *rest = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict) -> None:
    """Restore what random_state returned; states of devices that are not here are left out."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
