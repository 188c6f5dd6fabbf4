from helpers.intervals import Estimate
from helpers.published import WORKS, published_table


def test_a_run_stands_above_the_published_figures():
    figures = {"iou": Estimate(0.91234, 57, 0.9, 0.92), "dice": Estimate(0.95, 57)}
    table = published_table("shenzhen", figures)
    assert table.iloc[0].to_list() == ["57 of shenzhen", "0.912", "0.950", "one split, one seed"]
    assert len(table) == 1 + len(WORKS)
    assert table["comparable?"].str.len().min() > 10, "each says what is comparable"
    numbers = table[["IoU", "Dice"]].replace("-", "0.9").astype(float)
    assert numbers.stack().between(0.5, 1).all()
