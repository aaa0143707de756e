"""HTML pages: complete without a script, escaped, small, and closed in themselves."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import sample_reports
from gold_files import assert_gold

from gradcheck.render import html
from gradcheck.report import Check, Report, Verdict

VOID = {"meta", "link", "input", "br", "wbr", "path"}


class Page(HTMLParser):
    """A strict reader: every element is closed, in order; attributes and text are kept."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.scripts.append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pages_of(report: Report) -> dict[str, Page]:
    files = html.render(report)
    return {name: Page(text) for name, text in files.items() if name.endswith(".html")}


@pytest.fixture(scope="module")
def full():
    return html.render(sample_reports.full_report())


@pytest.fixture(scope="module")
def nasty():
    return html.render(sample_reports.nasty_report())


def test_gold():
    files = html.render(sample_reports.gold_report())
    assert_gold("index.html", files["index.html"])
    assert_gold("net.wrong.html", files["net.wrong.html"])


def test_a_page_per_check_an_index_and_one_assets_folder(full):
    names = [check.name for check in sample_reports.full_report().checks]
    pages = {name for name in full if "/" not in name}
    assert pages == {"index.html", *(f"{name}.html" for name in names)}
    assets = {name for name in full if "/" in name}
    assert assets == {
        "assets/gradcheck.css",
        "assets/plots.js",
        "assets/plotly.min.js",
        "assets/tables.js",
    }


def test_every_link_leads_to_a_page_that_is_there(full):
    for name, text in full.items():
        if not name.endswith(".html"):
            continue
        page = Page(text)
        links = [a["href"] for a in page.all("a")] + [
            a["href"] for a in page.all("link") if a["rel"] == "stylesheet"
        ]
        links += [a["src"] for a in page.all("script") if "src" in a]
        assert links
        assert set(links) <= set(full)


def test_every_page_has_a_policy_that_lets_nothing_in(full, nasty):
    for text in (*full.values(), *nasty.values()):
        if "<!doctype html>" not in text:
            continue
        (policy,) = [m["content"] for m in Page(text).all("meta") if "http-equiv" in m]
        assert policy.startswith("default-src 'none';")
        assert "http" not in policy
        script = re.search(r"script-src ([^;]*);", policy).group(1)
        assert "unsafe" not in script


def test_nothing_outside_is_asked_for(full):
    for name, text in full.items():
        if name.endswith(".html") or name in ("assets/gradcheck.css",):
            assert "url(" not in text
            for attributes in Page(text).tags if name.endswith(".html") else ():
                source = attributes[1].get("src")
                assert source is None or source.startswith("assets/")
        if name.endswith(("tables.js", "plots.js")):
            assert not re.search(r"fetch\(|XMLHttpRequest|https?://|import\(", text)


def test_tables_and_verdicts_are_there_without_a_script(full):
    page = Page(full["two_layer_net.half_loss_double_grad.html"])
    text = page.text
    for needed in (
        "✗ fail The gradient is wrong in 2 of 4 parameters: W1 and W2.",
        "This is what its author declared.",
        "reg_scale in W2",
        "2 * reg * W2",
        "What to do Write reg * W2 here",
        "analytic against PyTorch autograd",
        "python -m gradcheck reference_models --only two_layer_net.half_loss_double_grad --seed 0",
    ):
        assert needed in text
    assert text.count("✗ fail") > 2
    assert page.all("mark")
    index = Page(full["index.html"]).text
    assert "4 of 6 checks came out as they should. 2 wrong gradients, each explained" in index
    assert "Softmax classifier on the spiral" in index


def test_controls_of_a_script_are_hidden_without_it(full):
    for text in full.values():
        if text.startswith("<!doctype"):
            for attributes in Page(text).all("button"):
                assert "hidden" in attributes
            for tag, attributes in Page(text).tags:
                if "filter" in (attributes.get("class") or "").split():
                    assert "hidden" in attributes, tag


def test_colour_is_never_the_only_sign(full):
    for text in full.values():
        if not text.startswith("<!doctype"):
            continue
        for verdict in Verdict:
            tags = re.findall(rf'<span class="verdict {verdict}">(.*?)</span> (\w+)</span>', text)
            assert all(word == verdict for _, word in tags)


def test_nothing_from_outside_becomes_markup(nasty):
    clean = pages_of(sample_reports.full_report())
    known = {tag for page in clean.values() for tag, _ in page.tags}
    for name, text in nasty.items():
        if not name.endswith(".html"):
            continue
        page = Page(text)
        assert {tag for tag, _ in page.tags} <= known | {"wbr"}
        for _, attributes in page.tags:
            assert not any(key.startswith("on") for key in attributes)
            for key in ("href", "src"):
                value = attributes.get(key) or ""
                assert not value.startswith("javascript:")
        # the page's data parse, and end where they should
        for script in page.scripts:
            json.loads(script)


def test_hidden_and_reversing_characters_are_shown(nasty):
    for name, text in nasty.items():
        if name.endswith(".html"):
            assert not re.search("[\u200b\u202e\u2066\x00\x1b\ud800]", text)
    text = " ".join(Page(t).text for n, t in nasty.items() if n.endswith(".html"))
    for shown in ("right\\u202eot tfel\\u2066", "\\u200b\\u200b", "\\ud800", "\\x1b[31mred"):
        assert shown in text
    assert "(no name)" in text
    assert "\\x20\\x20\\x20" in text


def test_long_texts_are_shortened(nasty):
    page = next(text for name, text in nasty.items() if name.startswith("xxxx"))
    assert len(page) < 100_000
    assert "x" * 5000 not in page
    assert "more characters in report.json" in page


def test_an_ordinary_page_is_below_300_kilobytes(full):
    for name, text in full.items():
        if name.endswith(".html"):
            assert len(text.encode()) < 300_000, name


def test_a_page_of_many_parameters_is_too():
    from gradcheck.drawing import pictures

    shapes = [(30, 20)] * 20
    cells = pictures.share([600] * 20)
    results = tuple(
        replace(
            sample_reports.parameter(f"W{i}", shape, max_cells=cells[i], seed=i, wrong=0.1),
            scatter={},
        )
        for i, shape in enumerate(shapes)
    )
    check = replace(sample_reports.failing_check(), parameter_results=results)
    page = html.render(sample_reports.report(check))[f"{check.name}.html"]
    assert len(page.encode()) < 300_000


def test_the_first_to_look_at_is_open():
    check = sample_reports.failing_check()
    page = html.render(sample_reports.report(check))[f"{check.name}.html"]
    rows = re.findall(
        r'<details class="parameter (\w+)"( open)?>\s*<summary>\s*.*?<code>(\w+)', page
    )
    assert [name for _, is_open, name in rows if is_open] == ["W2"]
    passing = html.render(sample_reports.report(sample_reports.passing_check()))
    assert '<details class="parameter pass" open>' not in passing["spiral_softmax.mean_early.html"]


def test_rendering_is_pure_and_the_same_twice():
    report = sample_reports.full_report()
    before = report.to_dict()
    assert html.render(report) == html.render(report)
    assert report.to_dict() == before


def test_rendered_again_from_json_it_is_the_same():
    report = sample_reports.full_report()
    again = Report.from_dict(json.loads(json.dumps(report.to_dict())))
    assert html.render(again) == html.render(report)


def test_broken_pictures_do_not_break_a_page():
    result = replace(
        sample_reports.parameter("W", (2, 2)),
        grids={"slices": "none"},
        scatter={"analytic": 3, "oracle": ["x"]},
        histogram={"counts": {}},
        curves=({"kink": "x"},),
        taylor=({"step": 0.1}, {"other": None}),
    )
    check = replace(sample_reports.passing_check(), parameter_results=(result,))
    assert Page(html.render(sample_reports.report(check))[f"{check.name}.html"])


def test_nothing_was_checked():
    page = Page(html.render(Report(checks=()))["index.html"])
    assert "Nothing was checked." in page.text


def test_without_plotly_the_tables_stand(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "plotly" else find_spec(name)
    )
    html._plotly.cache_clear()
    try:
        files = html.render(sample_reports.report(sample_reports.passing_check()))
    finally:
        html._plotly.cache_clear()
    assert "assets/plotly.min.js" not in files
    page = files["spiral_softmax.mean_early.html"]
    assert "plotly was not installed" in Page(page).text
    assert "plots.js" not in page


def test_one_file_holds_everything():
    report = sample_reports.full_report()
    files = html.render(report, self_contained=True)
    assert list(files) == ["index.html"]
    text = files["index.html"]
    assert len(text.encode()) < html.SINGLE_FILE_LIMIT
    page = Page(text)
    assert not [a for a in page.all("script") if "src" in a]
    assert not [a for a in page.all("link") if a["rel"] == "stylesheet"]
    targets = {f"#{a['id']}" for _, a in page.tags if "id" in a}
    assert {a["href"] for a in page.all("a") if a["href"].startswith("#")} <= targets
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_one_file_of_nasty_names_is_well_formed():
    page = Page(html.render(sample_reports.nasty_report(), self_contained=True)["index.html"])
    assert len([a for _, a in page.tags if (a.get("id") or "").startswith("check-")]) == len(
        sample_reports.NASTY
    )


def test_one_file_stays_below_the_limit_and_says_what_it_left_out(monkeypatch):
    report = sample_reports.full_report()
    whole = len(html.render(report, self_contained=True)["index.html"].encode())
    monkeypatch.setattr(html, "SINGLE_FILE_LIMIT", whole - 100_000)
    text = html.render(report, self_contained=True)["index.html"]
    assert len(text.encode()) < whole - 100_000
    page = Page(text)
    assert "the pictures of 2 checks are left out" in page.text
    data = {
        a["id"]: json.loads(script)
        for a, script in zip(
            [a for a in page.all("script") if a.get("type") == "application/json"],
            [s for s in page.scripts if s.startswith("{")],
            strict=True,
        )
    }
    kept = [bool(data[f"data-{i}"]["parameters"]) for i in range(len(report.checks))]
    failing = [check.verdict is Verdict.FAIL for check in report.checks]
    assert all(k for k, f in zip(kept, failing, strict=True) if f)


def test_a_check_that_no_one_declared_says_nothing_of_it():
    check: Check = replace(sample_reports.passing_check(), expected=None)
    page = pages_of(sample_reports.report(check))
    assert "declared" not in page["index.html"].text
    assert "declared" not in page[f"{check.name}.html"].text


def test_slopes_along_random_directions_are_shown_to_the_digits_that_are_known():
    check = sample_reports.failing_check()
    first, *others = check.parameter_results
    rows = (
        {"parameter": "", "claimed": 0.25, "numeric": 0.5, "uncertainty": 1.01374e-10}
        | {"agree": False, "order": 1.0004},
        {"parameter": "W", "claimed": 0.0, "numeric": 1e-17, "uncertainty": 1e-12}
        | {"agree": None, "order": None},
    )
    changed = replace(check, parameter_results=(replace(first, taylor=rows), *others))
    page = pages_of(sample_reports.report(changed))[f"{check.name}.html"].text
    shown = page.partition("Along random directions")[2]
    assert "all parameters0.250.51e-101no" in shown
    assert "W01e-171e-12–cannot tell" in shown
