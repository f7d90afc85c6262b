"""3 x 3 convolutions with 2.25 times fewer multiplications: Winograd's minimal filtering F(2 x 2).

For tiles d of 4 x 4 pixels and a kernel g, the 2 x 2 results are A'[(G g G') * (B' d B)]A: one
product for each of 16 frequencies, summed over the channels as 16 matrix products (Lavin and Gray,
Fast Algorithms for Convolutional Neural Networks, 2016). In float32 it is rounded less than the
plain sum of 9 products, in bfloat16 about twice as much.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import torch
from torch import Tensor

_B = torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
_G = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_A = torch.tensor([[1.0, 1, 1, 0], [0, 1, -1, -1]])
OF_TILE, OF_KERNEL, OF_RESULT = (torch.kron(m, m) for m in (_B, _G, _A))
LEAST_CHANNELS = 64
TILES = 256  # at once: what is computed of them stays in a processor's cache
_rooms = threading.local()


def is_for(kernel: Tensor, stride: int, padding: int, x: Tensor) -> bool:
    """Whether it pays: 3 x 3, stride 1, no zeros around, an even result, many channels.

    Args:
        kernel: (out, in, h, w).
        stride: Step.
        padding: Zeros around the picture.
        x: The input (N, in, H, W).
    """
    return (
        kernel.shape[2:] == (3, 3)
        and min(kernel.shape[:2]) >= LEAST_CHANNELS
        and (stride, padding) == (1, 0)
        and not (x.shape[2] % 2 or x.shape[3] % 2)
    )


def transform_kernel(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    """(out, in, 3, 3) to (16, in, out) of `dtype`."""
    out, inside = kernel.shape[:2]
    taps = kernel.permute(2, 3, 1, 0).reshape(9, -1)
    # Autocast would round twice.
    with torch.autocast("cpu", enabled=False):
        return (OF_KERNEL @ taps).view(16, inside, out).to(dtype)


def _strips(rows: int, width: int) -> Iterator[slice]:
    """Rows of tiles that are computed at once."""
    step = max(1, TILES // width)
    return (slice(begin, min(begin + step, rows)) for begin in range(0, rows, step))


def _room(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Memory for what is computed of a strip, each time the same: it is still in the cache."""
    rooms, key, size = _rooms.__dict__, (name, dtype), math.prod(shape)
    if key not in rooms or rooms[key].numel() < size:
        rooms[key] = torch.empty(size, dtype=dtype)
    return rooms[key][:size].view(shape)


def _times(transform: Tensor, tiles: Tensor, name: str) -> Tensor:
    """The matrix (n, m) times tiles (m, ..., C), as (n, tiles, C) in the room `name`."""
    out = _room(
        name, (len(transform), tiles[0].numel() // tiles.shape[-1], tiles.shape[-1]), tiles.dtype
    )
    torch.mm(transform.to(tiles.dtype), tiles.view(len(tiles), -1), out=out.view(len(out), -1))
    return out


def _product(name: str, a: Tensor, b: Tensor) -> Tensor:
    """The matrix product of each frequency, in the room `name`."""
    return torch.bmm(a, b, out=_room(name, (16, a.shape[1], b.shape[2]), a.dtype))


def _frequencies(picture: Tensor, strip: slice, width: int) -> Tensor:
    """Tiles of a strip of a picture (H, W, C) as (16, tiles, C)."""
    rows, (y, x, c) = strip.stop - strip.start, picture.stride()
    tiles = picture[2 * strip.start :].as_strided(
        (4, 4, rows, width, picture.shape[2]), (y, x, 2 * y, 2 * x, c),
        picture.storage_offset() + 2 * strip.start * y,
    )  # fmt: skip
    return _times(OF_TILE, _copied(tiles, "tiles").flatten(0, 1), "frequencies")


def _copied(tiles: Tensor, name: str) -> Tensor:
    """A view as contiguous numbers in the room `name`."""
    return _room(name, tiles.shape, tiles.dtype).copy_(tiles)


def _in_tiles(picture: Tensor, strip: slice) -> Tensor:
    """A strip of a result (H, W, C) as (2, 2, rows, columns, C): a view."""
    rows = picture[2 * strip.start : 2 * strip.stop]
    return rows.unflatten(1, (-1, 2)).unflatten(0, (-1, 2)).permute(1, 3, 0, 2, 4)


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """The convolution of x, in channels_last.

    Args:
        x: (N, in, H + 2, W + 2) in channels_last, H and W even.
        kernel: See transform_kernel.

    Returns:
        (N, out, H, W).
    """
    n, _, height, width = x.shape
    out = x.new_empty(n, height - 2, width - 2, kernel.shape[2])
    columns = width // 2 - 1
    for picture, result in zip(x.permute(0, 2, 3, 1), out, strict=True):
        for strip in _strips(height // 2 - 1, columns):
            products = _product("products", _frequencies(picture, strip, columns), kernel)
            target = _in_tiles(result, strip)
            target.copy_(_times(OF_RESULT, products, "result").view(target.shape))
    return out.permute(0, 3, 1, 2)


def gradients(
    grad: Tensor, x: Tensor, kernel: Tensor, of_x: bool, of_kernel: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of convolve's x, in channels_last, and of the kernel (out, in, 3, 3), float32.

    Args:
        grad: Of the result, in channels_last.
        x: As given to `convolve`.
        kernel: As given to `convolve`.
        of_x: Whether the first is wanted.
        of_kernel: Whether the second is wanted.
    """
    n, inside, height, width = x.shape
    grad_x = x.new_zeros(n, height, width, inside) if of_x else None
    grad_kernel = torch.zeros(kernel.shape) if of_kernel else None
    columns = width // 2 - 1
    for i, (picture, given) in enumerate(
        zip(x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1), strict=True)
    ):
        for strip in _strips(height // 2 - 1, columns):
            results = _copied(_in_tiles(given, strip), "result").flatten(0, 1)
            products = _times(OF_RESULT.t(), results, "products")
            if of_kernel:
                tiles = _frequencies(picture, strip, columns)
                of_strip = _product("kernel", tiles.transpose(1, 2), products)
                if of_strip.dtype != torch.float32:  # added as it is, it would take memory anew
                    of_strip = _room("float", kernel.shape, torch.float32).copy_(of_strip)
                grad_kernel += of_strip
            if of_x:
                back = _product("frequencies", products, kernel.transpose(1, 2))
                _add_tiles(grad_x[i], back, strip, columns)
    if of_kernel:
        taps = OF_KERNEL.t() @ grad_kernel.flatten(1)
        grad_kernel = taps.view(3, 3, *kernel.shape[1:]).permute(3, 2, 0, 1)
    return None if grad_x is None else grad_x.permute(0, 3, 1, 2), grad_kernel


def _add_tiles(total: Tensor, frequencies: Tensor, strip: slice, width: int) -> None:
    """Add the transpose of _frequencies to `total` (H, W, C); neighbouring tiles overlap."""
    rows = strip.stop - strip.start
    tiles = _times(OF_TILE.t(), frequencies, "tiles").view(2, 2, 2, 2, rows, width, -1)
    halves = total.unflatten(1, (-1, 2)).unflatten(0, (-1, 2))  # (H/2, 2, W/2, 2, C)
    for a in range(2):
        for b in range(2):
            part = halves[strip.start + a : strip.stop + a, :, b : b + width]
            part += tiles[a, :, b].permute(2, 0, 3, 1, 4)
