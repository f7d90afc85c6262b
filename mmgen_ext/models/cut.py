"""CUT: one-sided unpaired translation by contrast of patches.

Park, Efros, Zhang and Zhu 2020, https://arxiv.org/abs/2007.15651.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..registry import MODELS
from .cyclegan import CycleGAN
from .generators import ResnetGenerator
from .layers import pass_together
from .losses import set_requires_grad
from .one_sided import OneSided
from .patch_nce import PatchProjection, choose_patches, patch_nce, take_patches


@MODELS.register_module()
class CUT(OneSided):
    """One generator and one discriminator: what stands at a place must still be told by its patch.

    `default_domain` alone is made; the other domain is the source. The generator and discriminator
    are `generators[<target>]` and `discriminators[<target>]`, as CycleGAN's of that direction.

    Args:
        generator: Config of the generator, a ResNet.
        discriminator: Config of the discriminator; None for inference alone.
        gan_loss: Config of the adversarial loss.
        domains: The two domains' names: A (folder trainA) and B (trainB).
        default_domain: The domain that is made; None for B.
        nce_weight: Factor of the contrastive loss: 1 for CUT, 10 for FastCUT.
        nce_identity: Whether pictures of the target domain must keep their patches too; the loss is
            the mean of both then, as in the paper's code. False, as FastCUT has it, saves half.
        nce_layers: Whose features are compared: numbers of layers of the generator, each meaning
            what it is given, so that 0 is the picture. None for the paper's: the picture, what both
            halvings give, and what the first and the fifth residual block give.
        num_patches: Compared in each picture, at each layer.
        temperature: tau of the paper's eq. 2.
        width: Of the networks that features go through before they are compared.
        pool_size: Generated images kept for the discriminator; the paper has none.
        **kwargs: CycleGAN's `discriminator_augment`, `source_negatives`, `channels`, `train_cfg`
            and `test_cfg`.

    Raises:
        ValueError: If the generator has no such features.
    """

    def __init__(
        self,
        generator: dict,
        discriminator: dict | None = None,
        gan_loss: dict | None = None,
        domains: Sequence[str] = ("a", "b"),
        default_domain: str | None = None,
        nce_weight: float = 1.0,
        nce_identity: bool = True,
        nce_layers: Sequence[int] | None = None,
        num_patches: int = 256,
        temperature: float = 0.07,
        width: int = 256,
        pool_size: int = 0,
        **kwargs,
    ):
        if num_patches < 2 or temperature <= 0:
            raise ValueError(
                f"num_patches={num_patches}, temperature={temperature}; expected at least 2 "
                f"patches, of which each is told from the others, and a temperature above 0"
            )
        foreign = sorted(CycleGAN.scheduled_weights.keys() & kwargs.keys())
        if foreign:
            raise ValueError(
                f"got {', '.join(foreign)}, which CUT has not; expected nce_weight and "
                f"nce_identity. Name _base_/cut.py instead of _base_/model.py and schedule.py"
            )
        kwargs["pool_size"] = pool_size
        super().__init__(generator, discriminator, gan_loss, domains, default_domain, **kwargs)
        network = self.generators[self._default_domain]
        self.nce_weight, self.nce_identity = nce_weight, nce_identity
        self.num_patches, self.temperature = num_patches, temperature
        self.nce_layers = choose_layers(network, nce_layers)
        self.projections = PatchProjection(channels_at(network, self.nce_layers), width)
        if not nce_weight:  # No process waits for their gradients.
            set_requires_grad(self.projections, False)
        self.seed = torch.initial_seed() % 2**63

    def train_step(self, data_batch: dict | Sequence[dict], optimizer: dict, **kwargs) -> dict:
        """Update the generator, the projections and the discriminator once; see CycleGAN's.

        Its `iteration` decides the patches.
        """
        if "projections" not in optimizer:
            raise ValueError(
                f"the optimizers are {', '.join(optimizer)}; CUT trains its `projections` too. Add "
                f"to the config: optimizer=dict(projections=dict(type='Adam', lr=2e-4))"
            )
        return super().train_step(data_batch, optimizer, **kwargs)

    def _generator_pass(self, real: dict) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses of the generator on one batch, and the fake that it made, detached."""
        target = self._default_domain
        network, inputs = self.generators[target], [real[self.source]]
        if not self.nce_weight:
            fake = network(*inputs).float()
            return self.adversarial_losses({target: fake}), {target: fake.detach()}
        if self.nce_identity:
            inputs.append(real[target])
        # Of what is made of the target's pictures only the patches matter.
        (fake, _), *_ = passed = pass_together(network, *inputs, through=self._contrast)
        losses = self.adversarial_losses({target: fake})
        for name, (_, contrast) in zip(("nce_loss", "nce_id_loss"), passed, strict=False):
            losses[name] = self.nce_weight / len(passed) * contrast.mean()
        return losses, {target: fake.detach()}

    def _contrast(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """G(x) of x (N, C, H, W), and the contrast of x and G(x) (N,)."""
        network = self.generators[self._default_domain]
        # The features of the source are those of the very pass that makes the fake; no gradient
        # goes through them, as in the paper's code, which computes them a second time. Of the fake
        # the first part of the generator gives them, and no more of it is computed.
        y, of_source = network(x, self.nce_layers)
        y = y.float()
        _, of_fake = network(y, self.nce_layers, to_end=False)
        places = [
            choose_patches(
                f.shape[2] * f.shape[3], self.num_patches, (self.seed, self.iteration, layer)
            ).to(x.device)
            for f, layer in zip(of_source, self.nce_layers, strict=True)
        ]
        with torch.no_grad():
            keys = self.projections(list(map(take_patches, of_source, places)))
        queries = self.projections(list(map(take_patches, of_fake, places)))
        contrasts = [
            patch_nce(query, key, self.temperature)
            for query, key in zip(queries, keys, strict=True)
        ]
        return y, torch.stack(contrasts).mean(0)


def choose_layers(generator: nn.Module, layers: Sequence[int] | None) -> list[int]:
    """The numbers of layers of a generator whose inputs are compared.

    Raises:
        ValueError: If it is no ResNet, or has no such layers.
    """
    if not isinstance(generator, ResnetGenerator):
        raise ValueError(
            f"CUT compares features of a ResNet's layers, and the generator is a "
            f"{type(generator).__name__}; take type='mmgen_ext.ResnetGenerator'"
        )
    head, last, blocks = generator.trunk.start, generator.trunk.stop, list(generator.trunk)
    if layers is None:  # where it blurs, two layers make each halving
        return sorted({0, (head + 1) // 2, head, *(i + 1 for i in (blocks[:1] + blocks[:5][-1:]))})
    layers = list(layers)
    whole = all(isinstance(n, int) and 0 <= n <= last for n in layers)
    if not layers or not whole or layers != sorted(set(layers)):
        raise ValueError(
            f"nce_layers={layers}; expected rising numbers from 0, the picture, to {last}, what "
            f"the last of {len(blocks)} residual blocks gives, as {choose_layers(generator, None)}"
        )
    return layers


@torch.no_grad()
def channels_at(generator: nn.Module, layers: Sequence[int]) -> list[int]:
    """Channels of what layers are given: of the picture and of its translation alike.

    Raises:
        ValueError: If the generator makes pictures of other channels than it takes.
    """
    weights = [p for p in generator.parameters() if p.ndim == 4]
    training, side = generator.training, max(16, generator.min_size)
    picture = weights[0].new_zeros(1, weights[0].shape[1], side, side)
    made, features = generator.eval()(picture, layers)
    generator.train(training)
    if made.shape != picture.shape:
        raise ValueError(
            f"the generator makes {made.shape[1]} channels of {picture.shape[1]}; CUT passes what "
            f"it makes through it again, so both domains must have the same channels. Train "
            f"mmgen_ext.CycleGAN on these"
        )
    return [f.shape[1] for f in features]
