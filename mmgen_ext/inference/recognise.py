"""Which of our generators a set of tensors is: told by the sequence of its layers, not by names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..models.generators import ResnetGenerator, UnetGenerator
from ..models.layers import ConvBlock
from .layer_list import Layer, Unlike, in_order_of_numbers, read_layers

NETWORKS = {"ResnetGenerator": ResnetGenerator, "UnetGenerator": UnetGenerator}


def recognise(state: Mapping[str, Tensor]) -> tuple[dict, dict[str, Tensor]]:
    """Config and weights of the generator that tensors make up.

    Channels of weights under other names than ours and mmgen's are taken as RGB, as everyone
    else's are, and turned to BGR. Read as in the paper, because no file tells: padding of the down
    convolutions, activations, and a norm without parameters.

    Args:
        state: Tensors of one network, in the order of its layers or of their numbers.

    Returns:
        A `generator` config of ours, and its state dict.

    Raises:
        Unlike: With the nearest match.
    """
    faults = []
    tries = itertools.product((state, in_order_of_numbers(state)), (match_resnet, match_unet))
    for ordered, match in tries:
        layers, odd = read_layers(ordered)
        if not layers:
            raise Unlike("it has no convolutions", -1)
        try:
            config = match([tuple(layer.weight.shape) for layer in layers])
            if odd:
                raise Unlike(f"it looks like {describe(config)}, but has {odd[0]}", len(layers))
            return convert(layers, config, ours=set(state))
        except Unlike as fault:
            faults.append(fault)
    raise max(faults, key=lambda fault: fault.depth)


def match_resnet(shapes: list[tuple]) -> dict:
    """Config of the ResNet generator whose convolutions have these shapes.

    Raises:
        Unlike: If there is none.
    """
    c, in_channels = shapes[0][:2]
    same = (4 * c, 4 * c, 3, 3)
    blocks = shapes.count(same)
    # (in, out, k, k) of a transposed convolution, or (out, in, k, k) after resizing.
    deconv = len(shapes) > 2 and shapes[-3][0] == 4 * c
    ups = [(4 * c, 2 * c, 3, 3), (2 * c, c, 3, 3)]
    ups = ups if deconv else [(o, i, *k) for i, o, *k in ups]
    out_channels = shapes[-1][0]
    _compare(
        "the ResNet generator",
        shapes,
        [(c, in_channels, 7, 7), (2 * c, c, 3, 3), (4 * c, 2 * c, 3, 3)]
        + [same] * blocks
        + [*ups, (out_channels, c, 7, 7)],
    )
    if blocks % 2:
        text = f"it looks like the ResNet generator, but has {blocks} convolutions in its blocks"
        raise Unlike(f"{text}; expected two in each", len(shapes))
    return dict(
        type="mmgen_ext.ResnetGenerator",
        in_channels=in_channels,
        out_channels=out_channels,
        base_channels=c,
        num_blocks=blocks // 2,
        upsample="deconv" if deconv else "resize",
    )


def match_unet(shapes: list[tuple]) -> dict:
    """Config of the U-Net whose convolutions have these shapes.

    Raises:
        Unlike: If there is none.
    """
    if len(shapes) > 2 and {s[2:] for s in shapes} == {(4, 4)} and shapes[-1][0] == 1:
        text = "it is a PatchGAN discriminator; translating needs a generator"
        raise Unlike(text, len(shapes))
    c, in_channels = shapes[0][:2]
    num_down = max(5, len(shapes) // 2)
    widths = [c, 2 * c, 4 * c, *[8 * c] * (num_down - 3)]
    down = list(zip(widths, [in_channels, *widths], strict=False))
    out_channels = shapes[-1][1]
    # What comes up is joined with what went down, but for the innermost.
    into = [widths[-1], *(2 * w for w in widths[-2::-1])]
    up = list(zip(into, [*widths[-2::-1], out_channels], strict=True))
    _compare("the U-Net", shapes, [(*pair, 4, 4) for pair in down + up])
    return dict(
        type="mmgen_ext.UnetGenerator",
        in_channels=in_channels,
        out_channels=out_channels,
        base_channels=c,
        num_down=num_down,
    )


def _compare(name: str, shapes: list[tuple], want: list[tuple]) -> None:
    """Raise Unlike at the first convolution that differs."""
    for i, (got, expected) in enumerate(zip(shapes, want, strict=False)):
        if got != expected:
            like = f"it begins like {name}, but" if i else f"it is not {name}:"
            text = f"{like} convolution {i + 1} has weights {got}; expected {expected}"
            raise Unlike(text, i)
    if len(shapes) != len(want):
        text = f"has {len(shapes)} convolutions; expected {len(want)}"
        raise Unlike(f"it begins like {name}, but {text}", min(len(shapes), len(want)))


def describe(config: Mapping) -> str:
    """A recognised config in words."""
    if config["type"].endswith("ResnetGenerator"):
        size = f"ResNet generator with {config['num_blocks']} blocks"
    else:
        size = f"U-Net with {config['num_down']} halvings"
    return f"the {size} and {config['base_channels']} channels"


def convert(layers: list[Layer], config: dict, ours: set[str]) -> tuple[dict, dict[str, Tensor]]:
    """Config with its norm, and the layers under our names, BGR.

    Args:
        layers: As `read_layers` returns.
        config: As `match_resnet` or `match_unet` returns.
        ours: The file's keys: if they are ours, the channels are in our order already.

    Raises:
        Unlike: If the layers differ in what shapes do not show.
    """
    config = {**config, "norm": layers[1].norm_kind}
    arguments = {key: value for key, value in config.items() if key != "type"}
    with torch.device("meta"):  # The structure alone, at no cost.
        network = NETWORKS[config["type"].rpartition(".")[2]](**arguments)
    blocks = {name: m for name, m in network.named_modules() if isinstance(m, ConvBlock)}
    state: dict[str, Tensor] = {}
    for layer, (name, block) in zip(layers, blocks.items(), strict=True):
        fault = _difference(layer, block, config["norm"])
        if fault:
            text = f"it looks like {describe(config)}, but {layer.name} {fault}"
            raise Unlike(text, len(layers))
        state |= {f"{name}.{key}": value for key, value in _convert_layer(layer, block).items()}
    if set(state) != {key for key in ours if "num_batches" not in key}:
        _swap_red_and_blue(state, list(blocks), list(blocks.values())[-1].conv)
    batch_norms = [name for name, block in blocks.items() if block.bn is not None]
    state |= {f"{name}.bn.num_batches_tracked": torch.tensor(0) for name in batch_norms}
    return config, {key: state[key].contiguous() for key in network.state_dict()}


def _difference(layer: Layer, block: ConvBlock, norm: str) -> str | None:
    """What a layer has that its place has not, or the other way round."""
    if block.bn is None and getattr(block, "in") is None:
        if "weight" in layer.norm:
            return "has a norm after it; expected none there"
        if layer.bias is not None and block.conv.bias is None:
            return "has a bias; expected none there"
    elif layer.norm_kind != norm:
        return f"has {layer.norm_kind} norm after it, the others have {norm}"
    # The paper's code without padding layers in its blocks: zeros, while the ends are mirrored.
    if layer.name.endswith("conv_block.0"):
        return "pads with zeros inside its block; expected mirrored pixels, as at the ends"
    return None


def _convert_layer(layer: Layer, block: ConvBlock) -> dict[str, Tensor]:
    """The tensors of one convolution and its norm under ConvBlock's names."""
    tensors = {"conv.weight": layer.weight}
    if block.bn is not None:
        norm = dict(layer.norm)
        if layer.bias is not None:  # norm(x + bias) is norm(x) with the mean moved by the bias.
            norm["running_mean"] = norm["running_mean"] - layer.bias
        return tensors | {f"bn.{key}": value for key, value in norm.items()}
    if block.conv.bias is not None:
        zeros = torch.zeros(block.conv.bias.shape, dtype=layer.weight.dtype)
        tensors["conv.bias"] = zeros if layer.bias is None else layer.bias
    if getattr(block, "in") is not None and "weight" in layer.norm:
        tensors |= {f"in.{key}": layer.norm[key] for key in ("weight", "bias")}
    return tensors


def _swap_red_and_blue(state: dict[str, Tensor], names: list[str], last: nn.Module) -> None:
    """Turn an RGB network into a BGR one where it takes or makes three channels."""
    first, final = f"{names[0]}.conv.weight", f"{names[-1]}.conv"
    if state[first].shape[1] == 3:
        state[first] = state[first].flip(1)
    if last.out_channels == 3:
        axis = 1 if last.transposed else 0
        state[f"{final}.weight"] = state[f"{final}.weight"].flip(axis)
        state[f"{final}.bias"] = state[f"{final}.bias"].flip(0)
