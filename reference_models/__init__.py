"""Small published models with their gradients written by hand, some of them wrong.

``python -m gradcheck reference_models`` checks every variant and compares what it finds with what
is declared here. One family a file; each file says where its model was published and what, if
anything, is wrong with it.
"""

from __future__ import annotations

from gradcheck.case import Case
from gradcheck.report import Story, TrainingTrace
from reference_models import (
    mnist_relu_net,
    quadratic_regression,
    random_relu_regression,
    sigmoid_net,
    softmax_columns,
    spiral_relu_net,
    spiral_softmax,
    tanh_logistic_net,
    two_layer_net,
)

FAMILIES = (
    spiral_softmax,
    spiral_relu_net,
    mnist_relu_net,
    tanh_logistic_net,
    quadratic_regression,
    two_layer_net,
    sigmoid_net,
    random_relu_regression,
    softmax_columns,
)

__gradcheck__: tuple[Case, ...] = tuple(case for family in FAMILIES for case in family.CASES)
"""Every variant, family by family."""

__gradcheck_stories__: tuple[Story, ...] = tuple(
    story for family in FAMILIES for story in family.STORIES
)
"""What was published, what is wrong with it, and what the check shows."""


def training_traces() -> tuple[TrainingTrace, ...]:
    """Train every family whose training was published; return the curves. Takes some seconds."""
    traced = (family for family in FAMILIES if hasattr(family, "training_traces"))
    return tuple(trace for family in traced for trace in family.training_traces())


__gradcheck_traces__ = training_traces
