"""A progress bar on a terminal, above which the log lines scroll."""

import contextlib
import sys

from mmcv.runner import HOOKS, Hook
from mmcv.runner.dist_utils import master_only
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows iterations, their rate and the time left; nothing where output goes to a file."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.bar = None

    @master_only
    def before_run(self, runner) -> None:
        """Open the bar; a run that goes back to a checkpoint comes here again."""
        self.after_run(runner)
        if sys.stderr.isatty():
            self.stack.enter_context(logging_redirect_tqdm([runner.logger]))
            bar = tqdm(total=runner.max_iters, initial=runner.iter, unit="iter", leave=False)
            self.bar = self.stack.enter_context(bar)

    def after_train_iter(self, runner) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update()

    def after_run(self, runner) -> None:
        """Close the bar."""
        self.stack.close()
        self.bar = None
