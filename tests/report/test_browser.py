"""The report as a browser shows it."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from helpers.report.report import frame_report, write_report
from tests.report.test_report import (
    CLASSES,
    HOSTILE,
    code_cell,
    figure,
    make_finished,
    make_notebook,
    shown_html,
    text_cell,
    write_json,
)
from tests.support.browsing import open_browser

WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The reports of a run with all parts and of one full of hostile names, and a notebook each."""
    folder, pages = tmp_path_factory.mktemp("reports"), []
    names = "".join(HOSTILE).replace("/", "")
    for place, name in (("usual", "tiny"), ("hostile", names)):
        run = make_finished(folder / place, [*CLASSES, name], name)
        external = {"auroc": figure(0.7), "auroc_drop": figure(0.2), "dice": figure(0.8)}
        write_json(run / "external" / "metrics.json", external)
        badge = "[![Open in Colab](https://x.invalid/badge.svg)](https://x.invalid)"
        script = nbformat.v4.new_output("display_data", {"application/javascript": "alert(1)"})
        texts = text_cell(
            f"# {name}\n\n{badge}\n\n$-\\log p$\n\n![{name}](https://x.invalid/a.png)"
        )
        code = code_cell(shown_html(f"{name}<script>alert(1)</script>"), script)
        make_notebook(run / "notebooks" / "01_get_data.ipynb", texts, code)
        pages += [write_report(run), run / "notebooks" / "01_get_data.html"]
    return pages


def visit(browser, path: Path, width: int, scheme: str):
    """Open a page and return it with its requests, and what it said or asked."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests, said = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    return page, requests, said


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_are_quiet_ask_for_nothing_and_fit(browser, reports, width):
    for path in reports:
        page, requests, said = visit(browser, path, width, "light")
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        assert said == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)"), path
        page.close()


def brightness(page, selector: str, name: str) -> int:
    """Return the sum of an element's red, green and blue, as the browser computes them."""
    colour = page.eval_on_selector(selector, f"element => getComputedStyle(element).{name}")
    return sum(int(part) for part in colour.strip("rgb()").split(","))


def test_a_frame_shows_the_report_and_its_links_within_it_work(browser, reports):
    page = browser.new_page(viewport={"width": 800, "height": 900})
    page.set_content(frame_report(reports[0].parent))
    frame = page.frame_locator("iframe")
    assert frame.locator("h1").inner_text()
    place = frame.locator("nav a").last
    target = frame.locator(place.get_attribute("href"))
    assert not target.evaluate("element => element.getBoundingClientRect().top < innerHeight")
    place.click()
    assert target.evaluate("element => element.getBoundingClientRect().top < innerHeight")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_colour_scheme_can_be_read(browser, reports, scheme):
    page, _, _ = visit(browser, reports[0], 390, scheme)
    ink, paper = brightness(page, "body", "color"), brightness(page, "body", "backgroundColor")
    assert (paper < ink) == (scheme == "dark")
    assert abs(paper - ink) > 500
    assert brightness(page, "figure img", "backgroundColor") == 3 * 255
    page.close()


def test_print_is_dark_on_white_and_holds_what_is_folded_away(browser, reports):
    page, _, _ = visit(browser, reports[0], 800, "dark")
    assert not page.locator("details dd").first.is_visible()
    page.emulate_media(media="print")
    assert brightness(page, "body", "color") == 0
    assert brightness(page, "body", "backgroundColor") == 3 * 255
    assert page.locator("details dd").first.evaluate("element => element.checkVisibility()")
    assert not page.locator("nav").is_visible()
    page.close()
