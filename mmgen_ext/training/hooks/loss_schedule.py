"""Weights of losses that change in the course of a run."""

from __future__ import annotations

from collections.abc import Mapping

from mmcv.runner import HOOKS, Hook


@HOOKS.register_module()
class LossScheduleHook(Hook):
    """Changes weights of the model's losses linearly with the iterations.

    A weight is the model's until `start`, goes linearly `to` another one, and has it from `end` on.
    It is a function of the iteration, so that a resumed run goes on with it.

    Args:
        **weights: By the weight's name in the model `dict(to=0.0, start=0.0, end=1.0)`; start and
            end are fractions of `total_iters`.
    """

    def __init__(self, **weights: Mapping[str, float]):
        self.ramps = {name: read_ramp(name, ramp) for name, ramp in weights.items()}
        self.first: dict[str, float] = {}

    def before_run(self, runner) -> None:
        """Note the weights to begin with; not again when a run goes back to a checkpoint."""
        model = runner.model.module
        known = getattr(model, "scheduled_weights", {})
        for name, (to, start, end) in self.ramps.items():
            if name not in known:
                raise ValueError(
                    f"loss_schedule: {type(model).__name__} has no weight {name!r} that can "
                    f"change; expected one of {', '.join(known) or 'none: take mmgen_ext.CycleGAN'}"
                )
            first = self.first.setdefault(name, getattr(model, name))
            places = (round(part * runner.max_iters) for part in (start, end))
            runner.logger.info("%s goes from %g to %g, iterations %d to %d",
                               name, first, to, *places)  # fmt: skip

    def before_train_iter(self, runner) -> None:
        """Set the weights of this iteration."""
        model, buffer = runner.model.module, runner.log_buffer
        for name, ramp in self.ramps.items():
            weight = on_ramp(self.first[name], *ramp, runner.iter / runner.max_iters)
            setattr(model, name, weight)
            if not weight:  # A loss that is not computed any more is not logged any more.
                for history in (buffer.val_history, buffer.n_history):
                    history.pop(model.scheduled_weights[name], None)


def on_ramp(first: float, to: float, start: float, end: float, progress: float) -> float:
    """The weight when a fraction of the run is done."""
    if progress <= start or progress >= end:
        return to if progress >= end else first
    return first + (to - first) * (progress - start) / (end - start)


def read_ramp(name: str, ramp: object) -> tuple[float, float, float]:
    """(to, start, end) of a weight's entry.

    Raises:
        ValueError: If it is none.
    """
    default = dict(to=0.0, start=0.0, end=1.0)
    known = isinstance(ramp, Mapping) and set(ramp) <= set(default)
    values = tuple({**default, **ramp}.values()) if known else ()
    if not (all(isinstance(value, (int, float)) for value in values) and values):
        raise ValueError(f"loss_schedule.{name}={ramp!r}; expected numbers, as {default}")
    to, start, end = values
    if to < 0 or not 0 <= start <= end <= 1:
        raise ValueError(
            f"loss_schedule.{name}={dict(ramp)}; expected to >= 0 and 0 <= start <= end <= 1, "
            f"fractions of the run"
        )
    return values
