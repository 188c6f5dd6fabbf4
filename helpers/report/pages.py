"""Pages: HTML that opens without a network, from templates and from executed notebooks."""

import re
from pathlib import Path

import nbformat
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import write_whole
from helpers.storage.folders import shown

FOREIGN_PICTURE = re.compile(r"!\[([^\]]*)\]\(\s*(?:https?:)?//[^)]*\)")  # in Markdown
STYLE_OF_A_TABLE = re.compile(r"<style\b.*?</style>", re.S | re.I)  # pandas puts it before one
NOTEBOOK_LINK = re.compile(r'(href="[\w.-]+)\.ipynb((?:#[^"]*)?")')
SOLUTION_LINK = re.compile(r"\[([^\]]+)\]\(solutions/[^)]*\)")  # no run folder holds a solution
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.M)
FORMULA = re.compile(r"\$([^$\n]{1,40})\$")  # within a line of text
# Markdown and tables consist of these; pictures are not among them, as they would be fetched.
TAGS = [
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "div", "span"),
    *("a", "b", "code", "del", "em", "i", "strong", "sub", "sup"),
    *("ul", "ol", "li", "dl", "dt", "dd"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
]
ATTRIBUTES = {
    "*": ["class", "id"],
    "a": ["href"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
}


TEMPLATES = Environment(
    loader=PackageLoader("helpers.report"),
    autoescape=select_autoescape(disabled_extensions=("md", "txt"), default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(name: str, **values: object) -> str:
    """Return a template filled with values, each of them escaped in a page."""
    return TEMPLATES.get_template(name).render(values)


def write_pages(run_folder: Path) -> list[Path]:
    """Write every executed notebook of a run beside itself as .html, and return those files.

    Pictures on a server become their descriptions, links between notebooks lead to the pages, and
    scripts become text.

    Raises:
        CovidLungsError: a notebook cannot be read.
    """
    from nbconvert import HTMLExporter  # here, since it takes a second to import
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    # "basic" is nbconvert's template without a head: its others fetch scripts from servers.
    exporter = HTMLExporter(template_name="basic", sanitize_html=True, exclude_anchor_links=True)
    # The exporter's own filter would turn headings, paragraphs and tables' heads into text.
    cleaner = SanitizeHTML(tags=TAGS, attributes=ATTRIBUTES)
    exporter.register_filter("clean_html", cleaner.sanitize_html_tags)
    pages = []
    for path in sorted((run_folder / "notebooks").glob("*.ipynb")):
        notebook = _read_notebook(path)
        body, _ = exporter.from_notebook_node(notebook)
        body = NOTEBOOK_LINK.sub(r"\1.html\2", body)
        page = render("notebook.html", title=path.stem.replace("_", " "), body=body)
        pages.append(write_whole(path.with_suffix(".html"), page))
    return pages


def _read_notebook(path: Path) -> nbformat.NotebookNode:
    """Return an executed notebook without what needs a network, its pictures described."""
    try:
        notebook = nbformat.read(path, as_version=4)
        _prepare(notebook.cells)
    except Exception as error:  # nbformat raises errors of many kinds
        raise CovidLungsError(
            f"{shown(path)} is no notebook that can be read: remove it, and run it again."
        ) from error
    return notebook


def _prepare(cells: list[nbformat.NotebookNode]) -> None:
    """Remove from the cells what needs a network, and describe their pictures."""
    heading = "the notebook"
    for cell in cells:
        if cell.cell_type == "markdown":
            heading = (HEADING.findall(cell.source) or [heading])[-1]
            cell.source = FOREIGN_PICTURE.sub(r"\1", cell.source)
            cell.source = SOLUTION_LINK.sub(r"\1", cell.source)
            cell.source = FORMULA.sub(_plain_formula, cell.source)
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = {}  # nbconvert writes a size from it as it is
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = STYLE_OF_A_TABLE.sub("", data["text/html"])
            if any(kind.startswith("image/") for kind in data):
                cell.metadata.setdefault("alt", f"Picture of the section “{heading}”")


def _plain_formula(found: re.Match) -> str:
    """Return a formula as text in italics: only a script could typeset it."""
    return "*" + found[1].replace("\\", "").replace("*", "×").replace("-", "−") + "*"
