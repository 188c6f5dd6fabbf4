"""Templates: the pages' HTML and CSS, filled with every value escaped, and plain texts."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


@cache
def environment() -> Environment:
    """Return where templates are filled; what pages show is escaped, whatever it holds."""
    return Environment(
        loader=PackageLoader("helpers.report"),
        autoescape=select_autoescape(disabled_extensions=("md", "txt"), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(name: str, **values: object) -> str:
    """Return a template filled with values."""
    return environment().get_template(name).render(values)
