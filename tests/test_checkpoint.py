"""Checkpoint files: whole or recognised as damaged, and data, never code."""

import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch

from mmgen_ext.checkpoint import (
    by_age,
    find_checkpoints,
    keep_newest,
    newest_whole,
    read_checkpoint,
    write_checkpoint,
    write_pointer,
)


def content(done=1):
    generator = torch.Generator().manual_seed(done)
    weights = {f"layer{i}.weight": torch.randn(16, 9, generator=generator) for i in range(4)}
    return dict(meta=dict(iter=done), state_dict=weights, optimizer={}, mmgen_ext=dict(sealed=True))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "iter_1.pth"
    write_checkpoint(path, content())
    return path


class Bomb:
    """What a malicious checkpoint holds: reading it as a pickle would make a file."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return (os.system, (f"echo burnt > '{self.target}'",))


def test_a_written_checkpoint_is_read_back_and_by_torch_alone_too(file):
    for read in (read_checkpoint(file), torch.load(file, weights_only=True)):
        assert torch.equal(
            read["state_dict"]["layer3.weight"], content()["state_dict"]["layer3.weight"]
        )
    assert zipfile.ZipFile(file).comment.startswith(b"sha256:")


def test_every_bit_of_a_file_counts(file):
    """Any flipped bit is recognised: in weights, padding, headers and the checksum itself."""
    whole = file.read_bytes()
    rng = random.Random(0)
    tail = range(len(whole) - 120, len(whole))
    for place in [*rng.sample(range(len(whole)), 300), *tail]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"iter_1\.pth .*damaged"):
            read_checkpoint(file)


def wrong_types():
    """Files with a valid checksum that are no checkpoints."""
    good = content()
    yield from (5, "text", None, [1, 2], torch.ones(3), {}, {1: 2}, {"state_dict": 3})
    yield {**good, "state_dict": {"layer0.weight": "text"}}
    yield {**good, "state_dict": {}}
    yield {**good, "state_dict": {1: torch.ones(2)}}
    yield {**good, "state_dict": {"layer0.weight": torch.eye(3).to_sparse()}}
    yield {**good, "meta": [1]}
    yield {**good, "optimizer": torch.ones(2)}
    yield {**good, "mmgen_ext": "none"}
    yield {key: value for key, value in good.items() if key != "state_dict"}


def test_a_hundred_damaged_checkpoints_are_recognised_and_run_no_code(tmp_path):
    whole = tmp_path / "whole.pth"
    write_checkpoint(whole, content())
    data = whole.read_bytes()
    torch.save(content()["state_dict"], tmp_path / "foreign.pth")  # has no checksum of ours
    foreign = (tmp_path / "foreign.pth").read_bytes()
    rng, burnt, damaged = random.Random(1), tmp_path / "burnt", []
    damaged += [b"", b"\0", b"PK", b"PK\3\4" * 50, b"hello", b"\x80\x02}q\x00.", os.urandom(2000)]
    damaged += [data[: rng.randrange(1, len(data))] for _ in range(25)]
    damaged += [data[:-1], data[:-71], data[1:], data + b"x", data[71:] + data[:71]]
    damaged += [foreign[: rng.randrange(1, len(foreign))] for _ in range(10)]
    for _ in range(25):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        damaged.append(bytes(flipped))
    for _ in range(10):  # weights of a foreign file, which zip's own checksums watch over
        flipped = bytearray(foreign)
        place = foreign.index(content()["state_dict"]["layer1.weight"].numpy().tobytes())
        flipped[place + rng.randrange(500)] ^= 1 << rng.randrange(8)
        damaged.append(bytes(flipped))
    for protocol in range(2, 6):
        damaged.append(pickle.dumps(Bomb(burnt), protocol))
        damaged.append(pickle.dumps({"state_dict": {"w": Bomb(burnt)}}, protocol))
    paths = []
    for i, blob in enumerate(damaged):
        paths.append(tmp_path / f"damaged {i}.pth")
        paths[-1].write_bytes(blob)
    for i, wrong in enumerate([*wrong_types(), Bomb(burnt), {**content(), "meta": Bomb(burnt)}]):
        paths.append(tmp_path / f"wrong {i}.pth")
        if i % 2:
            torch.save(wrong, paths[-1])
        else:
            write_checkpoint(paths[-1], wrong)
    assert len(paths) >= 100
    for path in paths:
        with pytest.raises(ValueError, match=path.name) as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)
    assert not burnt.exists()


def test_code_in_a_checkpoint_is_refused_with_a_sentence(tmp_path):
    path = tmp_path / "iter_9.pth"
    torch.save({**content(), "meta": dict(iter=9, hook=Bomb(tmp_path / "burnt"))}, path)
    with pytest.raises(ValueError, match="could run code when it is read; it was refused"):
        read_checkpoint(path)
    assert not (tmp_path / "burnt").exists()


def test_a_published_name_vouches_for_its_file(tmp_path):
    path = tmp_path / "horse2zebra-00000000.pth"
    torch.save(content()["state_dict"], path)
    with pytest.raises(ValueError, match="damaged: it does not match the hash in its name"):
        read_checkpoint(path)
    path.rename(path.with_name("horse2zebra-20210902.pth"))  # a date
    read_checkpoint(path.with_name("horse2zebra-20210902.pth"))
    write_checkpoint(tmp_path / "mine-00000000.pth", content())  # its own checksum vouches for it
    read_checkpoint(tmp_path / "mine-00000000.pth")


def test_the_one_before_is_taken_where_the_newest_is_broken(tmp_path):
    for done in (2, 4, 10):
        write_checkpoint(tmp_path / f"iter_{done}.pth", content(done))
    (tmp_path / "iter_10.pth").write_bytes((tmp_path / "iter_10.pth").read_bytes()[:-100])
    said = []
    path, read = newest_whole(tmp_path, said.append)
    assert (path.name, read["meta"]["iter"]) == ("iter_4.pth", 4)
    assert len(said) == 1 and "iter_10.pth" in said[0] and "damaged" in said[0]
    for path in find_checkpoints(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the checkpoints"):
        newest_whole(tmp_path, said.append)


def test_the_pointer_knows_which_checkpoints_are_of_a_former_life(tmp_path):
    assert newest_whole(tmp_path) is None
    for done in (2, 4, 6):
        write_checkpoint(tmp_path / f"iter_{done}.pth", content(done))
    write_pointer(tmp_path / "iter_4.pth")  # resumed from 2, and wrote 4 again
    assert (tmp_path / "latest").read_text() == "iter_4.pth\n"
    assert [path.name for path in by_age(tmp_path)] == ["iter_4.pth", "iter_2.pth"]
    write_pointer(tmp_path / "iter_0.pth")  # started anew, and has not saved yet
    assert by_age(tmp_path) == []
    write_pointer(tmp_path / "iter_4.pth")
    keep_newest(tmp_path, 1, done=4)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["iter_4.pth", "iter_6.pth"]
    for nonsense in ("", "../../etc/passwd", "iter_x.pth", "iter_99.pth"):
        (tmp_path / "latest").write_text(nonsense)
        assert by_age(tmp_path)[0].name == "iter_6.pth"


def test_checkpoints_of_before_the_checksum_are_read(tmp_path):
    old = {**content(), "mmgen_ext": dict(config={})}
    torch.save(old, tmp_path / "iter_1.pth")
    assert read_checkpoint(Path(tmp_path, "iter_1.pth"))["meta"]["iter"] == 1
