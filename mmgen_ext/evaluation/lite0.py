"""EfficientNet-Lite0 as a feature extractor; see models/efficientnet_lite.py."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torch_fidelity import FeatureExtractorBase, register_feature_extractor

from ..models.efficientnet_lite import EfficientNetLite, FrozenConv, read_weights

SIDE = 224


class Lite0(FeatureExtractorBase):
    """Global average of the last feature map, as an extractor of torch-fidelity's.

    Args:
        name: Under which it is registered.
        features_list: `["1280"]`.
        **kwargs: torch-fidelity's; unused.
    """

    def __init__(self, name: str, features_list: list[str], **kwargs):
        super().__init__(name, features_list)
        state = read_weights("lite0")
        self.network = EfficientNetLite("lite0", state)
        self.head = FrozenConv(state, "_conv_head", "_bn1")

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
        x = self.head(self.network(x.clamp(0, 255) / 255)[-1])  # (N, 1280, 7, 7)
        return (x.mean((2, 3)),)


# torch_fidelity.calculate_metrics(..., feature_extractor="lite0") finds it by this.
register_feature_extractor("lite0", Lite0)
