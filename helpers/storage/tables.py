"""Tables: how a notebook shows one whole."""

import pandas as pd


def as_html(table: pd.DataFrame) -> str:
    """Return a table without its index as HTML, its texts whole, escaped and to the left."""
    html = table.to_html(index=False, border=0, justify="left")
    return html.replace("<td>", '<td style="text-align: left">')
