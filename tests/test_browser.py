"""The pages in a real browser, opened from disk with the network off."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sample_reports

from gradcheck.drawing import pictures
from gradcheck.render.files import write_report

pytestmark = pytest.mark.browser

WIDTHS = (360, 900, 1600)
PAGES = {
    "index": "index.html",
    "passing": "spiral_softmax.mean_early.html",
    "failing": "two_layer_net.half_loss_double_grad.html",
    "inconclusive": "tanh_logistic_net.saturated.html",
    "error": "mnist_relu_net.no_return.html",
    "large": "random_relu_regression.published.html",
    "tensor": "convolution.kernel.html",
}
SCREENSHOTS = os.environ.get("GRADCHECK_SCREENSHOTS")


def chromium_path() -> str | None:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return None


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        path = chromium_path()
        if path is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium is installed")
        launched = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    write_report(sample_reports.full_report(), root / "full")
    write_report(sample_reports.nasty_report(), root / "nasty")
    write_report(sample_reports.full_report(), root / "single", self_contained=True)
    return root


@pytest.fixture
def visit(browser, folder):
    """Open pages as a user would; at the end, no page complained or asked for anything outside."""
    contexts, complaints = [], []

    def open_page(path: str, *, width: int = 1200, scheme: str = "light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            offline=True,
            reduced_motion="reduce",
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda r: complaints.append(r.url) if not is_inside(r.url) else None)
        page.on("requestfailed", lambda r: complaints.append(f"failed: {r.url}"))
        page.goto(f"{folder.as_uri()}/{path}")
        return page

    def is_inside(url: str) -> bool:
        return url.startswith((folder.as_uri(), "data:", "blob:"))

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def wait_until(page, expression: str, *, seconds: float = 20) -> None:
    """Poll from here: the page's own policy forbids code made of strings."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never came true: {expression}"
        page.wait_for_timeout(30)


def wait_for_plots(page, *, n: int = 1) -> None:
    wait_until(
        page, f"document.querySelectorAll('.js-plotly-plot .xaxislayer-above').length >= {n}"
    )


def open_all(page) -> None:
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")


@pytest.mark.parametrize("kind", PAGES)
def test_no_page_scrolls_sideways_in_either_scheme(visit, kind):
    page = visit(f"full/{PAGES[kind]}", width=WIDTHS[-1])
    open_all(page)
    if page.query_selector(".plot"):
        wait_for_plots(page, n=page.locator("[data-kind=scatter]").count())
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(400)  # pictures are drawn anew
            assert not scrolls_sideways(page), (width, scheme)
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            channels = [int(channel) for channel in re.findall(r"\d+", background)][:3]
            assert max(channels) < 60 if scheme == "dark" else min(channels) > 200
            if SCREENSHOTS:
                Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
                page.screenshot(path=f"{SCREENSHOTS}/{kind}-{width}-{scheme}.png", full_page=True)


def scrolls_sideways(page) -> bool:
    return page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )


def test_nasty_names_do_nothing(visit, folder):
    page = visit("nasty/index.html", width=360)
    for path in sorted((folder / "nasty").glob("*.html")):
        page.goto(path.as_uri())
        open_all(page)
        assert not scrolls_sideways(page), path.name
        assert page.evaluate("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [
        ("index", "light"),
        ("index", "dark"),
        ("failing", "light"),
        ("failing", "dark"),
        ("inconclusive", "light"),
        ("error", "dark"),
        ("tensor", "light"),
        ("passing", "dark"),
    ],
)
def test_axe_finds_nothing_serious(visit, kind, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit(f"full/{PAGES[kind]}", scheme=scheme, bypass_csp=True)
    open_all(page)
    if page.query_selector(".plot"):
        wait_for_plots(page)
    results = axe.Axe().run(page, options={"preload": False}).response
    serious = [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]][:3])
        for violation in results["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []


def names_shown(page) -> list[str]:
    return [
        link.text_content()
        for link in page.query_selector_all("table.checks tbody tr:not([hidden]) th a")
    ]


def test_sorting(visit):
    page = visit("full/index.html")
    given = names_shown(page)
    button = page.get_by_role("button", name="max relative error")
    button.click()
    downwards = names_shown(page)
    assert downwards[0] == "convolution.kernel"  # an error of 2
    assert downwards[-1] == "mnist_relu_net.no_return"  # none at all comes last
    assert page.get_attribute("th:has-text('max relative error')", "aria-sort") == "descending"
    button.click()
    upwards = names_shown(page)
    assert upwards[:-1] == downwards[:-1][::-1]
    assert upwards[-1] == "mnist_relu_net.no_return"
    page.get_by_role("button", name="check", exact=True).click()
    assert names_shown(page) == sorted(given)
    page.get_by_role("button", name="verdict").focus()
    page.keyboard.press("Enter")
    assert names_shown(page)[0] == "mnist_relu_net.no_return"


def test_filtering(visit):
    page = visit("full/index.html")
    box = page.get_by_role("searchbox")
    box.fill("relu")
    assert names_shown(page) == ["mnist_relu_net.no_return", "random_relu_regression.published"]
    assert page.text_content(".filter-count") == "2 of 6 shown"
    box.fill("relu autograd")
    assert names_shown(page) == ["random_relu_regression.published"]
    box.fill("")
    page.get_by_role("checkbox", name="fail").uncheck()
    assert len(names_shown(page)) == 4
    box.fill("nothing like this")
    assert names_shown(page) == []


def hover_lines(page, where: tuple[float, float]) -> list[str]:
    page.mouse.move(0, 0)
    page.wait_for_timeout(150)
    page.mouse.move(*where, steps=4)
    page.wait_for_timeout(250)  # labels of cells on the way are gone
    page.wait_for_selector(".hoverlayer .hovertext")
    return page.locator(".hoverlayer .hovertext tspan.line").all_text_contents()


def cell_center(page, selector: str, row: int, column: int) -> tuple[float, float]:
    return tuple(
        page.evaluate(
            """([selector, row, column]) => {
                const plot = document.querySelector(selector);
                plot.scrollIntoView({block: "center"});
                const box = plot.getBoundingClientRect();
                const {xaxis, yaxis} = plot._fullLayout;
                return [box.left + xaxis._offset + xaxis.d2p(column),
                        box.top + yaxis._offset + yaxis.d2p(row)];
            }""",
            [selector, row, column],
        )
    )


def test_hover_shows_the_numbers_of_the_entry(visit):
    page = visit(f"full/{PAGES['failing']}")
    wait_for_plots(page)
    result = sample_reports.failing_check().parameters["W2"]
    piece = result.grids["slices"][0]
    selector = "details[open] [data-kind=grids] .js-plotly-plot"
    for row, column in ((0, 0), (7, 2), (4, 1)):
        first, *lines = hover_lines(page, cell_center(page, selector, row, column))
        assert first == f"[{row}, {column}] fail"
        shown = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
        assert shown == {
            "analytic": piece["analytic"][row][column],
            "numeric": piece["reference"][row][column],
            "autograd": piece["autograd"][row][column],
            "relative error": piece["relative_error"][row][column],
            "uncertainty": piece["uncertainty"][row][column],
        }


def test_hover_of_a_reduced_map_names_its_range(visit):
    page = visit(f"full/{PAGES['large']}")
    page.locator("details.parameter summary").first.click()
    wait_for_plots(page)
    selector = "details[open] [data-kind=grids] .js-plotly-plot"
    lines = hover_lines(page, cell_center(page, selector, 1, 2))
    piece = sample_reports.large_check().parameters["w1"].grids["slices"][0]
    entry = piece["entry"][1][2]
    assert lines[0] == f"[{entry // 100}, {entry % 100}] pass"
    high, wide = piece["row_block"], piece["column_block"]
    assert lines[1] == (f"worst of rows {high}–{2 * high - 1}, columns {2 * wide}–{3 * wide - 1}")


def test_dragging_zooms_and_a_double_click_goes_back(visit):
    page = visit(f"full/{PAGES['failing']}")
    wait_for_plots(page)
    selector = "details[open] [data-kind=grids] .js-plotly-plot"
    read = f"document.querySelector('{selector}')._fullLayout.yaxis.range.join()"
    before = page.evaluate(read)
    page.mouse.move(*cell_center(page, selector, 1, 0))
    page.mouse.down()
    page.mouse.move(*cell_center(page, selector, 4, 2), steps=5)
    page.mouse.up()
    wait_until(page, f"{read} !== '{before}'")
    page.wait_for_timeout(400)  # not taken for the first click of a double one
    page.mouse.dblclick(*cell_center(page, selector, 2, 1))
    wait_until(page, f"{read} === '{before}'")


def test_pictures_are_drawn_when_a_row_is_opened_by_keyboard(visit):
    page = visit(f"full/{PAGES['passing']}")
    assert page.locator(".js-plotly-plot").count() == 0
    page.locator("details.parameter summary").first.focus()
    page.keyboard.press("Enter")
    wait_for_plots(page)
    kinds = page.eval_on_selector_all(
        "details[open] .plot", "all => all.map(one => one.dataset.kind)"
    )
    assert kinds == ["grids", "scatter", "histogram"]


def test_v_curve_and_kink_are_drawn(visit):
    page = visit(f"full/{PAGES['large']}")
    page.locator("details.parameter summary").nth(1).click()
    wait_for_plots(page, n=5)
    names = page.eval_on_selector(
        "details[open] [data-kind=line]", "one => one.data.map(trace => trace.name)"
    )
    assert names == ["analytic slope", "left slope", "right slope", "loss"]
    steps = page.eval_on_selector("details[open] [data-kind=steps]", "one => one.data.at(-1)")
    curve = sample_reports.large_check().parameters["w2"].curves[0]
    assert steps["y"] == [error for error in curve["error"] if error != 0]


def test_pictures_follow_the_colour_scheme(visit):
    page = visit(f"full/{PAGES['failing']}")
    wait_for_plots(page)
    read = "document.querySelector('details[open] [data-kind=scatter]')._fullLayout.font.color"
    light = page.evaluate(read)
    page.emulate_media(color_scheme="dark")
    wait_until(page, f"{read} !== {json.dumps(light)}")


def test_without_a_script_tables_and_verdicts_remain(visit):
    page = visit(f"full/{PAGES['failing']}", java_script_enabled=False)
    assert page.locator("details.parameter[open] table").count() == 2
    assert page.locator("mark").text_content() == "2 * reg * W2"
    assert not page.locator(".pictures").first.is_visible()
    assert not page.locator("button.copy").first.is_visible()
    page.locator("details.parameter summary").first.click()
    assert page.locator("details.parameter[open]").count() == 2
    index = visit("full/index.html", java_script_enabled=False)
    assert index.locator("table.checks tbody tr").count() == 6
    assert not index.locator(".filter").is_visible()
    single = visit("single/index.html", java_script_enabled=False)
    assert single.locator(".sheet").last.is_visible()


def test_the_table_can_be_copied(visit):
    page = visit(f"full/{PAGES['failing']}", permissions=["clipboard-read", "clipboard-write"])
    page.locator("details[open] button.copy").first.click()
    page.wait_for_selector("button.copy:has-text('Copied')")
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert lines[0].split("\t")[:2] == ["index", "analytic"]
    worst = sample_reports.failing_check().parameters["W2"].best_comparison.worst
    assert len(lines) == 1 + len(worst)
    assert lines[1].split("\t")[0] == str(list(worst[0].index))


def test_a_single_file_shows_one_sheet_at_a_time(visit):
    page = visit("single/index.html")
    assert page.locator(".sheet:visible").count() == 1
    page.get_by_role("link", name="two_layer_net.half_loss_double_grad", exact=True).click()
    assert page.locator(".sheet:visible h2.page-title").text_content() == (
        "two_layer_net.half_loss_double_grad"
    )
    wait_for_plots(page)
    page.go_back()
    assert page.locator(".sheet:visible table.checks").count() == 1


def test_data_that_cannot_be_drawn_say_so(browser, tmp_path):
    result = sample_reports.parameter("W", (2, 2))
    broken = replace(result, grids={"slices": [3], "oracle": "central"}, curves=())
    check = replace(sample_reports.passing_check("c"), parameter_results=(broken,))
    write_report(sample_reports.report(check), tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "c.html").as_uri())
    wait_for_plots(page)
    assert "cannot be drawn" in page.locator("[data-kind=grids]").text_content()
    page.close()


def test_printed_in_the_light(visit):
    page = visit(f"full/{PAGES['failing']}", scheme="dark")
    wait_for_plots(page)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    wait_until(
        page,
        "document.querySelector('details[open] [data-kind=scatter]')"
        "._fullLayout.font.color === '#000'",
    )
    assert not page.locator(".top nav").is_visible()
    assert len(page.pdf()) > 10_000


def test_a_page_of_the_most_cells_is_drawn_quickly(visit, folder):
    results = tuple(
        sample_reports.parameter(f"W{i}", (40, 31), seed=i, max_cells=cells, wrong=0.1)
        for i, cells in enumerate(pictures.share([1240, 1240]))
    )
    check = replace(sample_reports.failing_check("most"), parameter_results=results)
    write_report(sample_reports.report(check), folder / "most")
    page = visit("most/most.html")
    wait_for_plots(page)
    assert page.evaluate("performance.now()") < 10_000
