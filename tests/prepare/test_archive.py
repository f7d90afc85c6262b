"""Archives of strangers: what is not safe is refused whole, and nothing is half done."""

import contextlib
import gzip
import io
import random
import stat
import tarfile
import zipfile
from pathlib import PurePosixPath

import pytest
from PIL import Image

from mmgen_ext.prepare import archive
from mmgen_ext.prepare.archive import check_archive, unpack
from mmgen_ext.prepare.get import get_set
from mmgen_ext.prepare.names import arrange, safe_path


def png(shade=0):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


SET = {f"{folder}/{i}.png": png(i) for folder in ("trainA", "trainB", "testA") for i in range(2)}


def make_zip(path, content, compression=zipfile.ZIP_DEFLATED, **attributes):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in content.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            info.external_attr = attributes.get(name.rpartition("/")[2].partition(".")[0], 0)
            file.writestr(info, data)
    return path


def make_tar(path, content, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for name, data in content.items():
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            content_bytes = b"" if info is data else data
            info.size = len(content_bytes)
            file.addfile(info, io.BytesIO(content_bytes))
    return path


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    "rename",
    [
        lambda n: n,
        lambda n: f"set/set/{n}",
        lambda n: f"set\\{n}".replace("/", "\\"),
        lambda n: n.replace("trainA", "train_a").replace("testA", "valid_A"),
        lambda n: "x/" + n.replace("trainA", "A/train").replace("trainB", "B/train"),
        lambda n: n.replace("testA", "valA"),
    ],
    ids=["plain", "nested", "backslashes", "spelt", "turned", "val"],
)
def test_a_set_is_arranged_however_its_folders_are_called(tmp_path, make, rename):
    content = {rename(name): data for name, data in SET.items()}
    content |= {"__MACOSX/trainA/._0.png": b"x", "trainA/.DS_Store": b"x", "read.me": b"x"}
    path = make(tmp_path / "set.zip", content)
    check_archive(path)
    left = unpack(path, tmp_path / "out")
    assert files_in(tmp_path / "out") == sorted(SET)
    assert PurePosixPath("read.me") in left
    assert (tmp_path / "out" / "trainB" / "1.png").read_bytes() == png(1)


@pytest.mark.parametrize(
    "name",
    [
        "../trainA/x.png", "trainA/../../x.png", "/etc/x.png", "C:/x.png", "C:x.png",
        "\\\\server\\x.png", "..\\x.png", "trainA\\..\\..\\x.png", "trainA/x.png:stream",
        "trainA/con.png", "trainA/LPT1", "nul/x.png", "trainA/x.png.", "trainA /x.png",
        "trainA/x\n.png",
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_name_that_is_not_safe_refuses_the_archive(tmp_path, make, name):
    path = make(tmp_path / "set.zip", {**SET, name: png()})
    with pytest.raises(ValueError, match=r"set\.zip is refused: the name .*(leads|means|holds)"):
        get_set("mine", tmp_path / "deep" / "out", str(path))
    assert files_in(tmp_path) == ["set.zip"] and not list((tmp_path / "deep").iterdir())
    if ".." in name:
        with pytest.raises(ValueError, match="leads out of the folder"):
            safe_path(name)


def test_names_stay_as_they_are_where_every_system_takes_them():
    assert safe_path("a/./b//ü 画.png") == PurePosixPath("a/b/ü 画.png")
    assert safe_path("what?.png") == PurePosixPath("what_.png")


def test_links_are_refused_and_not_followed(tmp_path):
    mode = (stat.S_IFLNK | 0o777) << 16
    path = make_zip(tmp_path / "set.zip", {**SET, "trainA/link.png": b"/etc/passwd"}, link=mode)
    with pytest.raises(ValueError, match=r"is refused: 'trainA/link\.png' is a link"):
        unpack(path, tmp_path / "out")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        info = tarfile.TarInfo("trainA/link.png")
        info.type, info.linkname = kind, "/etc/passwd"
        path = make_tar(tmp_path / "set.tar", {**SET, "link": info})
        with pytest.raises(ValueError, match=r"is refused: 'trainA/link\.png' is a (link|device)"):
            unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "twin", ["trainA/0.png", "TRAINA/0.PNG", "trainA/./0.png", "trainA\\0.png"]
)
def test_two_members_of_one_name_are_refused(tmp_path, twin):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file, pytest.warns() if twin in SET else io.BytesIO():
        for name, data in [*SET.items(), (twin, png(9))]:
            file.writestr(name, data)
    with pytest.raises(ValueError, match="is in it twice"):
        check_archive(path)
    make_zip(path, {**SET, "trainA/0.png/x.png": png()})
    with pytest.raises(ValueError, match="both a file and a folder"):
        check_archive(path)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path, make, monkeypatch):
    path = make(tmp_path / "set.zip", {**SET, "trainA/zeros.png": bytes(30_000_000)})
    with pytest.raises(ValueError, match=r"would become 30,\d+,\d+ or more.*fill the disk"):
        check_archive(path)
    path = make(tmp_path / "set.zip", SET)
    check_archive(path)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 5)
    with pytest.raises(ValueError, match="more than 5 members"):
        check_archive(path)
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="fill the disk"):
        check_archive(path)


def test_a_name_of_gigabytes_is_not_read_into_memory(tmp_path):
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        path, header = tmp_path / "set.tar.gz", tarfile.TarInfo("././@LongLink")
        header.type, header.size = kind, 1 << 32
        path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)))
        with pytest.raises(ValueError, match=r"a member's name would have 4,294,967,296 bytes"):
            check_archive(path)


def test_damage_is_never_taken_for_a_fault_of_the_disk(tmp_path):
    for seed, make in enumerate((make_zip, make_tar) * 4):
        compression = zipfile.ZIP_BZIP2 if seed % 4 else zipfile.ZIP_DEFLATED
        options = dict(compression=compression) if make is make_zip else dict(mode="w:bz2")
        path, rng = make(tmp_path / "set", SET, **options), random.Random(seed)
        whole = path.read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(3):
                data[rng.randrange(len(data))] = rng.randrange(256)
            path.write_bytes(data)
            with contextlib.suppress(ValueError):
                check_archive(path)


def test_a_zip_that_lies_about_a_size_is_not_written_beyond_it(tmp_path):
    path = make_zip(tmp_path / "set.zip", {**SET, "trainA/zeros.png": bytes(30_000_000)})
    honest = (30_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(honest, (1000).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"set\.zip is damaged"):
        get_set("mine", tmp_path / "out", str(path))
    assert files_in(tmp_path) == ["set.zip"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_what_is_damaged_leaves_nothing(tmp_path, make):
    path = make(tmp_path / "set.zip", SET)
    data = bytearray(path.read_bytes())
    middle = data.index(b"IDAT") if b"IDAT" in data else len(data) // 2
    data[middle + 6] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"is damaged|no zip or tar"):
        get_set("mine", tmp_path / "out", str(path))
    path.write_bytes(bytes(data[: len(data) * 2 // 3]))
    with pytest.raises(ValueError, match=r"is damaged|no zip or tar"):
        get_set("mine", tmp_path / "out", str(path))
    assert files_in(tmp_path) == ["set.zip"]


def test_what_is_no_set_says_what_it_is(tmp_path):
    path = make_zip(tmp_path / "set.zip", {"mine/cats/0.png": png(), "mine/dogs/0.png": png()})
    with pytest.raises(ValueError, match=r"got mine/cats \(1\), mine/dogs \(1\).*own A_DIR B_DIR"):
        check_archive(path)
    for data, words in ((b"<!DOCTYPE html>", "but a web page"), (b"Rar!\x1a\7", "but RAR or 7z")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=words):
            check_archive(path)
    several = [PurePosixPath(top, name) for top in "xy" for name in SET]
    with pytest.raises(ValueError, match="several data sets: x, y"):
        arrange(several)
    with pytest.raises(ValueError, match=r"would both become trainA/0\.png"):
        arrange([PurePosixPath(n) for n in (*SET, "train_A/0.png")])


def test_test_pictures_win_over_validation_pictures():
    paths = [PurePosixPath(n) for n in (*SET, "valA/0.png")]
    assert arrange(paths)[PurePosixPath("valA/0.png")] == PurePosixPath("valA/0.png")
