"""Checkpoint files in OpenMMLab's layout: whole or not there, read as data and never as code."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import re
import shutil
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from .files import replacing
from .words import meant

POINTER = "latest"  # Text file in a run directory: the name of its newest checkpoint.
# Before the names of averaged generators' weights, which stand among the others.
EMA_PREFIX = "generators_ema."
# The checksum stands in the comment that ends a zip archive: any reader of zip files skips it.
_SEAL = re.compile(rb"sha256:([0-9a-f]{64})")
_SEAL_SIZE = len("sha256:") + 64
# Eight digits may be a date.
_HASH_IN_NAME = re.compile(r"-(?!(?:19|20)\d{6}\.)([0-9a-f]{8})\.(pth|pt|safetensors)$")


def write_checkpoint(path: str | os.PathLike, content: dict) -> None:
    """Write a checkpoint with a checksum, so that `path` is always whole: beside it, then renamed.

    Args:
        path: File to write or replace.
        content: Tensors and plain Python types alone.

    Raises:
        OSError: If it cannot be written (a full disk); what was there before stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        try:
            with open(part, "wb+") as file:
                torch.save(content, file)
                _seal(file)
                file.flush()
                os.fsync(file.fileno())
        except RuntimeError as error:
            # torch's zip writer turns a failed write into a RuntimeError about positions.
            free = shutil.disk_usage(path.parent).free / 1e6
            text = f"cannot write {path}: {free:.0f} MB are free on its disk"
            raise OSError(errno.ENOSPC, text) from error


def _seal(file) -> None:
    """Append the SHA-256 of all that is before it as the archive's comment."""
    file.seek(-2, os.SEEK_END)  # The last field of an archive is the length of its comment.
    file.write(struct.pack("<H", _SEAL_SIZE))
    size = file.tell()
    file.seek(0)
    comment = b"sha256:" + _digest(file, size).encode()
    file.seek(size)
    file.write(comment)


def file_digest(path: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return _digest(file, os.fstat(file.fileno()).st_size)


def _digest(file, size: int) -> str:
    """SHA-256 of the next `size` bytes, in hexadecimal."""
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, 1 << 20))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def read_checkpoint(path: str | os.PathLike, map_location: str = "cpu") -> dict:
    """Read a checkpoint file as data: nothing in it is executed.

    Args:
        path: A checkpoint of ours, mmgen's or PyTorch's, or a .safetensors file of ours.
        map_location: Device of its tensors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, no checkpoint, or holds anything but data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}{meant(path)}")
    if path.suffix == ".py":
        raise ValueError(
            f"{path} is a config; expected a checkpoint (where both are named, the config is first)"
        )
    if path.stat().st_size == 0:
        raise ValueError(f"checkpoint {path} is empty (0 bytes)")
    sealed = _verify(path)
    try:
        if path.suffix == ".safetensors":
            content = _read_safetensors(path, map_location)
        else:
            content = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # Damaged files make the readers fail in every way.
        text = str(error)
        if isinstance(error, pickle.UnpicklingError) and re.search("Unsupported|GLOBAL", text):
            raise ValueError(
                f"checkpoint {path} holds more than weights and plain data, which could run code "
                f"when it is read; it was refused"
            ) from error
        reason = text.strip().splitlines()[:1] or [type(error).__name__]
        raise ValueError(f"{path} is no checkpoint, or is damaged ({reason[0][:200]})") from error
    _check_layout(path, content, sealed)
    return dict(content)


def _verify(path: Path) -> bool:
    """Check a file against its checksums; whether it has one of ours.

    Raises:
        ValueError: If it is damaged.
    """
    size = path.stat().st_size
    named = _HASH_IN_NAME.search(path.name)
    with open(path, "rb") as file:
        file.seek(max(0, size - _SEAL_SIZE))
        seal = _SEAL.fullmatch(file.read())
        file.seek(0)
        if seal and _digest(file, size - _SEAL_SIZE) != seal[1].decode():
            raise ValueError(f"checkpoint {path} is damaged: its checksum does not match")
        file.seek(0)
        # OpenMMLab's habit: a published file carries the beginning of its SHA-256 in its name.
        if named and not seal and not _digest(file, size).startswith(named[1]):
            raise ValueError(
                f"checkpoint {path} is damaged: it does not match the hash in its name"
            )
    if not seal and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
        except Exception as error:
            raise ValueError(f"checkpoint {path} is damaged ({error})") from error
        if broken:
            raise ValueError(f"checkpoint {path} is damaged: {broken} in it does not match its CRC")
    return bool(seal)


def _read_safetensors(path: Path, map_location: str) -> dict:
    from safetensors import safe_open

    with safe_open(path, framework="pt", device=str(map_location)) as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (no mapping)
        ours = json.loads((file.metadata() or {}).get("mmgen_ext", "null"))
    return {"state_dict": state} | ({"mmgen_ext": ours} if ours else {})


def _check_layout(path: Path, content: object, sealed: bool) -> None:
    """Raise a ValueError unless `content` has a checkpoint's types."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a checkpoint")
    for key in ("meta", "state_dict", "optimizer", "mmgen_ext"):
        if key in content and not isinstance(content[key], Mapping):
            kind = type(content[key]).__name__
            raise ValueError(f"{path} is no checkpoint: its {key} is a {kind}; expected a dict")
    state = content.get("state_dict", content)
    tensors = [isinstance(v, torch.Tensor) and not v.is_sparse for v in state.values()]
    tensors += [isinstance(key, str) for key in state] if any(tensors) else []
    if "state_dict" not in content and not any(tensors):  # Others keep a dict for each network.
        tensors = [_holds_tensors(value) for value in content.values()]
    if not any(tensors) or ("state_dict" in content and not all(tensors)):
        raise ValueError(f"{path} is no checkpoint: it holds no weights, or not only tensors")
    if (content.get("mmgen_ext") or {}).get("sealed") and not sealed:
        raise ValueError(f"checkpoint {path} is damaged: its checksum is missing")


def _holds_tensors(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_tensors(item) for item in value.values())
    return isinstance(value, torch.Tensor)


def find_checkpoints(work_dir: str | os.PathLike) -> list[Path]:
    """The checkpoints of a run directory, from the fewest to the most iterations."""
    found = {}
    for path in Path(work_dir).glob("iter_*.pth"):
        number = path.stem.removeprefix("iter_")
        if number.isdigit():
            found[int(number)] = path
    return [found[number] for number in sorted(found)]


def write_pointer(checkpoint: Path) -> None:
    """Name a checkpoint as the newest of its folder; iter_0.pth if there is none yet."""
    with replacing(checkpoint.with_name(POINTER)) as part:
        part.write_text(checkpoint.name + "\n", "utf-8")


def by_age(work_dir: str | os.PathLike) -> list[Path]:
    """The checkpoints of the run in a directory, the newest first.

    The pointer file says which that is. A run that was started anew, or from an earlier
    checkpoint, leaves later ones of a former life behind, which are left out here.
    """
    found = find_checkpoints(work_dir)[::-1]
    try:
        name = Path(work_dir, POINTER).read_text("utf-8").strip()
        newest = int(re.fullmatch(r"iter_(\d+)\.pth", name)[1])
    except (OSError, ValueError, TypeError):
        return found
    if newest and not Path(work_dir, name).exists():
        return found
    return [path for path in found if iteration(path) <= newest]


def iteration(checkpoint: Path) -> int:
    """Iterations done, by the name of a checkpoint."""
    return int(checkpoint.stem.removeprefix("iter_"))


def newest_whole(
    work_dir: str | os.PathLike, warn: Callable[[str], None] = print
) -> tuple[Path, dict] | None:
    """The newest checkpoint of a run directory that can be resumed, and its content.

    Args:
        work_dir: Run directory.
        warn: Told about each one that is damaged.

    Raises:
        ValueError: If there are some and all are damaged.
    """
    paths = by_age(work_dir)
    for path in paths:
        try:
            content = read_checkpoint(path)
            check_resumable(content, path)
            return path, content
        except (ValueError, OSError) as error:
            warn(f"not used: {error}")
    if paths:
        raise ValueError(
            f"none of the checkpoints in {work_dir} can be used. Delete them "
            f"to start anew, or name another with --resume CKPT"
        )
    return None


def check_resumable(content: Mapping, name: str | os.PathLike) -> None:
    """Raise a ValueError if a checkpoint lacks what resuming needs."""
    missing = [key for key in ("meta", "state_dict", "optimizer") if key not in content]
    if missing:
        raise ValueError(
            f"checkpoint {name} cannot be resumed: it holds no {', '.join(missing)}. "
            f"Start from its weights with --cfg-options load_from={name}"
        )
    done = content["meta"].get("iter")
    if not isinstance(done, int) or done < 0:
        raise ValueError(f"checkpoint {name} cannot be resumed: its iteration is {done!r}")


def keep_newest(work_dir: str | os.PathLike, count: int, done: int) -> None:
    """Delete all but the newest `count` checkpoints up to `done` iterations; none for count < 1.

    Later ones are of a former run in this folder: they stay until this run comes to them.
    """
    paths = [path for path in find_checkpoints(work_dir) if iteration(path) <= done]
    for path in paths[:-count] if count > 0 else []:
        path.unlink()


def without_averages(state: Mapping) -> dict:
    """Weights of the model alone."""
    return {key: value for key, value in state.items() if not key.startswith(EMA_PREFIX)}


def averages_in(state: Mapping) -> dict:
    """Weights of the averaged generators alone, without their prefix."""
    return {k[len(EMA_PREFIX) :]: v for k, v in state.items() if k.startswith(EMA_PREFIX)}


def check_fit(network: nn.Module, state: Mapping, name: str) -> None:
    """Raise a ValueError that says which weights are missing, unknown or of another shape."""
    want = network.state_dict()
    other = [
        f"{k}: {_shape(state[k])} in the checkpoint, {_shape(want[k])} in the config"
        for k in want
        if k in state and _shape(state[k]) != _shape(want[k])
    ]
    faults = []
    for title, keys in (
        ("missing in the checkpoint", [k for k in want if k not in state]),
        ("not in the config", [k for k in state if k not in want]),
        ("of another shape", other),
    ):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            faults.append(f"{len(keys)} {title}: {', '.join(keys[:3])}{more}")
    if faults:
        raise ValueError(
            f"checkpoint {name} does not fit the config. {'; '.join(faults)}. "
            f"Use the config that it was trained with"
        )


def _shape(value: object) -> object:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
