"""The cases written from the documentation alone: they build, and the check judges them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.outside import run_one, table, verify
from benchmarks.outside_cases import LEFT_OUT, collection, everything
from benchmarks.outside_cases.loading import imported
from benchmarks.outside_cases.models import Case, Model, Wrong
from benchmarks.outside_cases.truth import mislabelled
from benchmarks.outside_cases.variants import cases

PARABOLA = Model(
    "parabola",
    """
def loss(x):
    return np.sum(x ** 2), {"x": 2 * x}

def make(seed=0):
    return dict(x=np.random.default_rng(seed).normal(size=3))
""",
    wrongs=(Wrong("half", "2 * x}", "x}"),),
)


@pytest.fixture(scope="module")
def known() -> dict[str, Case]:
    return {case.name: case for case in everything()}


def test_names_are_unique_and_what_is_left_out_exists(known):
    assert len(known) == len(everything())
    assert set(LEFT_OUT) <= set(known)
    assert len(collection()) == len(known) - len(LEFT_OUT)


def test_the_sets_have_the_cases_that_were_counted():
    counts = {("first", True): 108, ("first", False): 186, ("second", True): 97}
    counts["second", False] = 163
    for (name, right), count in counts.items():
        assert sum(c.collection == name and c.right is right for c in collection()) == count


def test_every_wrong_text_is_another_than_the_right_one(known):
    assert all((case.text == case.right_text) is case.right for case in known.values())


def test_the_texts_compile(known):
    for case in list(known.values())[::5]:
        compile(case.text, case.name, "exec")


@pytest.mark.slow
def test_every_text_compiles_and_makes_its_inputs(known):
    for case in known.values():
        with imported(case.name, case.text) as module:
            assert module.make(1)


@pytest.mark.parametrize(
    "name",
    [
        "vonmises__right",
        "tweedie__right",
        "l1atzero__right",
        "vonmises__kmissing",
        "tweedie__link",
        "pinball_kink__scale",
    ],
)
def test_a_few_come_out_as_they_deserve(known, name):
    row = run_one(known[name])
    assert row.verdict == row.deserved
    assert not row.bad


def test_a_mistake_whose_piece_does_not_occur_once_is_refused():
    for piece in ("3 * x}", "x"):
        model = dataclasses.replace(PARABOLA, wrongs=(Wrong("other", piece, "x}"),))
        with pytest.raises(ValueError, match="not once"):
            list(cases(model, "first"))


def test_a_label_that_does_not_hold_is_told():
    right, wrong = cases(PARABOLA, "first")
    assert mislabelled(right, 0) == mislabelled(wrong, 0) == ""
    assert "disagrees" in mislabelled(dataclasses.replace(wrong, right=True), 0)
    assert "off by 0.0e+00 only" in mislabelled(dataclasses.replace(right, right=False), 0)
    assert list(verify([dataclasses.replace(right, right=False)], 0))


def test_a_mistake_that_changes_the_loss_itself_is_no_wrong_gradient():
    changed = dataclasses.replace(PARABOLA, wrongs=(Wrong("loss", "np.sum(x ** 2)", "np.sum(x)"),))
    _, wrong = cases(changed, "first")
    assert mislabelled(wrong, 0)


def test_a_check_that_raises_is_counted_as_neither():
    text = PARABOLA.source.replace("x ** 2", "y ** 2")
    row = run_one(Case("broken", "first", "import numpy as np\n" + text, True, ""))
    assert row.verdict == "error"
    assert row.bad
    assert "NameError" in row.detail
    assert table([row]).splitlines()[1].split()[:6] == ["first", "1", "0", "0", "0", "1"]


def test_the_file_of_a_case_goes_with_it(known):
    with imported("twolayer", known["twolayer__right"].text) as module:
        path = module.__file__
        assert np.ndim(module.loss(**module.make())[0]) == 0
    assert not Path(path).exists()


@pytest.mark.slow
def test_a_seeded_sample_comes_out_as_it_deserves():
    everyone = collection()
    chosen = np.random.default_rng(7).permutation(len(everyone))[:60]
    rows = [run_one(everyone[k]) for k in chosen]
    assert [row for row in rows if row.bad] == []
    assert sum(row.verdict == "inconclusive" for row in rows) <= 1


@pytest.mark.slow
def test_a_seeded_sample_of_the_labels_holds():
    everyone = everything()
    chosen = np.random.default_rng(8).permutation(len(everyone))[:60]
    assert list(verify([everyone[k] for k in chosen], 0)) == []
