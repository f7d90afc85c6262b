"""The pool of generated images."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from mmgen_ext.models import ImagePool


def numbered(*numbers):
    """One-pixel pictures whose value is their number."""
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1)


def test_pool_of_size_zero_returns_every_image():
    assert torch.equal(ImagePool(0).query(numbered(1, 2)), numbered(1, 2))


def test_pool_returns_the_new_images_until_it_is_full():
    pool = ImagePool(5)
    for n in range(5):
        assert pool.query(numbered(n)).item() == n


def test_pool_returns_history_half_of_the_time_after_it_is_full():
    pool = ImagePool(50, seed=1)
    returned = [pool.query(numbered(n)).item() for n in range(4050)][50:]
    old = [n - got for n, got in enumerate(returned, 50) if got != n]
    assert 0.45 < len(old) / 4000 < 0.55
    # An image waits for 100 queries on average: half of them exchange one of 50.
    assert 85 < sum(old) / len(old) < 115


@given(st.lists(st.integers(1, 4), max_size=12), st.integers(1, 6))
def test_no_image_is_lost_or_doubled(batches, size):
    pool, given_, got, n = ImagePool(size, seed=2), [], [], 0
    for batch in batches:
        images = numbered(*range(n, n + batch))
        n += batch
        given_ += images.flatten().tolist()
        got += pool.query(images).flatten().tolist()
    kept = [image.item() for image in pool.images]
    # While it fills, images are both returned and kept; afterwards each is in one place.
    filling = given_[:size]
    assert sorted(got + kept) == sorted(given_ + filling)


def test_batches_equal_single_images():
    one, many = ImagePool(3, seed=7), ImagePool(3, seed=7)
    single = torch.cat([one.query(numbered(n)) for n in range(20)])
    batched = torch.cat([many.query(numbered(*range(n, n + 4))) for n in range(0, 20, 4)])
    assert torch.equal(single, batched)


def test_state_continues_where_it_was_saved():
    pool = ImagePool(4, seed=3)
    for n in range(9):
        pool.query(numbered(n))
    copy = ImagePool(4, seed=0)
    copy.load_state_dict(pool.state_dict())
    for n in range(9, 40):
        assert torch.equal(pool.query(numbered(n)), copy.query(numbered(n)))


def test_what_is_returned_is_detached_and_what_is_kept_is_a_copy():
    pool = ImagePool(2)
    image = numbered(1).requires_grad_()
    returned = pool.query(image)
    assert not returned.requires_grad
    image.data.fill_(9)
    assert pool.images[0].item() == 1


def test_pictures_of_another_size_start_a_new_history():
    pool = ImagePool(2)
    pool.query(torch.zeros(2, 1, 4, 4))
    assert pool.query(torch.ones(1, 1, 8, 8)).shape == (1, 1, 8, 8)
