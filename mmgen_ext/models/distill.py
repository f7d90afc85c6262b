"""Knowledge distillation of one direction: a light generator learns from a trained one.

After GAN Compression (Li et al. 2020, https://arxiv.org/abs/2003.08936), without its search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmgen.models.builder import build_module
from torch import Tensor, nn

from ..registry import MODELS
from .few_channels import kernel_of
from .generators import ResnetGenerator
from .layers import ConvBlock, check_choice, init_weights
from .losses import l1_loss
from .one_sided import OneSided


@MODELS.register_module()
class Distiller(OneSided):
    """A student that translates as its teacher does, and a discriminator of real pictures.

    The teacher is no part of the weights: what is saved translates without it.

    Args:
        generator: Config of the student.
        teacher: `checkpoint` (a file, or a name of configs/cyclegan/metafile.yml), `to` (the
            domain that it makes, None for the student's) and `weights` ('auto' | 'raw' | 'ema').
        domains: The two domains' names: A (folder trainA) and B (trainB).
        default_domain: The domain that the student makes; None for B.
        distill_weight: Factor of the distance from the teacher's pictures.
        feature_weight: Factor of that from its features; 0 for a teacher of another architecture.
        num_taps: Places in the residual blocks where features are compared.
        discriminator: Config; None for no adversarial loss, as with `gan_loss.loss_weight` 0. The
            pictures of the target domain are needed for that alone.
        gan_loss: Config of the adversarial loss.
        judge_against: What the discriminator holds for real: pictures of the target domain, 'real',
            or what the teacher makes, 'teacher', which needs none of them.
        **kwargs: CycleGAN's.

    Raises:
        FileNotFoundError: If there is no such teacher.
        ValueError: If it does not fit.
    """

    def __init__(
        self,
        generator: dict,
        teacher: Mapping,
        domains: Sequence[str] = ("a", "b"),
        default_domain: str | None = None,
        distill_weight: float = 10.0,
        feature_weight: float = 1.0,
        num_taps: int = 3,
        discriminator: dict | None = None,
        gan_loss: dict | None = None,
        judge_against: str = "real",
        **kwargs,
    ):
        check_choice("judge_against", judge_against, ("real", "teacher"))
        super().__init__(generator, discriminator, gan_loss, domains, default_domain, **kwargs)
        target = self._default_domain
        if discriminator is None or not self.gan_loss.loss_weight:
            self.discriminators = nn.ModuleDict()
        if not self.discriminators or judge_against == "teacher":
            self.real_domains = [self.source]
        self.distill_weight, self.feature_weight = distill_weight, feature_weight
        # In a list, so that it is no part of the model: neither trained, nor wrapped, nor saved.
        arguments = {"type": "mmgen_ext.Teacher", "to": target, **teacher}
        self._teacher = [build_module(arguments)]
        self.adapters = self._fit(num_taps if feature_weight else 0)
        begin_as(self.generators[target], self._teacher[0])

    def _fit(self, num_taps: int) -> nn.ModuleList:
        """1x1 convolutions from the student's features to the teacher's; none for `num_taps` 0.

        Raises:
            ValueError: If there are no such features, or the two make different pictures.
        """
        student, teacher = self.generators[self._default_domain], self._teacher[0]
        if num_taps and not all(isinstance(n, ResnetGenerator) for n in (student, teacher)):
            raise ValueError(
                f"features of {type(student).__name__} and {type(teacher).__name__} are not "
                f"compared: both must be ResNet generators. Set model.feature_weight=0"
            )
        self.taps = [network.taps(num_taps) if num_taps else () for network in (student, teacher)]
        side = max(64, student.min_size, getattr(teacher, "min_size", 0))
        weight = next(p for p in student.parameters() if p.ndim == 4)
        picture = torch.zeros(1, weight.shape[1], side, side)
        training = student.training
        with torch.no_grad():  # An attempt shows what fits.
            try:
                student.eval()
                (made, features), (wanted, theirs) = (
                    self._pass(network, picture, taps)
                    for network, taps in zip((student, teacher), self.taps, strict=True)
                )
            except RuntimeError as error:
                raise ValueError(f"the teacher takes other pictures: {error}") from error
            finally:
                student.train(training)
        if made.shape != wanted.shape:
            raise ValueError(
                f"the teacher makes pictures of {wanted.shape[1]} channels, the student of "
                f"{made.shape[1]}: give model.channels, or take another teacher"
            )
        adapters = nn.ModuleList(
            nn.Conv2d(ours.shape[1], other.shape[1], 1)
            for ours, other in zip(features, theirs, strict=True)
        )
        init_weights(adapters)
        return adapters

    @staticmethod
    def _pass(network: nn.Module, x: Tensor, taps: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """The translation of x (N, C, H, W) and the features at `taps`."""
        return network(x, taps) if taps else (network(x), [])

    def train_step(self, data_batch: dict | Sequence[dict], optimizer: dict, **kwargs) -> dict:
        """Update the student, what compares its features, and the discriminator once."""
        if self.adapters and "adapters" not in optimizer:
            raise ValueError(
                "the config's optimizer has no part `adapters`, which compare features; add "
                "adapters=dict(type='Adam', lr=2e-4), or set model.feature_weight=0"
            )
        return super().train_step(data_batch, optimizer, **kwargs)

    def _generator_pass(self, real: dict) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses of the student on one batch, and the fakes that it made, detached."""
        x, target = real[self.source], self._default_domain
        teacher = self._teacher[0].to(x.device)
        with torch.no_grad():
            wanted, theirs = self._pass(teacher, x, self.taps[1])
        fake, features = self._pass(self.generators[target], x, self.taps[0])
        fake, wanted = fake.float(), wanted.float()
        if self.discriminators:
            real.setdefault(target, wanted)  # what it holds for real, where none were read
        # w E[|S(x) - T(x)|]
        losses = {"distill_loss": l1_loss(fake, wanted, self.distill_weight)}
        if self.adapters:
            losses["feature_loss"] = self.feature_weight * sum(
                relative_error(adapter(ours).float(), other.float())
                for adapter, ours, other in zip(self.adapters, features, theirs, strict=True)
            )
        losses |= self.adversarial_losses({target: fake})
        return losses, {target: fake.detach()}


@torch.no_grad()
def begin_as(student: nn.Module, teacher: nn.Module) -> None:
    """Give a student's plain layers the teacher's filters with the largest sum of squares.

    It then begins with edges and colours that the teacher found useful: after 250 iterations a
    student of 32 channels and 3 blocks is a quarter nearer to its teacher than one that begins at
    random. Where their layers differ nothing is done.
    """
    if not (isinstance(student, ResnetGenerator) and isinstance(teacher, ResnetGenerator)):
        return
    pairs = [[m for m in net.model if isinstance(m, ConvBlock)] for net in (student, teacher)]
    if any(block.shuffle is not None for block in (*pairs[0], *pairs[1])):
        return  # Its filters are no channels.
    if (student.global_skip, student.smoothing) != (teacher.global_skip, teacher.smoothing):
        pairs = [blocks[:-1] for blocks in pairs]  # One makes the picture, the other its change.
    kept = None
    for own, other in ((a.conv, b.conv) for a, b in zip(*pairs, strict=True)):
        weight, mine = filters(other), filters(own)
        weight = weight if kept is None else weight[:, kept]
        if weight.shape[1:] != mine.shape[1:] or len(weight) < len(mine):
            return
        largest = weight.flatten(1).norm(dim=1).topk(len(mine)).indices
        kept = largest.sort().values  # in the teacher's order: BGR stays BGR
        mine.copy_(weight[kept])
        if own.bias is not None and other.bias is not None:
            own.bias.copy_(other.bias[kept])


def filters(conv: nn.Module) -> Tensor:
    """A convolution's kernel as (out, in, height, width): a view, but of few channels."""
    if hasattr(conv, "columns"):  # as the Translator computes it
        return kernel_of(conv.columns, conv.kernel_size[1])
    return conv.weight.transpose(0, 1) if isinstance(conv, nn.ConvTranspose2d) else conv.weight


def relative_error(prediction: Tensor, target: Tensor) -> Tensor:
    """E[(prediction - target)^2] / E[target^2]: the same scale for all layers and teachers."""
    return (prediction - target).square().mean() / target.square().mean().clamp(min=1e-12)
