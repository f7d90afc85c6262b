"""Several hosts: two network namespaces, each with torchrun of its own, joined by a virtual cable.

Takes root on Linux and the command `ip`: python -m pytest tests/training/test_hosts.py
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from processes import DUMP, ROOT, config_with_hook, run_ranks

from mmgen_ext.checkpoint import read_checkpoint

ADDRESSES = ("10.97.31.1", "10.97.31.2")
OPTIONS = ["--cfg-options", "total_iters=6"]


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, text=True)


@pytest.fixture(scope="module")
def hosts():
    """Two network namespaces that see only each other; yields the command that enters each."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces take root on Linux and the command `ip`")
    names = [f"mmgen-ext-{os.getpid()}-{i}" for i in (0, 1)]
    try:
        for name in names:
            added = ip("netns", "add", name)
            if added.returncode:
                pytest.skip(f"no network namespaces here: {added.stderr.strip()}")
        steps = [["link", "add", "cable0", "netns", names[0], "type", "veth"]]
        steps[0] += ["peer", "name", "cable1", "netns", names[1]]
        for i, name in enumerate(names):
            steps.append(["-n", name, "addr", "add", f"{ADDRESSES[i]}/24", "dev", f"cable{i}"])
            steps += [["-n", name, "link", "set", dev, "up"] for dev in ("lo", f"cable{i}")]
        for step in steps:
            done = ip(*step)
            if done.returncode:
                pytest.skip(f"ip {' '.join(step)}: {done.stderr.strip()}")
        yield [["ip", "netns", "exec", name] for name in names]
    finally:
        for name in names:
            ip("netns", "del", name)


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_config):
    return config_with_hook(tmp_path_factory.mktemp("config") / "dump.py", tiny_config, DUMP)


@pytest.fixture(scope="module")
def one_host(config, tmp_path_factory):
    """Weights that two ranks of this machine end with."""
    work_dir = tmp_path_factory.mktemp("one") / "run"
    run_ranks(2, config, "--work-dir", work_dir, *OPTIONS, output=f"{work_dir}.out")
    return read_checkpoint(work_dir / "latest.pth")["state_dict"]


def run_on_both(hosts, tmp_path, commands, envs):
    """Run a command on each host, and check that both succeed."""
    with contextlib.ExitStack() as stack:
        running = []
        for i, (enter, command) in enumerate(zip(hosts, commands, strict=True)):
            out = stack.enter_context(open(tmp_path / f"host{i}.out", "wb"))
            env = {**os.environ, "GLOO_SOCKET_IFNAME": f"cable{i}", "OMP_NUM_THREADS": "1"}
            running.append(
                subprocess.Popen(
                    [*enter, *map(str, command)],
                    env={**env, **envs[i]},
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            )
        try:
            codes = [process.wait(180) for process in running]
        finally:
            for process in running:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
    assert codes == [0, 0], (tmp_path / "host0.out").read_text()[-2000:]


def check(work_dir, expected):
    for number in (0, 1):
        state = torch.load(work_dir / f"rank{number}.pt")
        assert all(torch.equal(state[key], expected[key]) for key in expected)


@pytest.mark.slow
def test_two_hosts_by_static_rendezvous_equal_one_host(hosts, config, one_host, tmp_path):
    work_dir = tmp_path / "run"
    command = ["bash", ROOT / "tools" / "dist_train.sh", config, "1", "--work-dir", work_dir]
    env = dict(NNODES="2", MASTER_ADDR=ADDRESSES[0], PORT="29511", PYTHON=sys.executable)
    envs = [{**env, "NODE_RANK": str(i)} for i in (0, 1)]
    run_on_both(hosts, tmp_path, [[*command, *OPTIONS]] * 2, envs)
    check(work_dir, one_host)


@pytest.mark.slow
def test_two_hosts_by_c10d_rendezvous_equal_one_host(hosts, config, one_host, tmp_path):
    work_dir = tmp_path / "run"
    commands = [
        [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1",
         "--rdzv_backend", "c10d", "--rdzv_endpoint", f"{ADDRESSES[0]}:29512", "--rdzv_id", "test",
         # A namespace has no name of its own by which the first would know that it is meant.
         "--rdzv_conf", f"is_host={i == 0}", "--local_addr", ADDRESSES[i],
         ROOT / "tools" / "train.py", config, "--work-dir", work_dir, *OPTIONS]
        for i in (0, 1)
    ]  # fmt: skip
    run_on_both(hosts, tmp_path, commands, [{}, {}])
    check(work_dir, one_host)
