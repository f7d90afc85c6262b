"""How torchrun, Slurm and MPI say which of many processes this one is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
# What each sets: rank, number of processes, rank on this machine.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "mpich": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),  # also Intel MPI
}


def launch_environment(launcher: str, env: Mapping[str, str] = os.environ) -> dict[str, str] | None:
    """The variables that PyTorch joins a group by, or None for a single process.

    Args:
        launcher: 'none' | 'pytorch' | 'slurm' | 'mpi'. A process that torchrun started is
            recognised by its environment under 'none' too.
        env: Environment variables.

    Returns:
        RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.

    Raises:
        ValueError: If the launcher's variables are not there.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f"launcher={launcher!r} is not known; choose of {', '.join(LAUNCHERS)}")
    kind = launcher
    if launcher == "none":
        if not all(name in env for name in (*_VARIABLES["pytorch"], "MASTER_ADDR")):
            return None
        kind = "pytorch"
    elif launcher == "mpi" and "PMI_RANK" in env and _VARIABLES["mpi"][0] not in env:
        kind = "mpich"
    names = _VARIABLES[kind]
    missing = [name for name in names if name not in env]
    if missing:
        raise ValueError(
            f"--launcher {launcher}: {', '.join(missing)} is not set, so nothing of that kind "
            f"started this process. Use tools/dist_train.sh, tools/slurm_train.sh or mpirun; for "
            f"one process leave --launcher away"
        )
    found = dict(zip(("RANK", "WORLD_SIZE", "LOCAL_RANK"), map(env.get, names), strict=True))
    found["MASTER_PORT"] = env.get("MASTER_PORT") or _port(env)
    found["MASTER_ADDR"] = env.get("MASTER_ADDR") or _address(kind, found, env)
    return found


def _port(env: Mapping[str, str]) -> str:
    # Two jobs of one machine must not meet at one port, nor at one that the system hands out.
    return str(20000 + int(env.get("SLURM_JOB_ID", 9500)) % 12000)


def _address(kind: str, found: Mapping[str, str], env: Mapping[str, str]) -> str:
    nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST")
    if kind == "slurm" and nodes:
        try:
            listed = subprocess.run(
                ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True
            )
            return listed.stdout.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            if "[" not in nodes and "," not in nodes:
                return nodes
    local_size = env.get("OMPI_COMM_WORLD_LOCAL_SIZE", env.get("MPI_LOCALNRANKS"))
    if local_size == found["WORLD_SIZE"] or found["WORLD_SIZE"] == "1":
        return "127.0.0.1"
    raise ValueError(
        "MASTER_ADDR is not set: export the name or address of the first machine, "
        "for example MASTER_ADDR=node1, with mpirun -x MASTER_ADDR"
    )


def restarted(env: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun or Slurm started this process again after a fault."""
    names = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(int(env.get(name) or 0) > 0 for name in names)
