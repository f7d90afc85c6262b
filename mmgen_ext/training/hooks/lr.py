"""Learning rate of the paper, without literals of the schedule's length."""

from mmcv.runner import HOOKS, LrUpdaterHook


@HOOKS.register_module()
class ConstantThenLinearLrUpdaterHook(LrUpdaterHook):
    """Constant, then falling linearly to `target_lr` at the end (`policy='ConstantThenLinear'`).

    Args:
        decay_from: Fraction of all iterations after which it falls; the paper's code takes half.
        target_lr: Where it would arrive after the last iteration.
        **kwargs: mmcv's, such as `warmup` and `warmup_iters`.
    """

    def __init__(self, decay_from: float = 0.5, target_lr: float = 0.0, **kwargs):
        if not 0 <= decay_from <= 1:
            raise ValueError(f"decay_from={decay_from} is no fraction between 0 and 1")
        self.decay_from, self.target_lr = decay_from, target_lr
        super().__init__(**kwargs)

    def get_lr(self, runner, base_lr: float) -> float:
        """Return the learning rate of the runner's current iteration."""
        start = self.decay_from * runner.max_iters
        if runner.iter <= start:
            return base_lr
        share = (runner.iter - start) / (runner.max_iters - start)
        return base_lr + (self.target_lr - base_lr) * share
