"""Keeps a run's report up to date while it goes on."""

from __future__ import annotations

import time

from mmcv.runner import HOOKS, Hook
from mmcv.runner.dist_utils import master_only

from ..report import write_report


@HOOKS.register_module()
class ReportHook(Hook):
    """Writes `<work_dir>/report.html` at the start, every so often and at the end of a run.

    Register it after the loggers (priority='VERY_LOW'). It takes less than a hundredth of the time.

    Args:
        interval: Write only at multiples of this many iterations; None for any.
        min_seconds: Between two reports.
    """

    retry_seconds = 300.0  # after one that could not be written

    def __init__(self, interval: int | None = None, min_seconds: float = 30.0):
        self.interval, self.min_seconds = interval, min_seconds
        self.due = 0.0

    @master_only
    def before_run(self, runner) -> None:
        """Write what is known before the first iteration."""
        self._write(runner, runner.iter, "running")

    @master_only
    def after_train_iter(self, runner) -> None:
        """Write if it is time, or if a signal has asked the run to stop."""
        if getattr(runner, "stop_signal", 0):
            self._write(runner, runner.iter + 1, "stopped")
        elif (
            time.monotonic() >= self.due
            and (self.interval is None or self.every_n_iters(runner, self.interval))
            and not self.is_last_iter(runner)
        ):
            self._write(runner, runner.iter + 1, "running")

    @master_only
    def after_run(self, runner) -> None:
        """Write the last one."""
        self._write(
            runner, runner.iter, "finished" if runner.iter >= runner.max_iters else "stopped"
        )

    def _write(self, runner, iteration: int, state: str) -> None:
        start, pause = time.monotonic(), self.min_seconds
        meta = runner.meta or {}
        config, environment = meta.get("config", ""), meta.get("env_info", "")
        try:
            write_report(runner.work_dir, config, environment, iteration, runner.max_iters, state)
        except Exception as error:  # A full disk, a strange record: never worth a run of days.
            name, text = type(error).__name__, str(error)
            runner.logger.warning(
                "report.html was not written (%s: %s); training goes on", name, text
            )
            pause = max(pause, self.retry_seconds)
        now = time.monotonic()
        self.due = now + max(pause, 100 * (now - start))
