"""Tools in processes of their own that start within milliseconds: imports are done once."""

import importlib
import multiprocessing
import os
import runpy
import socket
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Every switch of a recipe that is off by default, for --cfg-options.
SWITCHES = [
    "model.generator.upsample=subpixel",
    "model.generator.downsample=blur",
    "model.generator.global_skip=True",
    "model.discriminator.type=mmgen_ext.MultiscaleDiscriminator",
    "model.discriminator_augment=color,translation,cutout",
    "model.gan_loss.type=mmgen_ext.GANLoss",
    "model.gan_loss.r1_weight=1",
    "model.gan_loss.r1_interval=3",
    "model.cycle_beta=0.3",
    "model.cycle_scale=2",
    "model.cycle_ssim=0.5",
    "model.cycle_features=0.3",
    "loss_schedule.identity_weight.end=0.7",
]
# A forkserver imports torch, mmcv and mmgen once and is forked for each process.
METHOD = "spawn" if sys.platform == "win32" else "forkserver"
CONTEXT = multiprocessing.get_context(METHOD)
if METHOD == "forkserver":
    CONTEXT.set_forkserver_preload(["mmgen_ext.training.train"])


def _main(tool, args, env, output):
    with open(output, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.setsid()
    os.environ.update(env)
    # On two cores, processes that compute with two threads each wait for each other.
    importlib.import_module("torch").set_num_threads(1)
    if sys.platform == "linux":  # as in a process that a shell starts; else inherited from here
        multiprocessing.set_start_method("fork", force=True)
    sys.argv = [f"{tool}.py", *args]
    runpy.run_path(str(ROOT / "tools" / f"{tool}.py"), run_name="__main__")


class Tool:
    """One running process of tools/<tool>.py.

    Its output is collected in `output`; it leads a session of its own, as in a terminal.
    """

    def __init__(self, tool, *args, output, **env):
        env = {key: str(value) for key, value in env.items()}
        self.output = Path(output)
        args = [str(arg) for arg in args]
        self.process = CONTEXT.Process(target=_main, args=(tool, args, env, str(output)))
        self.process.start()

    @property
    def pid(self):
        return self.process.pid

    @property
    def text(self):
        return self.output.read_text("utf-8", "replace") if self.output.exists() else ""

    def wait(self, timeout=180):
        """Exit code, negative for a signal."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"still runs: {self.text[-2000:]}"
        return self.process.exitcode

    def wait_for(self, condition, timeout=120):
        """Wait until condition() holds while the process runs."""
        end = time.monotonic() + timeout
        while not condition():
            assert self.process.exitcode is None, self.text[-2000:]
            assert time.monotonic() < end, self.text[-2000:]
            time.sleep(0.01)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def start_ranks(world, *args, output, **env):
    """Start `world` processes of tools/train.py as torchrun does."""
    common = dict(WORLD_SIZE=world, MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port(), **env)
    return [
        Tool("train", *args, output=f"{output}.{r}", RANK=r, LOCAL_RANK=r, **common)
        for r in range(world)
    ]


def run_ranks(world, *args, output, **env):
    """Run them to the end; return their outputs, and check that all succeeded."""
    ranks = start_ranks(world, *args, output=output, **env)
    codes = [each.wait() for each in ranks]
    assert codes == [0] * world, [each.text[-1500:] for each in ranks]
    return [each.text for each in ranks]


HOOK = '''
def _register():
    """Registered while the config runs; functions are dropped from a config."""
    import os
    import torch
    from mmcv.runner import HOOKS, Hook

    @HOOKS.register_module(name="TestHook", force=True)
    class TestHook(Hook):
{body}

_register()
custom_hooks = [dict(type="TestHook", priority="HIGHEST")]
'''


def hook_text(body):
    """Lines of a config that register a hook whose methods are `body`, and name it."""
    lines = body.strip("\n").splitlines()
    return HOOK.format(body="\n".join(" " * 8 + line for line in lines))


def config_with_hook(path, base, body):
    """Write a config that is `base` with a hook."""
    path.write_text(f"_base_ = {str(base)!r}\n{hook_text(body)}", "utf-8")
    return path


DUMP = '''
def after_run(self, runner):
    """What every rank ends with, on rank 0 and elsewhere."""
    state = runner.model.module.state_dict()
    torch.save(state, f"{runner.work_dir}/rank{runner.rank}.pt")
'''
