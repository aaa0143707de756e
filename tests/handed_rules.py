"""What an expression hands on in a trace, and whether a wrong rule hands on what its words say."""

import numpy as np

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.pool import Pool
from gradcheck.tracing import trace

generator = np.random.default_rng(41)
Z = generator.normal(size=(3, 4)).round(2)
G = generator.normal(size=(3, 4)).round(2)
M = generator.normal(size=(4, 4)).round(2)
N = np.abs(generator.normal(size=(3, 4))).round(2) + 0.3
V = generator.normal(size=4).round(2)
ALL = slice(None)


def handed(loss, name, parameters, operand=0, data=None, occurrence=0):
    """What the named operation of a loss hands to one operand, and the values around."""
    traced = trace(loss, (), parameters, parameters)
    flow = Flow(traced, graph_of(traced))
    known = Evidence(
        names=tuple(parameters), values=parameters, analytic=parameters, reference=parameters,
        uncertainty=parameters, failing={}, data=data or {}, trace=traced,
    )  # fmt: skip
    found = [h for h in flow.handings() if h.operation.name == name and h.operand == operand]
    return found[occurrence], Pool(flow, known)


def by_words(wrongs):
    """The rules by what they say, up to the first remark."""
    found = {}
    for wrong in wrongs:
        found.setdefault(wrong.words, wrong)
    return found


def gives(wrong, here):
    (result,) = wrong.rule(here.cotangent, ALL)
    return result


def same(wrong, here, expected):
    np.testing.assert_allclose(gives(wrong, here), expected, rtol=1e-12, atol=1e-13)
