"""What a command takes from beside its target: the gradient of a loss, the loss of a gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradcheck.errors import UsageError
from gradcheck.report import Check
from gradcheck.targets.partners import Partner, loss_beside, partner
from gradcheck.targets.target import Resolved


def gradient_beside(
    target: Any, inputs: Any, resolved: Resolved, options: Mapping[str, Any]
) -> Partner | None:
    """Return the gradient function beside a target that gives none of its own, if there is one."""
    if any(options.get(name) is not None for name in ("grad", "vjp")):
        return None
    found = partner(target, resolved.attribute, resolved.module)
    if found is None:
        return None
    from gradcheck.targets.trial import partner_is_needed

    return found if partner_is_needed(target, inputs, found) else None


def refuse_gradient_alone(check: Check, resolved: Resolved, target: Any) -> None:
    """Say which loss to name, where the target is the gradient function beside it.

    Raises:
        UsageError: it is.
    """
    if all(found.cause != "loss_not_scalar" for found in check.diagnoses):
        return
    loss = loss_beside(target, resolved.attribute, resolved.module)
    if loss is not None:
        place = resolved.text.rpartition(":")[0]
        raise UsageError(
            f"{resolved.text} returns gradients and no loss: name the loss as the target and this "
            f"as its gradient, {place}:{loss} --grad {resolved.attribute}"
        )
