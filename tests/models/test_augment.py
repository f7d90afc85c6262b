"""Augmentation of what discriminators see."""

import itertools

import pytest
import torch

from mmgen_ext.models.augment import (
    add_noise,
    augment,
    cut_out,
    parse_augments,
    rescale,
    shift_colours,
    translate,
)


def test_colours_are_the_papers_formulas_pixel_by_pixel():
    x = torch.rand(2, 3, 4, 5) * 2 - 1
    torch.manual_seed(7)
    found = shift_colours(x)
    torch.manual_seed(7)
    brightness, saturation, contrast = (torch.rand(2) for _ in range(3))
    for n in range(2):
        picture = x[n] + brightness[n] - 0.5
        for h, w in itertools.product(range(4), range(5)):
            gray = sum(picture[:, h, w]) / 3
            picture[:, h, w] = gray + (picture[:, h, w] - gray) * saturation[n] * 2
        mean = picture.sum() / 60
        assert torch.allclose(found[n], mean + (picture - mean) * (contrast[n] + 0.5), atol=1e-6)


def test_translation_moves_each_picture_by_up_to_an_eighth_and_zeros_follow():
    x = torch.rand(64, 2, 16, 24) + 0.5
    moved = set()
    for before, after in zip(x, translate(x), strict=True):
        wide = torch.nn.functional.pad(before, (3, 3, 2, 2))
        moves = itertools.product(range(5), range(7))
        same = [m for m in moves if torch.equal(wide[:, m[0] :, m[1] :][:, :16, :24], after)]
        assert len(same) == 1
        moved.add(same[0])
    assert {y for y, _ in moved} == set(range(5))
    assert {x for _, x in moved} == set(range(7))


def test_cutout_leaves_a_hole_of_half_the_sides_anywhere():
    x = torch.rand(64, 3, 8, 12) + 0.5
    holes = set()
    for before, after in zip(x, cut_out(x), strict=True):
        rows, columns = (after[0] == 0).any(1).nonzero(), (after[0] == 0).any(0).nonzero()
        top, bottom, left, right = (int(v) for s in (rows, columns) for v in (s.min(), s.max()))
        expected = before.clone()
        expected[:, top : bottom + 1, left : right + 1] = 0
        assert torch.equal(after, expected)
        assert bottom - top < 4 and right - left < 6
        holes.add((top, bottom, left, right))
    sizes = {(bottom - top + 1, right - left + 1) for top, bottom, left, right in holes}
    assert (4, 6) in sizes and len(holes) > 20


def test_scale_resizes_by_a_quarter_at_most_and_keeps_what_is_seen():
    ramp = torch.linspace(-1, 1, 64).expand(2, 3, 64, 64)
    widths = set()
    for _ in range(100):
        y = rescale(ramp)
        widths.add(y.shape[3])
        assert y.shape[:2] == (2, 3) and y.shape[2] == y.shape[3]
        assert torch.allclose(y[0, 0, 0], torch.linspace(-1, 1, y.shape[3]), atol=0.02)
    assert min(widths) >= 48 and max(widths) <= 80 and len(widths) > 20


def test_noise_is_that_much_and_of_no_mean():
    x = torch.rand(1, 3, 128, 128)
    noise = add_noise(x) - x
    assert abs(noise.mean()) < 0.002 and abs(noise.std() - 0.05) < 0.001


@pytest.mark.parametrize("name", ["color", "translation", "cutout", "scale", "noise"])
def test_gradient_goes_through_the_augmentation(name):
    x = torch.randn(1, 3, 8, 8, dtype=torch.double, requires_grad=True)

    def once(x):
        torch.manual_seed(1)
        return augment([x], [name])[0]

    assert torch.autograd.gradcheck(once, x)


def test_batches_of_one_size_have_one_size_after_it_and_others_are_augmented_alone():
    for _ in range(5):
        a, b = augment([torch.zeros(2, 3, 40, 40), torch.ones(1, 3, 40, 40)], ["scale", "cutout"])
        assert a.shape[1:] == b.shape[1:] and (len(a), len(b)) == (2, 1)
        assert a.max() == 0 and b.max() > 0.9  # each is given back its own
    sizes = {
        (a.shape[2] / 40, b.shape[2] / 80)
        for a, b in (augment([torch.zeros(1, 3, 40, 40), torch.zeros(1, 1, 80, 80)], ["scale"])
                     for _ in range(5))
    }  # fmt: skip
    assert any(a != b for a, b in sizes)


def test_nothing_named_costs_nothing_and_names_come_as_text_or_list():
    x = torch.randn(1, 3, 8, 8)
    (same,) = augment([x], parse_augments(None))
    assert same is x
    assert parse_augments("color, cutout") == parse_augments(["color", "cutout"])
    with pytest.raises(ValueError, match="'colour' is not known; choose one of color, transl"):
        parse_augments("colour")
