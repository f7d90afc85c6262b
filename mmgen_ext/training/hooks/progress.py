"""A progress bar on a terminal, above which the log lines scroll."""

import contextlib
import sys
import time
from datetime import timedelta

from mmcv.runner import HOOKS, Hook
from mmcv.runner.dist_utils import master_only
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

SMALL = "configs/cyclegan/cyclegan_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py"


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows iterations, their rate, the time left, the share of waiting for data, and losses.

    The losses are the means of the last log line: reading newer ones would wait for the device.
    Nothing is shown where output goes to a file.
    """

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.bar = None
        self.begin = 0.0

    @master_only
    def before_run(self, runner) -> None:
        """Open the bar; a run that goes back to a checkpoint comes here again."""
        self.after_run(runner)
        if sys.stderr.isatty():
            self.stack.enter_context(logging_redirect_tqdm([runner.logger]))
            bar = tqdm(total=runner.max_iters, initial=runner.iter, unit="iter", leave=False)
            self.bar = self.stack.enter_context(bar)

    def before_train_iter(self, runner) -> None:
        """After two iterations say how long all will take: the first log line may be far."""
        if runner.inner_iter == 1:
            self.begin = time.monotonic()
        elif runner.inner_iter == 2 and runner.rank == 0:
            seconds = time.monotonic() - self.begin
            whole = timedelta(seconds=round(seconds * (runner.max_iters - runner.iter)))
            runner.logger.info("an iteration takes %.1f s: about %s to the end", seconds, whole)
            if whole > timedelta(days=2) and runner.model.device.type == "cpu":
                runner.logger.warning(
                    "without a GPU that is long; a small config: %s, or of your own data "
                    "prepare_data.py own A_DIR B_DIR OUT --small",
                    SMALL,
                )

    def after_train_iter(self, runner) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.set_postfix_str(_short(runner.log_buffer.latest), refresh=False)
            self.bar.update()

    def after_run(self, runner) -> None:
        """Close the bar."""
        self.stack.close()
        self.bar = None


def _short(means: dict[str, float]) -> str:
    """Waiting and losses in a few words."""
    words = {"cycle_loss": "cycle", "nce_loss": "patches", "id_loss": "identity", "loss": "total"}
    sums = {"G": "loss_gan_g", "D": "loss_gan_d"}
    shown = {name: sum(v for k, v in means.items() if k.startswith(p)) for name, p in sums.items()}
    shown = {name: total for name, total in shown.items() if total}
    shown |= {short: means[name] for name, short in words.items() if name in means}
    parts = [f"{name} {value:.3g}" for name, value in shown.items()]
    if means.get("time"):
        parts.insert(0, f"data wait {means.get('data_time', 0) / means['time']:.0%}")
    return ", ".join(parts)
