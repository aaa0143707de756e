"""What is said of two mistakes that explain the error together."""

import pytest
from test_diagnose_measures import space
from test_diagnose_places import CUT
from test_diagnose_search import ERROR, known
from test_diagnose_trying import GRAPH

from gradcheck.diagnose.causes import SPECIFICITY
from gradcheck.diagnose.pairs import _finding
from gradcheck.diagnose.plan import Trial
from gradcheck.tracing.contract import Alteration

LEFT_OUT = (Trial("cut", {0: CUT}, (0,)), 0.5 * ERROR), Alteration("constant")
DOUBLED = (Trial("cut", {2: CUT}, (2,)), 0.5 * ERROR), Alteration("scale", factor=1.37)


@pytest.mark.parametrize("order", [1, -1])
def test_the_one_that_says_more_comes_first(order):
    mistakes = (LEFT_OUT, DOUBLED)[::order]
    whole = [trial for trial, _ in mistakes]
    alterations = {next(iter(trial.alterations)): how for (trial, _), how in mistakes}
    found = _finding(whole, alterations, known(), space(ERROR), GRAPH)
    assert found.evidence["causes"] == ["path_detached", "scale"]
    assert found.cause == "path_detached"
    assert found.specificity == SPECIFICITY["path_detached"] > SPECIFICITY["scale"]
    assert found.evidence["lines"] == [1, 3]
    assert (found.location.line, [one.line for one in found.also]) == (1, [3])
    assert found.n_sites == 2
