from helpers.evaluate.intervals import Estimate
from helpers.report.published import WORKS, published_html, published_table


def test_a_run_stands_above_the_published_figures():
    figures = {"iou": Estimate(0.91234, 57, 0.9, 0.92), "dice": Estimate(0.95, 57)}
    table = published_table("synthetic X-rays", figures)
    ours = ["this run", "57, synthetic X-rays", "0.912", "0.950", "one split, one seed"]
    assert table.iloc[0].to_list() == ours
    assert len(table) == 1 + len(WORKS)
    assert table["comparable?"].str.len().min() > 10, "each says what is comparable"
    assert all(text in published_html("x", figures) for text in table["comparable?"])
    numbers = table[["IoU", "Dice"]].replace("-", "0.9").astype(float)
    assert numbers.stack().between(0.5, 1).all()
