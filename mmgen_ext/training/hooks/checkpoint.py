"""When checkpoints are written."""

from mmcv.runner import Hook


class SaveHook(Hook):
    """What `checkpoint_config` builds: mmcv's arguments, on every rank.

    Args:
        interval: Iterations between two checkpoints; the last iteration is saved too.
        max_keep_ckpts: How many stay, -1 for all.
        save_optimizer: Whether they can be resumed.
        save_last: Whether the last iteration is saved whatever the interval.
        by_epoch: mmcv's; iterations count here.
        out_dir: mmcv's; checkpoints lie in the run directory.
    """

    def __init__(
        self,
        interval: int = -1,
        max_keep_ckpts: int = -1,
        save_optimizer: bool = True,
        save_last: bool = True,
        by_epoch: bool = False,
        out_dir: str | None = None,
    ):
        self.interval, self.save_last = interval, save_last
        self.options = dict(keep=max_keep_ckpts, save_optimizer=save_optimizer)

    def after_train_iter(self, runner) -> None:
        """Save if it is time."""
        if self.every_n_iters(runner, self.interval) or (
            self.save_last and self.is_last_iter(runner)
        ):
            runner.logger.info("Saving checkpoint at %d iterations", runner.iter + 1)
            runner.save(runner.iter + 1, **self.options)
