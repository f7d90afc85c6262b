"""Generators: the paper's ResNet and pix2pix's U-Net. Parameter names and shapes are mmgen's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..registry import MODULES
from .chain import way_through
from .efficientnet_lite import LEAST, ImageNetFeatures
from .layers import UPSAMPLES, BlurPool, ConvBlock, Network, check_choice


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the input is added, without an activation after the sum.

    Args:
        channels: Channels of input and output.
        padding_mode: See ConvBlock.
        norm: See ConvBlock.
        use_dropout: Drop half of the activations between the convolutions.
        recompute: See ResnetGenerator.
    """

    def __init__(
        self, channels: int, padding_mode: str, norm: str, use_dropout: bool, recompute: bool
    ):
        super().__init__()
        self.recompute = recompute
        ends = dict(padding_mode=padding_mode, norm=norm)
        self.block = nn.Sequential(
            *self.convolution(channels, "relu", **ends),
            *([nn.Dropout(0.5)] if use_dropout else []),
            *self.convolution(channels, None, **ends),
        )

    @staticmethod
    def convolution(channels: int, activation: str | None, **kwargs) -> list[ConvBlock]:
        """What makes one of the two convolutions; `kwargs` are ConvBlock's."""
        shape = dict(kernel_size=3, padding=1)
        return [ConvBlock(channels, channels, activation=activation, **shape, **kwargs)]

    def forward(self, x: Tensor) -> Tensor:
        """Return x + block(x), of x's shape (N, channels, H, W)."""
        return self.add(self.block, x)

    def add(self, block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return x + block(x), where `block` computes what `self.block` does."""
        if self.recompute and torch.is_grad_enabled():
            return x + checkpoint(block, x, use_reentrant=False)
        return x + block(x)


def halving(channels: int, downsample: str, conv: dict) -> list[nn.Module]:
    """Layers to twice the channels at half the size; `conv` as for a strided ConvBlock."""
    if downsample == "blur":
        return [ConvBlock(channels, 2 * channels, **{**conv, "stride": 1}), BlurPool(2 * channels)]
    return [ConvBlock(channels, 2 * channels, **conv)]


def softened(x: Tensor, radius: int) -> Tensor:
    """Pictures (N, C, H, W) without what is finer than some `radius` pixels: nearly a Gaussian's.

    Means of 2 radius + 1 pixels in both directions, twice; the border mirrors what is inside.
    """
    side = 2 * radius + 1
    for _ in range(2):
        x = F.pad(x, (radius,) * 4, mode="reflect")
        x = F.avg_pool2d(F.avg_pool2d(x, (side, 1), 1), (1, side), 1)
    return x


class Recolor(nn.Conv2d):
    """A matrix of colours for each place, read off features; at first it changes nothing.

    After Gharbi et al. 2017, "Deep bilateral learning", https://arxiv.org/abs/1707.02880.

    Args:
        features: Channels that they are read off.
        channels: Of the pictures.
    """

    scale = 4  # pixels of the picture to one of the features

    def __init__(self, features: int, channels: int):
        super().__init__(features, channels * (channels + 1), 1)

    def rows(self, matrices: Tensor, start: int, stop: int) -> Tensor:
        """Rows of the picture's size of `forward`'s matrices (N, C (C + 1), H / 4, W / 4)."""
        first = max(0, start // self.scale - 1)
        part = matrices[:, :, first : -(-stop // self.scale) + 1]
        part = F.interpolate(part, scale_factor=self.scale, mode="bilinear")
        return part[:, :, start - first * self.scale : stop - first * self.scale]

    @staticmethod
    def apply_to(source: Tensor, matrices: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] and each pixel's matrix to pictures in [-1, 1]."""
        *factors, added = matrices.unflatten(1, (-1, source.shape[1])).unbind(1)
        for channel, factor in zip(source.split(1, 1), factors, strict=True):
            added = added + factor * channel
        return (source + added).clamp(-1, 1)


class Semantics(nn.Module):
    """What is where in a picture, as a frozen network trained on ImageNet sees it.

    Args:
        channels: Of what is returned.
        enlarge: See ImageNetFeatures.
    """

    def __init__(self, channels: int, enlarge: int):
        super().__init__()
        # Nothing is learned of how a picture would have to change for something else to be seen.
        self.features = ImageNetFeatures((3, 5, 7), enlarge, most=2**20, teaches=False)
        self.convs = nn.ModuleList(
            nn.Conv2d(each, channels, 1, bias=False) for each in self.features.channels
        )

    def forward(self, seen: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """(N, channels, *size) of what `features` make of pictures."""
        made = [conv(each) for conv, each in zip(self.convs, seen, strict=True)]
        return sum(F.interpolate(each, size, mode="bilinear") for each in made)


@MODULES.register_module()
class ResnetGenerator(Network):
    """The generator of CycleGAN (Zhu et al. 2017, appendix 7.2), after Johnson et al. 2016.

    Args:
        in_channels: Channels of the source domain's images.
        out_channels: Channels of the target domain's images.
        base_channels: Channels after the first convolution; four times as many in the blocks.
        num_blocks: Residual blocks; the paper takes 6 at 128 x 128 and 9 from 256 x 256 on.
        norm: 'instance' | 'instance_affine' | 'batch' | 'none'.
        use_dropout: Dropout inside the residual blocks.
        padding_mode: 'reflect' | 'replicate' | 'zeros'.
        upsample: 'deconv' as in the paper, or 'resize' or 'subpixel' against checkerboards; see
            ConvBlock. They do not share weights.
        downsample: 'stride' as in the paper, or 'blur': a convolution at full size, then a low
            pass before every second pixel is taken; see BlurPool. Four times the work there.
        global_skip: The last layer makes not the picture but how far each value goes from the
            input's to white (at 1) or black (at -1). Training begins with the picture itself.
        smoothing: Radius, in pixels, of what a picture may lose before it is changed: the last
            layer also makes, for each pixel, how much of a softened picture is in what the change
            begins with. So a pattern, as a zebra's stripes, can be taken away without being painted
            over line by line. It begins with a twentieth. 0 is without; needs `global_skip`.
        recolor: Before it is changed, each pixel of a picture goes through a matrix of its place,
            which the residual blocks' output makes: colours and contrast of whole areas change
            without being painted pixel by pixel. For narrow networks, as a Distiller's student;
            needs `global_skip`.
        last_activation: 'tanh' as in the paper, or 'softsign', x / (1 + |x|): its gradient stays
            where that of tanh vanishes, so what was painted black or white can be taken back.
        semantics: Factor by which pictures are enlarged for a frozen network trained on ImageNet
            (see ImageNetFeatures), whose features are added before the residual blocks: they tell
            a horse from a meadow from the first step on. 0 is without. For pictures of 3 channels
            or 1.
        recompute: Keep only the input of each residual block in training, and compute the rest
            again when its gradient is due: less memory for one more forward pass of the blocks.
        init_cfg: `dict(type='normal'|'xavier'|'kaiming'|'orthogonal', gain=0.02)`.
    """

    # Sides of the input are rounded up to a multiple of this, and must be at least `min_size`
    # for reflection padding at the narrowest place.
    size_divisor = 4
    min_size = 8
    block_type = ResidualBlock

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        base_channels: int = 64,
        num_blocks: int = 9,
        norm: str = "instance",
        use_dropout: bool = False,
        padding_mode: str = "reflect",
        upsample: str = "deconv",
        downsample: str = "stride",
        recompute: bool = False,
        global_skip: bool = False,
        smoothing: int = 0,
        recolor: bool = False,
        last_activation: str = "tanh",
        semantics: int = 0,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if semantics < 0 or (semantics and in_channels not in (1, 3)):
            raise ValueError(
                f"got semantics={semantics} and in_channels={in_channels}; expected 0 or more, and "
                f"pictures of 3 channels or 1, which a network trained on photographs takes"
            )
        if global_skip and in_channels != out_channels:
            raise ValueError(
                f"got in_channels={in_channels}, out_channels={out_channels}; expected the same of "
                f"both, as a picture and its change are added. Set global_skip=False"
            )
        if smoothing < 0 or ((smoothing or recolor) and not global_skip):
            raise ValueError(
                f"got smoothing={smoothing}, recolor={recolor} and global_skip={global_skip}; "
                f"expected smoothing=0 or pixels, and global_skip=True for either: it is the "
                f"picture itself that is softened and recoloured"
            )
        if num_blocks < recolor:
            raise ValueError(
                f"got num_blocks={num_blocks}; expected {int(recolor)} or more, as the paper 6 or 9"
            )
        check_choice("upsample", upsample, UPSAMPLES)
        check_choice("downsample", downsample, ("stride", "blur"))
        check_choice("last_activation", last_activation, ("tanh", "softsign"))
        c = base_channels
        ends = dict(kernel_size=7, padding=3, padding_mode=padding_mode)
        scale = dict(kernel_size=3, stride=2, padding=1, norm=norm)
        self.model = nn.Sequential(
            ConvBlock(in_channels, c, norm=norm, **ends),
            *halving(c, downsample, scale),
            *halving(2 * c, downsample, scale),
            *(
                self.block_type(4 * c, padding_mode, norm, use_dropout, recompute)
                for _ in range(num_blocks)
            ),
            ConvBlock(4 * c, 2 * c, upsample=upsample, **scale),
            ConvBlock(2 * c, c, upsample=upsample, **scale),
            ConvBlock(c, out_channels + bool(smoothing), activation=last_activation, **ends),
        )
        self.smoothing = smoothing
        self.min_size = max(self.min_size, -(-(smoothing + 1) // 4) * 4)
        self.recolor = Recolor(4 * c, out_channels) if recolor else None
        self.semantics = Semantics(4 * c, semantics) if semantics else None
        if semantics:
            self.min_size = max(self.min_size, -(-LEAST // (4 * semantics)) * 4)
        self.global_skip = global_skip
        if global_skip:
            # Part of a checkpoint: it says that these are not the weights of a plain one.
            self.register_buffer("skip", torch.ones(()))
        self.init_weights()

    def init_weights(self) -> None:
        """Draw new weights as `init_cfg` says; with `global_skip` the first change is none."""
        super().init_weights()
        if self.global_skip:
            nn.init.zeros_(self.model[-1].conv.weight)
        if self.recolor is not None:
            nn.init.zeros_(self.recolor.weight)
            nn.init.zeros_(self.recolor.bias)

    @property
    def reach(self) -> int:
        """Rows above and below of the source that `finish` needs for one."""
        return 2 * self.smoothing

    def finish(
        self, made: Tensor, source: Tensor, above: int = 0, matrices: Tensor | None = None
    ) -> Tensor:
        """What is returned for `source`, or rows of it, of which the last layer made `made`.

        Args:
            made: Of as many rows as are returned.
            source: These rows, with `reach` more above and below but where the picture ends.
            above: How many are above.
            matrices: These rows of what `recolor` makes.
        """
        if not self.global_skip:
            return made
        if self.smoothing:
            rows = slice(above, above + made.shape[2])
            made, share = made[:, :-1], made[:, -1:]
            share = torch.sigmoid(6 * share - 3)  # hardly any at first
            soft = softened(source, self.smoothing)[:, :, rows]
            source = source[:, :, rows].lerp(soft, share.to(source.dtype))
        if matrices is not None:
            source = self.recolor.apply_to(source, matrices)
        # As gradients: nowhere cut off, and at 0 that of either side.
        return source + made * torch.where(made > 0, 1 - source, 1 + source)

    @property
    def sight(self) -> ImageNetFeatures | None:
        """What the source's semantics are seen through."""
        return self.semantics and self.semantics.features

    def forward(
        self,
        x: Tensor,
        taps: Sequence[int] = (),
        to_end: bool = True,
        seen: Sequence[Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Translate x (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1].

        Args:
            x: Pictures.
            taps: Numbers of layers, rising; what they are given is returned beside the translation.
            to_end: Whether to go on after the last of `taps`; else x of there is returned.
            seen: What `sight` makes of x; None to look.
        """
        run, source, first, given = way_through(self, x), x, self.trunk.start, []

        def through(x: Tensor, begin: int, end: int) -> Tensor:
            if self.semantics is None or not begin <= first < end:
                return run(self.model[begin:end], x)
            x = run(self.model[begin:first], x)
            what = self.semantics.features(source) if seen is None else seen
            return run(self.model[first:end], x + self.semantics(what, x.shape[2:]).to(x.dtype))

        for begin, end in pairwise((0, *taps)):
            x = through(x, begin, end)
            given.append(x)
        if to_end:
            last, matrices = self.trunk.stop, None
            x = through(x, taps[-1] if taps else 0, last)
            if self.recolor is not None:
                matrices = self.recolor.rows(self.recolor(x), 0, source.shape[2])
            x = self.finish(through(x, last, len(self.model)), source, matrices=matrices)
        return (x, given) if taps else x

    def taps(self, count: int) -> list[int]:
        """Layers at the beginning and end of the residual blocks and evenly between, for `forward`.

        Networks of any depth have them at the same places.
        """
        first, number = self.trunk.start, len(self.trunk)
        return [first + round(i * number / max(1, count - 1)) for i in range(count)]

    @property
    def trunk(self) -> range:
        """Numbers of the residual blocks' layers, also where there is none."""
        end = len(self.model) - 3  # two layers enlarge, and one makes the picture
        number = sum(isinstance(layer, ResidualBlock) for layer in self.model)
        return range(end - number, end)


class SkipBlock(nn.Module):
    """One level of the U-Net: halve, the level below, double; its input is appended to its output.

    Args:
        outer_channels: Channels of the output.
        inner_channels: Channels at half the size.
        in_channels: Channels of the input; None for `outer_channels`.
        below: The level below; None for the innermost.
        outermost: Whether this is the whole network: tanh and no skip.
        norm: See ConvBlock.
        use_dropout: Drop half of the output.
    """

    def __init__(
        self,
        outer_channels: int,
        inner_channels: int,
        in_channels: int | None = None,
        below: SkipBlock | None = None,
        outermost: bool = False,
        norm: str = "batch",
        use_dropout: bool = False,
    ):
        super().__init__()
        self.outermost = outermost
        conv = dict(kernel_size=4, stride=2, padding=1, activation_first=True)
        down = ConvBlock(
            in_channels or outer_channels,
            inner_channels,
            norm="none" if outermost or below is None else norm,
            activation=None if outermost else "leaky_relu",
            bias=norm != "batch",
            **conv,
        )
        up = ConvBlock(
            inner_channels * (1 if below is None else 2),
            outer_channels,
            upsample="deconv",
            norm="none" if outermost else norm,
            activation="relu",
            bias=outermost or norm != "batch",
            **conv,
        )
        model = [down, up] if below is None else [down, below, up]
        if outermost:
            model.append(nn.Tanh())
        elif use_dropout:
            model.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*model)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + outer_channels, H, W); the outermost level to outer_channels."""
        # The level's first activation works in place, so what is skipped is the activated x: an
        # accident of the original code that all trained weights expect.
        y = self.model(x)
        return y if self.outermost else torch.cat([x, y], 1)


@MODULES.register_module()
class UnetGenerator(Network):
    """The U-Net generator of pix2pix (Isola et al. 2017, appendix 6.1).

    Args:
        in_channels: Channels of the source domain's images.
        out_channels: Channels of the target domain's images.
        num_down: Halvings, at least 5; sides are multiples of 2 ** num_down.
        base_channels: Channels after the first convolution.
        norm: 'instance' | 'instance_affine' | 'batch' | 'none'.
        use_dropout: Dropout in the levels between the fourth and the innermost.
        init_cfg: `dict(type='normal'|'xavier'|'kaiming'|'orthogonal', gain=0.02)`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        num_down: int = 8,
        base_channels: int = 64,
        norm: str = "batch",
        use_dropout: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if num_down < 5:
            raise ValueError(f"num_down={num_down}: the U-Net needs at least 5 halvings")
        self.size_divisor = self.min_size = 2**num_down
        c = base_channels
        block = SkipBlock(8 * c, 8 * c, norm=norm)
        for _ in range(num_down - 5):
            block = SkipBlock(8 * c, 8 * c, below=block, norm=norm, use_dropout=use_dropout)
        for outer in (4, 2, 1):
            block = SkipBlock(outer * c, 2 * outer * c, below=block, norm=norm)
        self.model = SkipBlock(out_channels, c, in_channels, block, outermost=True, norm=norm)
        self.init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Translate x (N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1].

        Raises:
            ValueError: If a side is not a multiple of 2 ** num_down.
        """
        if x.shape[-1] % self.size_divisor or x.shape[-2] % self.size_divisor:
            raise ValueError(
                f"UnetGenerator got {x.shape[-2]} x {x.shape[-1]} pixels; both sides must be "
                f"multiples of {self.size_divisor}. Lower num_down or pad the image"
            )
        return self.model(x)
