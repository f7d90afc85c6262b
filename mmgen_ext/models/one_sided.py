"""What learns to translate in one direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from .cyclegan import CycleGAN


class OneSided(CycleGAN):
    """One generator and one discriminator, of `default_domain`; the other domain is the source.

    They are `generators[<target>]` and `discriminators[<target>]`, as CycleGAN's of that direction.

    Args:
        generator: Config of the generator.
        discriminator: Config of the discriminator, or None.
        gan_loss: Config of the adversarial loss.
        domains: The two domains' names.
        default_domain: The domain that is made; None for B.
        **kwargs: CycleGAN's, but for cycle and identity.
    """

    scheduled_weights: ClassVar[dict[str, str | None]] = {}

    def __init__(
        self,
        generator: dict,
        discriminator: dict | None,
        gan_loss: dict | None,
        domains: Sequence[str],
        default_domain: str | None,
        **kwargs,
    ):
        kwargs |= dict(cycle_weight=0.0, identity_weight=0.0)
        super().__init__(generator, discriminator, gan_loss, domains, default_domain, **kwargs)
        target = self._default_domain
        self.source = next(domain for domain in domains if domain != target)
        self._reachable_domains = [target]
        self.generators = nn.ModuleDict({target: self.generators[target]})
        if self.discriminators is not None:
            self.discriminators = nn.ModuleDict({target: self.discriminators[target]})
        self.pools = {target: self.pools[target]}
        self.real_domains = [self.source, target]
