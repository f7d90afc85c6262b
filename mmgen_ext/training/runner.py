"""The iteration runner: mmcv's, with our checkpoints, and a sentence for what can go wrong."""

from __future__ import annotations

import errno
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mmcv.runner import RUNNERS, IterBasedRunner, IterTimerHook
from torch import nn

from ..checkpoint import (
    averages_in,
    check_fit,
    check_resumable,
    keep_newest,
    newest_whole,
    read_checkpoint,
    without_averages,
    write_checkpoint,
    write_pointer,
)
from ..config import plain_data
from ..files import link_or_copy
from ..words import counted
from . import distributed, state
from .faults import describe_memory, file_names, is_out_of_memory, save_batch
from .hooks.checkpoint import SaveHook
from .log_buffer import DeviceLogBuffer
from .signals import Interrupted, leave_workers_to_the_loader, signals_noted
from .synchronize import check_equal
from .update import NotFinite, Update


class Diverged(Exception):
    """Too many steps in a row were not finite."""


@RUNNERS.register_module()
class TranslationRunner(IterBasedRunner):
    """Runs `model.train_step` for `max_iters` iterations over an endless loader.

    Args:
        *args: mmcv's.
        config: Resolved config as plain data, for the checkpoints.
        make_loader: Builds the loader from its first iteration and, if given, its workers.
        accumulate_iters: Batches of the loader that make one step together.
        max_bad_steps: Steps in a row that may be not finite before the run goes back to its last
            checkpoint; 0 does not look, and waits for no device.
        grad_clip: See Update.
        **kwargs: mmcv's.
    """

    def __init__(
        self,
        *args,
        config: dict | None = None,
        make_loader: Callable[..., Iterable] | None = None,
        accumulate_iters: int = 1,
        max_bad_steps: int = 10,
        grad_clip: dict | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.config, self.make_loader = config, make_loader
        self.accumulate_iters, self.max_bad_steps = accumulate_iters, max_bad_steps
        self.stop_signal = 0
        self.bad_steps, self.rolled_back = 0, False
        self.last_saved = 0
        self.earlier_losses: dict | None = None
        # GeneratorEMAHook's: averaged generators, the steps in them, what a checkpoint held.
        self.averages: nn.ModuleDict | None = None
        self.average_updates = 0
        self.restored_averages: tuple[dict, int] = ({}, 0)
        self.log_buffer = DeviceLogBuffer()
        scaled = getattr(self.model.module, "loss_scale", None) is not None
        update = Update(grad_clip, check=max_bad_steps > 0 or scaled)
        # Ours steps all optimizers together; mmgen's models step theirs by themselves.
        self.step_options = {}
        if type(self.model.module).__module__.startswith("mmgen_ext."):
            self.step_options["step"] = update
        else:
            for optimizer in self.optimizer.values():
                update.guard(optimizer)

    def register_checkpoint_hook(self, checkpoint_config: dict | None) -> None:
        """Register ours, which every rank takes part in.

        It comes last: what an iteration logs and draws is there before it counts as done.
        """
        if checkpoint_config is not None:
            self.register_hook(SaveHook(**checkpoint_config), priority="LOWEST")

    def call_hook(self, fn_name: str) -> None:
        """Call all hooks; what cannot be written because the disk is full is a warning."""
        for hook in self._hooks:
            try:
                getattr(hook, fn_name)(self)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
                    raise
                name = type(hook).__name__
                self.logger.warning("%s could not write (%s); training goes on", name, error)
                self.log_buffer.clear_output()  # or the next iteration would be logged, too

    def run(self, *args, **kwargs) -> None:
        """Run to the end; SIGINT and SIGTERM finish the iteration, save and raise Interrupted.

        A second signal leaves at once. After too many steps that are not finite, the run goes on
        from its last checkpoint with half the learning rate, once.

        Raises:
            ValueError: If it cannot go on: a sentence that says why.
        """
        with signals_noted(self._note_signal, 3.0 if distributed.world_size() > 1 else 0.0):
            while True:
                try:
                    return super().run([self.make_loader(self.iter)], [("train", 1)])
                except Diverged as fault:
                    self._roll_back(fault)
                except Interrupted:
                    self.call_hook("after_run")  # Reports and curves are brought to their end.
                    raise

    def _note_signal(self, number: int) -> None:
        self.stop_signal = number
        self.logger.info("stopping after this iteration; once more to leave at once")

    def train(self, data_loader: Iterator, **kwargs) -> None:
        """Run one iteration."""
        if self.earlier_losses is not None:  # Not sooner: mmcv's loggers clear them at the start.
            self.log_buffer.load_state_dict(self.earlier_losses)
            self.earlier_losses = None
        self.model.train()
        self.mode, self.data_loader, self._epoch = "train", data_loader, 0
        self.data_batch = batches = self._fetch(data_loader)
        self.call_hook("before_train_iter")
        self.outputs = self._step(batches)
        self.call_hook("after_train_iter")
        self._restart_clock()
        del self.data_batch
        self._inner_iter += 1
        self._iter += 1
        number = distributed.largest(self.stop_signal)
        if number:
            self.stop_signal = number
            self.save(self.iter)
            raise Interrupted(number, self.iter)

    def _restart_clock(self) -> None:
        """Let no one take the time of pictures, metrics and checkpoints for waiting for data."""
        for hook in self._hooks:
            if isinstance(hook, IterTimerHook):
                hook.t = time.time()

    def _fetch(self, data_loader: Iterator) -> list[dict]:
        """The batches of one step."""
        leave_workers_to_the_loader()
        try:
            return [next(data_loader) for _ in range(self.accumulate_iters)]
        except Exception as error:
            if self.stop_signal:  # What stopped the run has stopped its workers as well.
                loader = iter(self.make_loader(self.iter, workers=0))
                return [next(loader) for _ in range(self.accumulate_iters)]
            self._save_before_leaving()
            dead = re.search(r"worker \(pid\(?s?\)? ([\d, ]+)\)", str(error))
            if not dead:
                raise
            raise ValueError(
                f"loader worker {dead[1]} was killed, perhaps because memory ran out, after "
                f"{counted(self.iter, 'iteration')}. Go on with --resume auto; fewer take less "
                f"memory: --cfg-options data.workers_per_gpu=1"
            ) from error

    def _save_before_leaving(self) -> None:
        """Save what is done, if no other process has to take part in it."""
        if distributed.world_size() == 1 and self.iter > self.last_saved:
            self.save(self.iter)

    def _step(self, batches: list[dict]) -> dict:
        """Call train_step and note its losses, or that it was not taken."""
        status = dict(iteration=self.iter)  # mmgen's models want to know
        pools = state.image_pools(self.model.module)
        before = {} if self.step_options else {k: pool.copy() for k, pool in pools.items()}
        try:
            outputs = self.model.train_step(
                batches, self.optimizer, running_status=status, **self.step_options
            )
        except NotFinite:
            pools.update(before)
            outputs = dict(log_vars={}, num_samples=0, applied=False, results={})
        except Exception as error:
            if is_out_of_memory(error):
                raise ValueError(describe_memory(error, self.model.device, self.iter)) from error
            raise
        if outputs.get("applied", True):
            self.bad_steps = 0
            self.log_buffer.update(outputs["log_vars"], outputs["num_samples"])
        elif not outputs.get("rescaled"):  # float16 overflows now and then
            self._note_bad_step(batches, outputs["log_vars"])
        return outputs

    def _note_bad_step(self, batches: list[dict], losses: dict) -> None:
        self.bad_steps += 1
        found = {name: float(value) for name, value in losses.items()}
        bad = {k: v for k, v in found.items() if not math.isfinite(v)}
        values = ", ".join(f"{k}={v:g}" for k, v in (bad or found).items()) or "gradients"
        files = [name for names in distributed.all_objects(file_names(batches)) for name in names]
        where = ", ".join(files) or "its batch"
        text = f"iteration {self.iter + 1}: not finite ({values}), on {where}"
        self.logger.warning("%s. The step is not taken, the %d. in a row", text, self.bad_steps)
        if self.bad_steps >= self.max_bad_steps:
            name = f"iter_{self.iter + 1}_rank_{distributed.rank()}.pth"
            path = save_batch(Path(self.work_dir, "bad_batches", name), batches, self.iter + 1)
            raise Diverged(
                f"{self.bad_steps} steps in a row were not taken. The last was {text}. "
                f"The batch lies in {path}"
            )

    def _roll_back(self, fault: Diverged) -> None:
        """Restore the last checkpoint with half the learning rate.

        Raises:
            ValueError: If that was done already, or there is none.
        """
        if self.rolled_back:
            raise ValueError(
                f"{fault}. Going back with half the learning rate has not helped. Look at the "
                f"batch; lower optimizer.generators.lr and optimizer.discriminators.lr, or set "
                f"--cfg-options grad_clip.max_norm=10"
            ) from fault
        found = distributed.on_main(lambda: newest_whole(self.work_dir, self.logger.warning))
        if found is None:
            raise ValueError(f"{fault}. There is no checkpoint yet to go back to") from fault
        self.logger.warning("%s", fault)
        self.restore(found[1], found[0])
        self.rolled_back, self.bad_steps = True, 0
        for optimizer in self.optimizer.values():
            for group in optimizer.param_groups:
                group["initial_lr"] = group.get("initial_lr", group["lr"]) / 2
                group["lr"] /= 2
        rates = {k: o.param_groups[0]["initial_lr"] for k, o in self.optimizer.items()}
        self.logger.warning("going on from %s with half the learning rate: %s", found[0], rates)

    def save(self, done: int, keep: int = -1, save_optimizer: bool = True) -> None:
        """Write the run's whole state; a full disk is a warning, and older files stay whole.

        All ranks take part.

        Args:
            done: Iterations done.
            keep: How many checkpoints stay, -1 for all; older ones go after the new one
                is whole.
            save_optimizer: Whether to write what resuming needs.

        Raises:
            OSError: If the last state of a run cannot be written.
            ValueError: If the networks of the ranks are not equal, or the last state not finite.
        """
        check_equal(self.model.module)
        if not all(bool(p.isfinite().all()) for p in self.model.module.parameters()):
            text = (
                f"the weights after {counted(done, 'iteration')} are not finite: they are not saved"
            )
            if done >= self.max_iters or self.stop_signal:
                raise ValueError(text)
            self.logger.warning(text)
            return
        content = self.state(done, save_optimizer)
        distributed.on_main(lambda: self._write(content, done, keep))

    def _write(self, content: dict, done: int, keep: int) -> None:
        path = Path(self.work_dir, f"iter_{done}.pth")
        try:
            write_checkpoint(path, content)
            self.last_saved = done
            write_pointer(path)
            link_or_copy(path, path.with_name("latest.pth"))
            keep_newest(path.parent, keep, done)
        except OSError as error:
            # Training goes on; only a run whose last state is lost has failed.
            if done >= self.max_iters or self.stop_signal:
                raise OSError(f"checkpoint {path.name} was not saved ({error})") from error
            self.logger.warning(
                "checkpoint %s was not saved (%s); training goes on, older checkpoints are whole",
                path.name,
                error,
            )

    def save_checkpoint(self, out_dir: str, filename_tmpl: str = "best_{}.pth", **kwargs) -> None:
        """Write the weights: what mmcv's and mmgen's hooks call inside an iteration, on rank 0.

        Args:
            out_dir: Folder.
            filename_tmpl: Name, with the iterations done.
            **kwargs: mmcv's; unused.
        """
        done = self.iter + 1
        meta = {**(self.meta or {}), "iter": done}
        ours = dict(config=self.config)
        content = state.collect(self.model.module, {}, meta, ours, self.averages)
        try:
            write_checkpoint(Path(out_dir, filename_tmpl.format(done)), content)
        except OSError as error:
            self.logger.warning("not saved (%s); training goes on", error)

    def state(self, done: int, with_optimizer: bool = True) -> dict:
        """Everything a checkpoint holds; all ranks take part."""
        own = dict(
            random=state.random_state(self.model.device), losses=self.log_buffer.state_dict()
        )
        ranks = distributed.all_objects(own)
        ours = dict(config=self.config, rolled_back=self.rolled_back)
        if self.averages is not None:
            ours["average_updates"] = self.average_updates
        # mmcv's evaluation hooks keep the best score there.
        ours["best"] = plain_data((self.meta or {}).get("hook_msgs", {}))
        if with_optimizer:
            for key in own:
                ours[key] = [each[key] for each in ranks]
        optimizers = self.optimizer if with_optimizer else {}
        meta = {**(self.meta or {}), "iter": done}
        return state.collect(self.model.module, optimizers, meta, ours, self.averages)

    def resume(self, checkpoint: str, **kwargs) -> None:
        """Continue where a checkpoint was written.

        Args:
            checkpoint: File.
            **kwargs: mmcv's; unused.
        """
        content = distributed.on_main(lambda: read_checkpoint(checkpoint))
        self.restore(content, checkpoint)

    def restore(self, content: dict, name: str | os.PathLike) -> None:
        """Continue from the content of a checkpoint: all that it holds.

        Raises:
            ValueError: If it lacks something, or does not fit the config.
        """
        check_resumable(content, name)
        check_fit(self.model.module, without_averages(content["state_dict"]), str(name))
        try:
            self._restore(content)
            if self.earlier_losses is not None:
                DeviceLogBuffer().load_state_dict(self.earlier_losses)
        except Exception as error:  # A content of other types fails in every way.
            raise ValueError(
                f"checkpoint {name} cannot be resumed: its state does not fit the config "
                f"({type(error).__name__}: {error})"
            ) from error
        self.logger.info("resumed from %s after %s", name, counted(self.iter, "iteration"))

    def _restore(self, content: dict) -> None:
        device, rank = self.model.device, distributed.rank()
        state.restore(content, self.model.module, self.optimizer, device)
        ours = content.get("mmgen_ext", {})
        if rank < len(ours.get("random", ())):
            state.set_random_state(ours["random"][rank], device)
            self.earlier_losses = ours["losses"][rank]
        averages = averages_in(content["state_dict"])
        self.restored_averages = averages, ours.get("average_updates", 0)
        self.rolled_back = bool(ours.get("rolled_back"))
        if ours.get("best"):
            self.meta = {**(self.meta or {}), "hook_msgs": dict(ours["best"])}
            for hook in self._hooks:  # mmgen's evaluation would take any score for a better one
                for name in getattr(hook, "_curr_best_score", ()):
                    if f"best_score_{name}" in ours["best"]:
                        hook._curr_best_score[name] = ours["best"][f"best_score_{name}"]
                        path = ours["best"].get(f"best_ckpt_{name}")
                        hook._curr_best_ckpt_path[name] = path
        self._iter = self._inner_iter = self.last_saved = content["meta"]["iter"]
