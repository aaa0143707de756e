"""A torch target on the bench: fresh outputs, chosen cotangents, everything put back in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.calling import random_state
from gradcheck.report import Diagnosis
from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.outputs import as_real, tensors_of

if TYPE_CHECKING:
    from torch import Tensor

Gradients = list["Tensor | None"]


FLOOR = 1e-4
"""Share of the largest gradient below which another one counts as zero with roundoff in it."""


class NotTriedError(Exception):
    """A clause cannot be tried on this target; the message says why."""


@dataclass
class Bench:
    """The target with private tensors.

    Attributes:
        names: of the parameters, in the order of ``call.read``.
        tolerance: relative difference up to which two gradients are the same.
        start: what every tensor held at the beginning.
    """

    call: TorchCall
    names: tuple[str, ...]
    tolerance: float
    start: list[Tensor] = field(default_factory=list)
    memory: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = [one.detach().clone() for one in self.call.watched()]
        self.memory = [one.detach().clone() for one in self.call.memory]

    def rewind(self) -> None:
        """Put every tensor back to what it held at the beginning."""
        for one, value in zip(self.call.watched(), self.start, strict=True):
            if one.data.shape == value.shape:
                one.data.copy_(value)
        for one, value in zip(self.call.memory, self.memory, strict=True):
            one.data.copy_(value)

    def adopt(self, values: Sequence[Tensor]) -> None:
        """Begin from other values of every tensor, such as those rounded in another bench."""
        for one, value in zip(self.call.watched(), values, strict=True):
            one.data.copy_(value)
        for read, memory in zip(self.call.read, self.call.memory, strict=True):
            memory.data.copy_(read.detach())
        self.__post_init__()

    def move(self, directions: Sequence[Tensor], distance: float) -> None:
        """Move every parameter from where it was at the beginning."""
        self.rewind()
        for memory, read, way in zip(self.call.memory, self.call.read, directions, strict=True):
            read.data.add_(way, alpha=distance)
            if memory.data_ptr() != read.data_ptr():
                memory.data.copy_(read)

    def outputs(self) -> list[Tensor]:
        """Call the target; return the outputs that carry a graph."""
        import torch

        with torch.enable_grad():
            found = tensors_of(self.call.run())
        return [one for one in found if one.requires_grad]

    def draws(self) -> bool:
        """Return whether the target draws from a global random generator."""
        before = random_state.snapshot()
        seed, self.call.seed = self.call.seed, None
        try:
            self.outputs()
        finally:
            self.call.seed = seed
        return random_state.differ(before, random_state.snapshot())

    def cotangents(self, outputs: Sequence[Tensor], salt: int = 0) -> list[Tensor]:
        """Return random cotangents, contiguous, the same ones for the same ``salt``."""
        return [random_like(one, (salt, i)) for i, one in enumerate(outputs)]

    def pull(
        self,
        outputs: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        *,
        inputs: Sequence[Tensor] | None = None,
        create_graph: bool = False,
    ) -> Gradients:
        """Run the backward pass, and keep its graph for another one."""
        import torch

        found = torch.autograd.grad(
            list(outputs),
            list(self.call.read if inputs is None else inputs),
            grad_outputs=list(cotangents),
            allow_unused=True,
            retain_graph=True,
            create_graph=create_graph,
        )
        return list(found)

    def gradient(self, salt: int = 0) -> Gradients:
        """Return the gradient of fresh outputs for contiguous random cotangents."""
        self.rewind()
        outputs = self.outputs()
        return self.pull(outputs, self.cotangents(outputs, salt))

    def first_difference(self, one: Gradients, two: Gradients) -> Difference | None:
        """Return the parameter in which two gradients differ most beyond the tolerance."""
        worst: Difference | None = None
        floor = FLOOR * max(largest(one), largest(two))
        for name, a, b, read in zip(self.names, one, two, self.call.read, strict=True):
            apart = relative_difference(dense(a, read), dense(b, read), floor)
            if not apart <= self.tolerance and (worst is None or apart > worst.size):
                worst = Difference(name, apart)
        return worst


@dataclass(frozen=True, slots=True)
class Difference:
    """A parameter, and the largest difference in it relative to its largest entry."""

    parameter: str
    size: float


def random_like(tensor: Tensor, salt: tuple[int, ...]) -> Tensor:
    """Return standard normal numbers in the form of ``tensor``, contiguous."""
    import torch

    real = as_real(tensor.detach())
    drawn = np.asarray(np.random.default_rng([*salt, 7]).standard_normal(real.shape))
    found = torch.from_numpy(drawn).to(real.device, real.dtype)
    return torch.view_as_complex(found.contiguous()) if tensor.is_complex() else found


def dense(grad: Tensor | None, like: Tensor) -> Tensor:
    """Return a gradient as a dense tensor; zeros for None."""
    import torch

    if grad is None:
        return torch.zeros_like(like)
    return grad.detach().to_dense() if grad.is_sparse else grad.detach()


def largest(gradients: Gradients) -> float:
    """Return the largest finite magnitude among all gradients."""
    sizes = [float(one.detach().abs().max()) for one in gradients if one is not None]
    return max((size for size in sizes if np.isfinite(size)), default=0.0)


def relative_difference(one: Tensor, two: Tensor, floor: float = 0.0) -> float:
    """Return the largest difference over the largest magnitude, or over ``floor`` if that is more.

    It is infinite where one of the tensors is not finite.
    """
    if one.numel() == 0:
        return 0.0
    apart = float((one - two).abs().max())
    size = max(float(one.abs().max()), float(two.abs().max()), floor)
    if not np.isfinite(apart) or not np.isfinite(size):
        return float("inf")
    return apart / size if size > 0 else 0.0


def inner(one: Sequence[Tensor | None], two: Sequence[Tensor]) -> float:
    """Return the real inner product of two lists of tensors; None counts as zero."""
    return sum(
        float((as_real(a.detach()).double() * as_real(b.detach()).double()).sum())
        for a, b in zip(one, two, strict=True)
        if a is not None
    )


@dataclass(frozen=True)
class Case:
    """One clause of the contract.

    Attributes:
        key: the published cause key.
        tries: what is done, as a phrase: ``"a cotangent of zeros"``.
        look: returns what was found, if anything; an exception of the target is a finding, too.
        optional: an exception means that the target does not offer this, which is no fault.
    """

    key: str
    tries: str
    look: Callable[[Bench], Diagnosis | None]
    optional: bool = False


def finding(
    key: str,
    message: str,
    *,
    parameter: str = "",
    reproduce: str = "",
    remedy: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Return a broken clause of the contract."""
    return Diagnosis(
        key,
        parameter,
        message,
        "exact",
        evidence={**(evidence or {}), "reproduce": reproduce},
        remedy=remedy,
    )
