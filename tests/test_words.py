"""Numbers of things, and files that were meant, in sentences."""

from mmgen_ext.words import counted, meant


def test_one_thing_is_in_the_singular_and_no_or_many_are_not():
    assert counted(1, "process") == "1 process" and counted(2, "process") == "2 processes"
    assert counted(0, "picture") == "0 pictures" and counted(1, "test picture") == "1 test picture"


def test_a_path_that_is_not_there_names_what_was_meant(tmp_path):
    for name in ("照片", "莫奈 的画", "photos", "mine.py"):
        (tmp_path / name).mkdir()
    assert meant(tmp_path / "photo") == f"; did you mean {tmp_path / 'photos'}?"
    assert meant(tmp_path / "莫奈的画") == f'; did you mean "{tmp_path / "莫奈 的画"}"?'
    quoted = f'"{tmp_path / "莫奈 的画"}"'
    assert meant(tmp_path / "莫奈") == f"; a path with blanks needs quotation marks: {quoted}"
    assert meant(tmp_path / "photo", "*.py") == "" == meant(tmp_path / "none" / "photo")
    assert meant(tmp_path / "photos") == ""
