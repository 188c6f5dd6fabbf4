"""Templates: the pages' HTML and CSS, filled with every value escaped."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def environment() -> Environment:
    """Return where templates are filled; what they show is escaped, whatever it holds."""
    return Environment(
        loader=PackageLoader("helpers"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(name: str, **values: object) -> str:
    """Return a template filled with values."""
    return environment().get_template(name).render(values)
