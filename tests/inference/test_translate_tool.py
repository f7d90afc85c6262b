"""tools/translate.py as a user calls it."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmgen_ext.checkpoint import read_checkpoint
from mmgen_ext.models import PatchDiscriminator


@pytest.fixture
def pictures(tmp_path, photos):
    """A folder with pictures of all kinds: sizes, modes, names, one level down."""
    folder = tmp_path / "holidays"
    (folder / "Größe 大").mkdir(parents=True)
    coffee = Image.fromarray(photos["coffee"][:50, :71])
    coffee.save(folder / "a b.jpg")
    coffee.convert("L").save(folder / "gray.png")
    coffee.resize((33, 60)).save(folder / "Größe 大" / "ü.gif")
    return folder


def sizes(folder):
    return {
        p.relative_to(folder).as_posix(): Image.open(p).size
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_folder_keeps_tree_sizes_and_aspect(tool, trained, pictures, tmp_path):
    out = tmp_path / "out"
    result = tool("translate", "auto", trained / "latest.pth", pictures, "--to", "a", "--out", out)
    assert result.code == 0, result.err[-600:]
    assert sizes(out) == {"a b.jpg": (71, 50), "gray.png": (71, 50), "Größe 大/ü.png": (33, 60)}
    assert "3 translated to a" in result.out


def test_one_picture_to_one_file_with_the_config_named(
    tool, trained, tiny_config, pictures, tmp_path
):
    out = tmp_path / "new" / "picture.png"
    run = ["translate", tiny_config, trained / "latest.pth", pictures / "a b.jpg", "--out", out]
    assert tool(*run).code == 0
    assert Image.open(out).size == (71, 50)
    assert not np.array_equal(np.asarray(Image.open(out)), np.asarray(Image.open(run[3])))


def test_compare_writes_input_and_output_side_by_side(tool, trained, pictures, tmp_path):
    out = tmp_path / "out"
    source = pictures / "gray.png"
    assert tool(
        "translate", "auto", trained / "latest.pth", source, "--out", out, "--compare"
    ).code == 0  # fmt: skip
    both = np.asarray(Image.open(out / "gray.png"))
    assert both.shape == (50, 142, 3)
    assert np.array_equal(both[:, :71, 0], np.asarray(Image.open(source)))


def test_globs_and_several_inputs_and_batches(tool, trained, pictures, tmp_path):
    out = tmp_path / "out"
    run = ["translate", "auto", trained / "latest.pth", f"{pictures}/*.jpg", pictures / "gray.png"]
    assert tool(*run, "--out", out, "--batch-size", 2).code == 0
    assert set(sizes(out)) == {"a b.jpg", "gray.png"}


def test_what_is_there_is_left_unless_told_otherwise(tool, trained, pictures, tmp_path):
    out = tmp_path / "out"
    run = ["translate", "auto", trained / "latest.pth", pictures, "--out", out]
    tool(*run)
    (out / "gray.png").write_bytes(b"mine")
    again = tool(*run)
    assert again.code == 0 and "3 already there" in again.out
    assert (out / "gray.png").read_bytes() == b"mine"
    tool(*run, "--overwrite")
    assert Image.open(out / "gray.png").size == (71, 50)


def test_broken_files_are_listed_and_the_rest_is_done(tool, trained, pictures, tmp_path):
    (pictures / "letter.jpg").write_text("Dear diary")
    (pictures / "void.png").touch()
    out = tmp_path / "out"
    result = tool("translate", "auto", trained / "latest.pth", pictures, "--out", out)
    assert result.code == 1
    assert "letter.jpg: not an image" in result.err and "void.png: the file is empty" in result.err
    assert len(sizes(out)) == 3 and "3 translated" in result.out
    result = tool("translate", "auto", trained / "latest.pth", pictures / "void.png")
    assert result.code == 1 and "translated" not in result.out


def test_unknown_domain(tool, trained, pictures, sentence):
    result = tool("translate", "auto", trained / "latest.pth", pictures, "--to", "manet")
    sentence(result, "unknown domain 'manet'; this model makes a, b")


def test_nothing_found(tool, trained, sentence, tmp_path):
    sentence(tool("translate", "auto", trained / "latest.pth", tmp_path / "no*.jpg"), "no image")
    (tmp_path / "empty").mkdir()
    result = tool("translate", "auto", trained / "latest.pth", tmp_path / "empty")
    sentence(result, "no images in")


def test_a_path_with_blanks_that_the_shell_cut_is_told_so(tool, trained, pictures, sentence):
    run = ["translate", "auto", trained / "latest.pth"]
    result = tool(*run, pictures / "a", "b.jpg")
    sentence(result, f'needs quotation marks: "{pictures / "a b.jpg"}"')
    sentence(tool(*run, pictures / "grey.png"), f"did you mean {pictures / 'gray.png'}?")


def test_a_config_and_a_checkpoint_in_each_others_place(
    tool, trained, tiny_config, pictures, sentence
):
    weights = trained / "latest.pth"
    expected = f"{tiny_config} is a config; expected a checkpoint"
    sentence(tool("translate", weights, tiny_config, pictures), expected)
    sentence(tool("translate", "auto", tiny_config, pictures), expected)
    sentence(tool("translate", weights, "auto", pictures), "expected auto CHECKPOINT")
    sentence(tool("translate", weights, weights, pictures), "expected a config")
    sentence(tool("train", weights), f"{weights} holds weights; expected a config")


def test_inputs_are_never_overwritten_or_mixed_up(tool, trained, pictures, sentence):
    run = ["translate", "auto", trained / "latest.pth"]
    sentence(tool(*run, pictures, "--out", pictures), "overwrite the input")
    sentence(tool(*run, pictures, "--out", "one.png"), "there are 3 images; name a folder")
    shutil.copy(pictures / "a b.jpg", pictures / "Größe 大" / "a b.jpg")
    result = tool(*run, pictures / "a b.jpg", pictures / "Größe 大" / "a b.jpg", "--out", "out")
    sentence(result, "would both be written to")


def test_checkpoint_of_another_architecture_says_which_weights_differ(
    tool, trained, tiny_config, pictures, sentence, tmp_path
):
    other = tmp_path / "other.py"
    text = tiny_config.read_text("utf-8")
    other.write_text(text.replace("base_channels=4, num_blocks=1", "base_channels=8, num_blocks=2"))
    result = tool("translate", other, trained / "latest.pth", pictures)
    sentence(
        result, "does not fit", "missing in the checkpoint", "of another shape", "(8, 3, 7, 7)"
    )


def test_damaged_and_malicious_checkpoints_are_refused(tool, trained, pictures, sentence, tmp_path):
    data = (trained / "latest.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: len(data) // 2])
    sentence(tool("translate", "auto", tmp_path / "cut.pth", pictures), "is damaged")
    (tmp_path / "empty.pth").touch()
    sentence(tool("translate", "auto", tmp_path / "empty.pth", pictures), "empty")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    sentence(tool("translate", "auto", tmp_path / "evil.pth", pictures), "refused")
    assert not (tmp_path / "owned").exists()


def test_auto_needs_no_config_where_the_tensors_tell(tool, trained, pictures, tmp_path):
    content = read_checkpoint(trained / "latest.pth")
    content.pop("mmgen_ext")
    torch.save(content, tmp_path / "bare.pth")
    for checkpoint in (trained / "latest.pth", tmp_path / "bare.pth"):
        run = ["translate", "auto", checkpoint, pictures, "--to", "a"]
        assert tool(*run, "--out", tmp_path / checkpoint.stem).code == 0
    with_config, without = (
        np.asarray(Image.open(tmp_path / n / "a b.jpg")) for n in ("latest", "bare")
    )
    assert np.array_equal(with_config, without)


def test_auto_says_what_is_in_a_checkpoint_that_it_does_not_know(
    tool, pictures, sentence, tmp_path
):
    judge = PatchDiscriminator(in_channels=3, base_channels=4)
    torch.save(judge.state_dict(), tmp_path / "judge.pth")
    result = tool("translate", "auto", tmp_path / "judge.pth", pictures)
    sentence(
        result, "holds no config and no generator", "PatchGAN discriminator", "instead of auto"
    )
