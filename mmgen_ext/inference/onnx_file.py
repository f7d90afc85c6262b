"""What an exported .onnx file says of itself: its metadata, and a checksum at its end."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

KEY = "mmgen_ext"
_SEAL_KEY = "mmgen_ext_seal"
_SEAL = re.compile(rb"sha256:(\d{12}):([0-9a-f]{64})\Z")
# Of its entry: three tags and three lengths of one byte each, the key and the value.
_SEAL_SIZE = 6 + len(_SEAL_KEY) + len("sha256:") + 12 + 1 + 64


@dataclass(frozen=True)
class Metadata:
    """All that translating with a file needs besides its graph.

    Attributes:
        domain: Domain that it makes.
        source: Domain of the pictures it is made for; None if not known.
        in_channels: Channels of its input.
        out_channels: Channels of its output.
        size_divisor: Both sides of the input are multiples of it.
        min_size: Smallest side of the input, in pixels.
        mean: Subtracted from the input on the scale 0 to 1: one number, or one a channel.
        std: Divides what is left.
        to_rgb: Whether the network takes and gives RGB; else BGR.
        with_processing: Whether the graph takes and gives uint8 (N, H, W, C), BGR, of any size;
            else float32 (N, C, H, W), normalised by `mean` and `std`, and gives [-1, 1].
        version: mmgen_ext's that wrote it.
    """

    domain: str
    source: str | None
    in_channels: int
    out_channels: int
    size_divisor: int
    min_size: int
    mean: list[float]
    std: list[float]
    to_rgb: bool
    with_processing: bool
    version: str

    def __post_init__(self):
        counts = (self.in_channels, self.out_channels, self.size_divisor, self.min_size)
        if not all(isinstance(count, int) and count > 0 for count in counts):
            raise ValueError(f"channels and sides are {counts}; expected positive numbers")
        if not isinstance(self.domain, str) or not self.domain:
            raise ValueError(f"domain is {self.domain!r}")
        if {len(self.mean), len(self.std)} - {1, self.in_channels} or 0 in self.std:
            raise ValueError(f"mean {self.mean} and std {self.std} do not fit its input")


def with_metadata(model: bytes, metadata: Metadata) -> bytes:
    """A serialized model with `metadata` in its metadata_props, sealed by a checksum."""
    # Serialized protobufs are joined by writing one behind the other.
    model += _property(KEY, json.dumps(asdict(metadata), ensure_ascii=False))
    digest = hashlib.sha256(model).hexdigest()
    return model + _property(_SEAL_KEY, f"sha256:{len(model):012d}:{digest}")


def _property(key: str, value: str) -> bytes:
    import onnx

    entry = onnx.StringStringEntryProto(key=key, value=value)
    return onnx.ModelProto(metadata_props=[entry]).SerializeToString()


def read_metadata(properties: Mapping[str, str], name: str | os.PathLike) -> Metadata | None:
    """What a file's metadata_props say; None if another program exported it.

    Raises:
        ValueError: If they are damaged.
    """
    if KEY not in properties:
        return None
    try:
        content = json.loads(properties[KEY])
        return Metadata(**{field.name: content[field.name] for field in fields(Metadata)})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the metadata in {name} are damaged ({type(error).__name__}: {error}); export it again"
        ) from error


def check_seal(path: str | os.PathLike) -> None:
    """Raise a ValueError if a file does not match the checksum at its end.

    A file without one, or one that another tool wrote anew (a quantizer), passes.
    """
    data = Path(path).read_bytes()
    size = len(data) - _SEAL_SIZE
    seal = _SEAL.search(data[-_SEAL_SIZE:])
    if not seal or int(seal[1]) != size:
        return
    if hashlib.sha256(data[:size]).hexdigest() != seal[2].decode():
        raise ValueError(f"{path} is damaged: its checksum does not match; export it again")
