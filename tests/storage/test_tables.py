import pandas as pd

from helpers.storage.tables import as_html


def test_texts_are_whole_and_escaped_and_the_index_is_left_out():
    html = as_html(pd.DataFrame({"what": ["x" * 200, "<script>"]}, index=["i-one", "i-two"]))
    assert "x" * 200 in html
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "i-one" not in html
    assert html.count('<td style="text-align: left">') == 2
