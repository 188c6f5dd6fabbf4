"""Pages: executed notebooks as HTML that opens without a network."""

import re
from pathlib import Path

import bleach
import nbformat
from nbconvert import HTMLExporter

from helpers.report.templates import render
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import write_whole
from helpers.storage.folders import shown

FOREIGN_PICTURE = re.compile(r"!\[([^\]]*)\]\(\s*(?:https?:)?//[^)]*\)")  # in Markdown
STYLE_OF_A_TABLE = re.compile(r"<style\b.*?</style>", re.S | re.I)  # pandas puts it before one
NOTEBOOK_LINK = re.compile(r'(href="[\w.-]+)\.ipynb((?:#[^"]*)?")')
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.M)
# What Markdown and tables are made of; no pictures, which would be fetched.
TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "div", "span"),
    *("a", "b", "code", "del", "em", "i", "strong", "sub", "sup"),
    *("ul", "ol", "li", "dl", "dt", "dd"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
}
ATTRIBUTES = {
    "*": ["class", "id"],
    "a": ["href"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
}
PROTOCOLS = {"http", "https", "mailto"}
FORMULA = re.compile(r"\$([^$\n]{1,40})\$")  # a formula within a line of text


def write_pages(run_folder: Path) -> list[Path]:
    """Write every executed notebook of a run beside itself as .html, and return those files.

    Pictures that lie on a server become their descriptions, links between notebooks lead to the
    pages, and no script is left.

    Raises:
        CovidLungsError: a notebook cannot be read.
    """
    # "basic" is nbconvert's template without a head: its others fetch scripts from servers.
    exporter = HTMLExporter(template_name="basic", sanitize_html=True, exclude_anchor_links=True)
    exporter.register_filter("clean_html", _clean)  # its own would escape headings and paragraphs
    notebooks = sorted((run_folder / "notebooks").glob("*.ipynb"))
    return [_write_page(path, exporter) for path in notebooks]


def _write_page(path: Path, exporter: HTMLExporter) -> Path:
    """Write one executed notebook as a page beside itself, and return the page's path."""
    try:
        notebook = nbformat.read(path, as_version=4)
        _prepare(notebook.cells)
    except Exception as error:  # nbformat has no error of its own for what is no notebook
        raise CovidLungsError(
            f"{shown(path)} is no notebook that can be read: remove it, and run it again."
        ) from error
    body, _ = exporter.from_notebook_node(notebook)
    body = NOTEBOOK_LINK.sub(r"\1.html\2", body)
    page = render("notebook.html", title=_title(notebook.cells) or path.stem, body=body)
    return write_whole(path.with_suffix(".html"), page)


def _clean(html: str) -> str:
    """Return HTML with every tag and attribute that only text needs, all others as text."""
    return bleach.clean(html, tags=TAGS, attributes=ATTRIBUTES, protocols=PROTOCOLS)


def _prepare(cells: list[nbformat.NotebookNode]) -> None:
    """Take from the cells what would need a network, and give the pictures a description."""
    heading = "the notebook"
    for cell in cells:
        if cell.cell_type == "markdown":
            heading = (HEADING.findall(cell.source) or [heading])[-1]
            cell.source = FOREIGN_PICTURE.sub(r"\1", cell.source)
            cell.source = FORMULA.sub(_plain_formula, cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = STYLE_OF_A_TABLE.sub("", data["text/html"])
            if any(kind.startswith("image/") for kind in data):
                cell.metadata.setdefault("alt", f"Picture of the section “{heading}”")


def _plain_formula(found: re.Match) -> str:
    """Return a formula as text in italics: what would typeset it is a script."""
    return "*" + found[1].replace("\\", "").replace("*", "×").replace("-", "−") + "*"


def _title(cells: list[nbformat.NotebookNode]) -> str | None:
    """Return the notebook's first heading."""
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    return next((found[1] for text in texts if (found := HEADING.search(text))), None)
