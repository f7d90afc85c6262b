"""CUT: one-sided unpaired translation by contrast of patches.

Park, Efros, Zhang and Zhu 2020, https://arxiv.org/abs/2007.15651.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..registry import MODELS
from .augment import augment
from .cyclegan import CycleGAN
from .generators import ResidualBlock, ResnetGenerator
from .layers import is_per_image
from .losses import set_requires_grad
from .patch_nce import PatchProjection, choose_patches, patch_nce, take_patches


@MODELS.register_module()
class CUT(CycleGAN):
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
        **kwargs: CycleGAN's `discriminator_augment`, `channels`, `train_cfg` and `test_cfg`.

    Raises:
        ValueError: If the generator has no such features.
    """

    scheduled_weights: ClassVar[dict[str, str | None]] = {}

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
        kwargs |= dict(cycle_weight=0.0, identity_weight=0.0, pool_size=pool_size)
        super().__init__(generator, discriminator, gan_loss, domains, default_domain, **kwargs)
        target = self._default_domain
        self.source = next(domain for domain in domains if domain != target)
        self._reachable_domains = [target]
        self.generators = nn.ModuleDict({target: self.generators[target]})
        if self.discriminators is not None:
            self.discriminators = nn.ModuleDict({target: self.discriminators[target]})
        self.pools = {target: self.pools[target]}
        self.real_domains = [self.source, target]
        self.nce_weight, self.nce_identity = nce_weight, nce_identity
        self.num_patches, self.temperature = num_patches, temperature
        self.nce_layers = choose_layers(self.generators[target], nce_layers)
        counts = channels_at(self.generators[target], self.nce_layers)
        self.projections = PatchProjection(counts, width)
        if not nce_weight:  # No process waits for their gradients.
            set_requires_grad(self.projections, False)
        self.seed = torch.initial_seed() % 2**63
        self.patch_number = 0

    def train_step(
        self,
        data_batch: dict | Sequence[dict],
        optimizer: dict,
        running_status: Mapping | None = None,
        **kwargs,
    ) -> dict:
        """Update the generator, the projections and the discriminator once; see CycleGAN's.

        Args:
            data_batch: As CycleGAN's.
            optimizer: `generators`, `discriminators` and `projections`.
            running_status: `iteration`, which decides the patches; None counts the calls.
            **kwargs: CycleGAN's.
        """
        if "projections" not in optimizer:
            raise ValueError(
                f"the optimizers are {', '.join(optimizer)}; CUT trains its `projections` too. Add "
                f"to the config: optimizer=dict(projections=dict(type='Adam', lr=2e-4))"
            )
        self.patch_number = (running_status or {}).get("iteration", self.iteration)
        return super().train_step(data_batch, optimizer, running_status=running_status, **kwargs)

    def _generator_pass(self, real: dict) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses of the generator on one batch, and the fake that it made, detached."""
        target = self._default_domain
        inputs = [real[self.source]]
        if self.nce_weight and self.nce_identity:
            inputs.append(real[target])
        if is_per_image(self.generators[target]) and len({x.shape[1:] for x in inputs}) == 1:
            batches = [torch.cat(inputs)]  # one pass
        else:
            batches = inputs
        made, contrasts = zip(*map(self._translate, batches), strict=True)
        # What is made of the source stands first; of pictures of the target only patches matter.
        fake = made[0][: len(inputs[0])]
        logits = self.discriminators[target](augment(fake, self.augments))
        losses = {f"loss_gan_g_{target}": self.gan_loss(logits, True)}
        if self.nce_weight:
            parts = torch.cat(contrasts).split([len(x) for x in inputs])
            for name, part in zip(("nce_loss", "nce_id_loss"), parts, strict=False):
                losses[name] = self.nce_weight / len(parts) * part.mean()
        return losses, {target: fake.detach()}

    def _translate(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """G(x) of x (N, C, H, W), and the contrast of x and G(x) (N,); None if it has no weight."""
        network = self.generators[self._default_domain]
        if not self.nce_weight:
            return network(x).float(), None
        # The features of the source are those of the very pass that makes the fake; no gradient
        # goes through them, as in the paper's code, which computes them a second time. Of the fake
        # the first part of the generator gives them, and no more of it is computed.
        y, of_source = network(x, self.nce_layers)
        y = y.float()
        _, of_fake = network(y, self.nce_layers, to_end=False)
        places = [
            choose_patches(
                f.shape[2] * f.shape[3], self.num_patches, (self.seed, self.patch_number, layer)
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
    blocks = [i for i, layer in enumerate(generator.model) if isinstance(layer, ResidualBlock)]
    last = len(generator.model) - 3  # where enlarging begins
    if layers is None:
        head = last - len(blocks)  # two layers to each halving where it blurs
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
