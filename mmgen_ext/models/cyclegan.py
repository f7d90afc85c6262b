"""CycleGAN: unpaired image-to-image translation (Zhu et al. 2017, https://arxiv.org/abs/1703.10593)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from mmcv.utils import print_log
from mmgen.models import BaseTranslationModel
from mmgen.models.builder import build_module
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..registry import MODELS
from .augment import augment, parse_augments
from .cycle import cycle_loss
from .fused import weights_cast_once
from .image_pool import ImagePool
from .layers import pass_all
from .losses import l1_loss, set_requires_grad
from .precision import LossScale, autocast


def build_networks(
    domains: Sequence[str], generator: dict, discriminator: dict | None, channels: Mapping | None
) -> tuple[nn.ModuleDict, nn.ModuleDict | None]:
    """Build one generator and one discriminator for each domain that they produce or judge.

    Args:
        domains: The two domains' names, A and B.
        generator: Config of both generators.
        discriminator: Config of both discriminators, or None for inference alone.
        channels: Image channels by domain, or None for what the configs say.
    """
    generators, discriminators = nn.ModuleDict(), nn.ModuleDict()
    for target, source in (domains, domains[::-1]):
        ends = dict(in_channels=channels[source], out_channels=channels[target]) if channels else {}
        generators[target] = build_module({**generator, **ends})
        if discriminator is not None:
            ends = dict(in_channels=channels[target]) if channels else {}
            discriminators[target] = build_module({**discriminator, **ends})
    for network in (*generators.values(), *discriminators.values()):
        # Ours initialise themselves; mmgen's leave it to the model.
        if not type(network).__module__.startswith("mmgen_ext."):
            network.init_weights()
    return generators, discriminators if discriminator is not None else None


@MODELS.register_module()
class CycleGAN(BaseTranslationModel):
    """Two generators that undo each other, and two discriminators that judge what they make.

    Networks are keyed by the domain that they produce: `generators['monet']` paints.

    Args:
        generator: Config of both generators.
        discriminator: Config of both discriminators; None for inference alone.
        gan_loss: Config of the adversarial loss.
        domains: The two domains' names: A (folder trainA) and B (trainB).
        default_domain: Target of a translation that names none; None for domain B.
        cycle_weight: Factor of |G(F(x)) - x|; lambda in the paper's eq. 3.
        cycle_beta: Differences of pixels up to this, of [-1, 1], count by their squares in the
            cycle loss; 0 is the paper's. See cycle.py. With generators that begin with the picture
            itself it lets them move: |x| would hold them where there and back is exact.
        cycle_scale: Pictures are compared smaller by this factor in the cycle loss: what is finer
            than so many pixels may be lost on the way there, as a zebra's stripes.
        cycle_ssim: Share of 1 - SSIM in what the cycle loss compares by pixels, from 0 to 1; see
            cycle.py.
        cycle_features: Share of the discriminators' features in the cycle loss, from 0 to 1.
        identity_weight: Factor of |G(y) - y|, absolute: the paper's 0.5 of lambda is 5.0. It holds
            the colours of paintings; 0 saves two generator passes of six.
        pool_size: Generated images kept for the discriminators; `train_cfg.buffer_size`, mmgen's
            name for it, is taken too.
        discriminator_augment: How pictures are augmented before a discriminator sees them, as
            'color,translation,cutout,scale,noise' or a list; see augment.py.
        source_negatives: Factor of a further loss of the discriminators, which learn that pictures
            of the other domain, not translated, are none of theirs. Without it they forget it
            while they judge translations, and the generators go back to doing nothing.
        channels: Image channels by domain, e.g. `dict(map=1, photo=3)`; None takes
            those in `generator` and `discriminator`.
        train_cfg: mmgen's; see `pool_size`.
        test_cfg: mmgen's; unused.
    """

    # Weights that may change during a run, and their losses in the log.
    scheduled_weights: ClassVar[dict[str, str | None]] = dict(
        cycle_weight="cycle_loss", cycle_ssim=None, cycle_features=None, identity_weight="id_loss"
    )

    def __init__(
        self,
        generator: dict,
        discriminator: dict | None = None,
        gan_loss: dict | None = None,
        domains: Sequence[str] = ("a", "b"),
        default_domain: str | None = None,
        cycle_weight: float = 10.0,
        cycle_beta: float = 0.0,
        cycle_scale: int = 1,
        cycle_ssim: float = 0.0,
        cycle_features: float = 0.0,
        identity_weight: float = 5.0,
        pool_size: int = 50,
        discriminator_augment: str | Sequence[str] | None = None,
        source_negatives: float = 0.0,
        channels: Mapping[str, int] | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
    ):
        nn.Module.__init__(self)
        domains = check_domains(domains, default_domain, channels)
        super().__init__(
            default_domain or domains[1], domains, domains, train_cfg=train_cfg, test_cfg=test_cfg
        )
        self.generators, self.discriminators = build_networks(
            domains, generator, discriminator, channels
        )
        self.gan_loss = build_module(gan_loss or dict(type="mmgen_ext.GANLoss"))
        self.augments = parse_augments(discriminator_augment)
        if source_negatives < 0:
            raise ValueError(f"source_negatives={source_negatives} is negative; expected 0 or more")
        if source_negatives and channels and len(set(channels.values())) > 1:
            raise ValueError(
                f"source_negatives={source_negatives} shows the discriminators pictures of the "
                f"other domain, which have other channels here: {dict(channels)}; set it to 0"
            )
        self.source_negatives = source_negatives
        if cycle_beta < 0:
            raise ValueError(f"cycle_beta={cycle_beta} is negative; expected 0 or more, as 0.3")
        if cycle_scale < 1:
            raise ValueError(f"cycle_scale={cycle_scale}; expected 1, as it is, or more, as 4")
        self.cycle_weight, self.cycle_beta, self.cycle_scale = cycle_weight, cycle_beta, cycle_scale
        self.cycle_ssim, self.cycle_features = cycle_ssim, cycle_features
        for name in ("cycle_ssim", "cycle_features"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}; expected a share from 0 to 1")
        self.identity_weight = identity_weight
        if identity_weight and channels and len(set(channels.values())) > 1:
            print_log(f"identity_weight is off: it compares {dict(channels)} channels", "mmgen")
            self.identity_weight = 0.0
        self.real_domains = domains  # whose pictures a step takes
        self.iteration = 0  # of this step, or of the next one
        # Of training; weights stay float32. A loss scale is for fp16 alone.
        self.precision = "fp32"
        self.loss_scale: LossScale | None = None
        pool_size = self.train_cfg.get("buffer_size", pool_size)
        # Seeded by the run's seed without drawing from its stream.
        seed = torch.initial_seed() % 2**63
        self.pools = {d: ImagePool(pool_size, seed + i) for i, d in enumerate(domains)}

    def _parse_train_cfg(self) -> None:
        self.train_cfg = self.train_cfg or {}

    def _parse_test_cfg(self) -> None:
        pass

    def _get_target_generator(self, domain: str) -> nn.Module:
        if domain not in self.generators:
            raise ValueError(f"unknown domain {domain!r}; there are {', '.join(self.generators)}")
        return self.generators[domain]

    def forward_test(self, img: Tensor, target_domain: str, **kwargs) -> dict[str, Tensor]:
        """Translate img (N, C, H, W) in [-1, 1]; leaves the model in evaluation mode.

        Returns:
            `source` and `target` on the host, as mmgen's models do.
        """
        self.eval()
        return super().forward_test(img, target_domain, **kwargs)

    def train_step(
        self,
        data_batch: dict | Sequence[dict],
        optimizer: dict,
        step: Callable[[Mapping, Sequence[Tensor]], bool] | None = None,
        running_status: Mapping | None = None,
        **kwargs,
    ) -> dict:
        """Update both generators and both discriminators once.

        Args:
            data_batch: `img_<domain>` for both domains, (N, C, H, W) in [-1, 1]; a list of such
                batches is one larger batch, passed piece by piece to save memory.
            optimizer: `generators` and `discriminators`.
            step: Steps the optimizers, given both losses, and says whether it did; a step that is
                not taken leaves the image pools as they were. None steps always.
            running_status: `iteration`, from 0, as mmgen's runners say; None counts the calls.
            **kwargs: What mmgen's runners add; unused.

        Returns:
            `log_vars` (scalars on the device, under mmgen's names), `num_samples`, `applied`
            (whether the step was taken), `rescaled` (whether float16 overflowed, and the next step
            may not), and `results` with `real_<domain>` and `fake_<domain>` of
            the last batch.
        """
        if self.discriminators is None:
            raise ValueError(
                f"this {type(self).__name__} was built with discriminator=None: it cannot train"
            )
        batches = [data_batch] if isinstance(data_batch, Mapping) else data_batch
        reals = [{d: batch[f"img_{d}"] for d in self.real_domains} for batch in batches]
        self.iteration = (running_status or {}).get("iteration", self.iteration)
        # Generators step before discriminators, as in the paper's code.
        optimizer = dict(sorted(optimizer.items(), key=lambda part: part[0] == "discriminators"))
        for each in optimizer.values():
            each.zero_grad()

        # Both judge the same fakes: those of the generators before their step, as the paper's code
        # does, whichever of the two is computed first.
        pools = {d: pool.copy() for d, pool in self.pools.items()}
        with weights_cast_once():
            set_requires_grad(self.discriminators, False)
            losses, fakes = self._accumulate(reals, self._generator_pass)
            set_requires_grad(self.discriminators, True)
            disc_losses, _ = self._accumulate(
                list(zip(reals, fakes, strict=True)),
                lambda pair: (self.discriminator_losses(*pair, pools), None),
            )

        total = sum(losses.values())
        if self.loss_scale:
            self.loss_scale.unscale(optimizer.values())
        applied = (step or step_all)(optimizer, [total, *disc_losses.values()])
        if applied:
            self.pools = pools
        self.iteration += 1
        rescaled = bool(self.loss_scale) and self.loss_scale.update(applied)
        results = {f"real_{d}": image for d, image in reals[-1].items()}
        results |= {f"fake_{d}": image for d, image in fakes[-1].items()}
        return dict(
            log_vars={**disc_losses, **losses, "loss": total},
            num_samples=sum(len(real[self.real_domains[0]]) for real in reals),
            applied=applied,
            rescaled=rescaled,
            results=results,
        )

    def _accumulate(self, pieces: Sequence, losses_of: Callable) -> tuple[dict[str, Tensor], list]:
        """Backward of the mean over pieces; return each loss' mean and what `losses_of` adds.

        Gradients of all but the last piece stay on this process.
        """
        means: dict[str, Tensor] = {}
        extras = []
        for number, piece in enumerate(pieces, 1):
            with contextlib.ExitStack() as unsynchronized:
                if number < len(pieces):
                    for module in self.modules():
                        if isinstance(module, DistributedDataParallel):
                            unsynchronized.enter_context(module.no_sync())
                with autocast(self.precision, next(self.parameters()).device):
                    losses, extra = losses_of(piece)
                if losses:
                    loss = sum(losses.values()) / len(pieces)
                    (loss * self.loss_scale.scale if self.loss_scale else loss).backward()
            extras.append(extra)
            for name, loss in losses.items():
                means[name] = means.get(name, 0) + loss.detach() / len(pieces)
        return means, extras

    def _generator_pass(self, real: dict) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses of the generators on one batch, and the fakes that they made, detached."""
        fake, identity = self.translate_and_keep(real)
        return self.generator_losses(real, fake, identity), {d: fake[d].detach() for d in fake}

    def translate_and_keep(self, real: dict) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """G(x) and G(y) by target domain; the second is None where identity has no weight.

        Both are one pass where the network treats each image by itself.
        """
        inputs = {}
        for target, source in zip(real, reversed(real), strict=True):
            inputs[target] = [real[source], *([real[target]] if self.identity_weight else [])]
        outputs = pass_all(self.generators, inputs)
        fake, identity = ({d: ys[i].float() for d, ys in outputs.items()} for i in (0, -1))
        return fake, identity if self.identity_weight else None

    def generator_losses(
        self, real: dict, fake: dict, identity: dict | None = None
    ) -> dict[str, Tensor]:
        """Weighted terms of the paper's eq. 3 and identity; those of weight 0 are absent.

        Args:
            real: Images by domain.
            fake: Translated images by domain.
            identity: What each generator makes of its own domain; None to compute it.
        """
        a, b = self._reachable_domains
        losses = self.adversarial_losses(fake)
        if self.cycle_weight:
            # E[|F(G(x)) - x|] in both directions, eq. 2
            cycle = pass_all(self.generators, {a: [fake[b]], b: [fake[a]]})
            shares = self.cycle_ssim, self.cycle_features
            losses["cycle_loss"] = sum(
                cycle_loss(
                    *(*cycle[d], real[d], self.cycle_weight, *shares, self.discriminators[d]),
                    beta=self.cycle_beta,
                    scale=self.cycle_scale,
                )
                for d in (a, b)
            )
        if self.identity_weight:
            # E[|G(y) - y|], section 5.2
            identity = identity or {d: self.generators[d](real[d]) for d in (a, b)}
            losses["id_loss"] = sum(
                l1_loss(identity[d], real[d], self.identity_weight) for d in (a, b)
            )
        return losses

    def adversarial_losses(self, fake: dict) -> dict[str, Tensor]:
        """What the discriminators tell the generators about their images."""
        _, logits = self.judge({d: [fake[d]] for d in self.discriminators})
        return {f"loss_gan_g_{d}": self.gan_loss(*logits[d], True) for d in logits}

    def discriminator_losses(self, real: dict, fake: dict, pools: dict) -> dict[str, Tensor]:
        """Losses of both discriminators on real images and on generated ones through the pools."""
        pictures = {d: [real[d], pools[d].query(fake[d])] for d in self.discriminators}
        if self.source_negatives:
            for d, each in pictures.items():
                each += (real[other] for other in real if other != d)
        shown, logits = self.judge(pictures)
        losses = {}
        for d, of_shown in logits.items():
            pair, of_pair, of_sources = shown[d][:2], of_shown[:2], of_shown[2:]
            loss = self.gan_loss.discriminator_loss(
                self.discriminators[d], *pair, self.iteration, of_pair
            )
            for of_source in of_sources:
                negative = self.gan_loss(of_source, False, is_disc=True)
                loss = loss + 0.5 * self.source_negatives * negative
            losses[f"loss_gan_d_{d}"] = loss
        return losses

    def judge(self, pictures: dict[str, list[Tensor]]) -> tuple[dict, dict[str, tuple]]:
        """Pictures by the domain whose discriminator judges them, augmented, and its logits."""
        augmented = iter(augment([x for xs in pictures.values() for x in xs], self.augments))
        shown = {d: [next(augmented) for _ in xs] for d, xs in pictures.items()}
        return shown, pass_all(self.discriminators, shown)


def step_all(optimizers: Mapping, losses: Sequence[Tensor]) -> bool:
    """Step every optimizer, whatever the losses are."""
    for optimizer in optimizers.values():
        optimizer.step()
    return True


def check_domains(domains, default_domain: str | None, channels: Mapping | None) -> list[str]:
    """Return the two domain names as a list.

    Raises:
        ValueError: If there are not two different names, or another argument names a third.
    """
    if isinstance(domains, str) or len(domains) != 2 or len(set(domains)) != 2:
        raise ValueError(
            f"domains={domains!r}; expected two different names, as ['monet', 'photo']"
        )
    for domain in domains:
        if "." in domain or hasattr(nn.ModuleDict, domain):
            raise ValueError(
                f"{domain!r} cannot name a domain: it has a dot, or is a word of torch's"
            )
    if default_domain not in (None, *domains):
        raise ValueError(
            f"default_domain={default_domain!r} is none of the domains {list(domains)}"
        )
    if channels is not None and set(channels) != set(domains):
        raise ValueError(f"channels={dict(channels)} must name the domains {list(domains)}")
    return list(domains)
