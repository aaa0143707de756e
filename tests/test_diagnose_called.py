"""Which call of a helper is meant, where it is called at several places."""

from types import SimpleNamespace

import pytest

from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Graph
from gradcheck.tracing.contract import Operation, Site

W = ("parameter", "W")
HELPER = ("def helper(x):", "    y = np.sin(x)", "    return np.exp(y)", "def loss(W):")


def flow_of(tmp_path, body, steps):
    """A loss of these lines, from line 5 on, and what ran: (line, name, what it reads)."""
    source = tmp_path / "called.py"
    source.write_text("\n".join((*HELPER, *body)) + "\n")
    operations = []
    for index, (line, name, *reads) in enumerate(steps):
        function = "helper" if line < 4 else "loss"
        site = Site(str(source), line, function, 0, line, 9)
        inputs = tuple(W if one == "W" else ("operation", one) for one in reads)
        operations.append(Operation(index, name, site, inputs, ((3,),) * len(reads), (3,), {}))
    return Flow(SimpleNamespace(), Graph(tuple(operations)))


def called(flow, *runs, function=None):
    if function is not None:
        renamed = [
            Operation(o.index, o.name, Site(o.site.file, o.site.line, function, 0, o.site.line, 9),
                      o.inputs, o.input_shapes, o.output_shape, o.keywords)
            if o.site.function == "helper" else o
            for o in flow.graph.operations
        ]  # fmt: skip
        flow = Flow(flow.trace, Graph(tuple(renamed)))
    return flow.called_at(SimpleNamespace(runs=runs))


FED = ("    a = helper(W * 3)", "    b = helper(W * 4)", "    return a + b")
FED_STEPS = (
    (5, "multiply", "W"), (2, "sin", 0), (3, "exp", 1),
    (6, "multiply", "W"), (2, "sin", 3), (3, "exp", 4),
    (7, "add", 2, 5),
)  # fmt: skip


def test_a_call_is_where_the_line_that_names_the_helper_feeds_it(tmp_path):
    flow = flow_of(tmp_path, FED, FED_STEPS)
    assert [called(flow, index) for index in (1, 2, 4, 5)] == [0, 0, 3, 3]


def test_all_calls_together_are_none_of_them(tmp_path):
    flow = flow_of(tmp_path, FED, FED_STEPS)
    assert called(flow, 1, 4) is None
    assert called(flow, 6) is None


@pytest.mark.parametrize(
    ("function", "expected"), [("Model.helper", 0), ("loss.<locals>.helper", 0), ("other", None)]
)
def test_a_helper_is_known_by_its_own_name(tmp_path, function, expected):
    assert called(flow_of(tmp_path, FED, FED_STEPS), 1, function=function) == expected


def test_a_call_is_where_its_result_is_used_in_the_line(tmp_path):
    body = (
        "    p = W * 3", "    q = W * 4", "    a = helper(p) + q", "    b = helper(q) * 2",
        "    return a + b",
    )  # fmt: skip
    steps = (
        (5, "multiply", "W"), (6, "multiply", "W"),
        (2, "sin", 0), (3, "exp", 2), (7, "add", 3, 1),
        (2, "sin", 1), (3, "exp", 5), (8, "multiply", 6),
        (9, "add", 4, 7),
    )  # fmt: skip
    flow = flow_of(tmp_path, body, steps)
    assert [called(flow, index) for index in (2, 3, 5, 6)] == [4, 4, 7, 7]


def test_what_others_use_as_well_does_not_belong_to_the_call(tmp_path):
    """The product stands in the line of the first call, and something else reads it."""
    body = ("    a = helper(p := W * 3)", "    b = helper(W * 4)", "    return a + b + p")
    steps = (*FED_STEPS[:6], (7, "add", 2, 5, 0))
    flow = flow_of(tmp_path, body, steps)
    assert (called(flow, 1), called(flow, 4)) == (None, 3)


def test_a_call_of_the_result_of_another_is_not_that_one(tmp_path):
    """What feeds the first call says nothing of the second."""
    body = ("    a = helper(W * 3)", "    b = helper(a)", "    return b + 1")
    steps = (
        (5, "multiply", "W"), (2, "sin", 0), (3, "exp", 1), (2, "sin", 2), (3, "exp", 3),
        (7, "add", 4),
    )  # fmt: skip
    flow = flow_of(tmp_path, body, steps)
    assert [called(flow, index) for index in (1, 2, 3, 4)] == [0, 0, None, None]


def test_what_uses_a_later_call_says_nothing_of_an_earlier_one(tmp_path):
    body = ("    p = W * 3", "    a = helper(p)", "    return helper(a) * 2")
    steps = (
        (5, "multiply", "W"), (2, "sin", 0), (3, "exp", 1), (2, "sin", 2), (3, "exp", 3),
        (7, "multiply", 4),
    )  # fmt: skip
    flow = flow_of(tmp_path, body, steps)
    assert [called(flow, index) for index in (2, 3, 4)] == [None, 5, 5]


def test_the_first_of_the_uses_in_a_line_that_names_the_helper(tmp_path):
    body = ("    p = W * 3", "    a = helper(p)", "    return a + helper(W) * a + a * 2")
    steps = (
        (5, "multiply", "W"), (2, "sin", 0), (3, "exp", 1), (2, "sin", "W"), (3, "exp", 3),
        (7, "multiply", 4, 2), (7, "add", 2, 5), (7, "multiply", 2),
    )  # fmt: skip
    assert called(flow_of(tmp_path, body, steps), 2) == 5
