"""Numbers of things in sentences."""

from mmgen_ext.words import counted


def test_one_thing_is_in_the_singular_and_no_or_many_are_not():
    assert counted(1, "process") == "1 process" and counted(2, "process") == "2 processes"
    assert counted(0, "picture") == "0 pictures" and counted(1, "test picture") == "1 test picture"
