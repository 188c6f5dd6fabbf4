import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.split.splits import (
    assign_splits,
    describe_divided,
    divided_groups,
    find_leaks,
    leak_table,
)

SPLIT = pd.DataFrame(
    [
        ("A/1", "A", "train", "p"),
        ("A/2", "A", "train", "n"),
        ("A/3", "A", "test", "p"),
        ("A/4", "A", "test", "o"),
        ("A/5", "A", "validation", "p"),
        ("B/1", "B", "test", "q"),
        ("B/2", "B", "train", "q"),
        ("B/0", "B", "train", "q"),
        ("B/3", "B", "validation", "r"),
        ("B/4", "B", "test", "r"),
        ("C/1", "C", "test", "s"),
    ],
    columns=["file", "class", "split", "group"],
)


def table_of(copies: list[int]) -> pd.DataFrame:
    """Return an index of one class with X-rays of so many copies each."""
    rows = [
        (f"{group:02}-{copy}", f"{group:02}-0")
        for group, n in enumerate(copies)
        for copy in range(n)
    ]
    table = pd.DataFrame(rows, columns=["file", "copy_of"])
    return table.assign(pixels=table["copy_of"], mask_pixels="m", **{"class": "A"})


def test_leaks_are_test_xrays_with_a_relative_in_training():
    """A/3 and B/1; validation trains nothing."""
    leaks = find_leaks(SPLIT, SPLIT["group"])
    assert list(leaks.columns) == ["file", "class", "leaked_from"]
    assert leaks.to_numpy().tolist() == [["A/3", "A", "A/1"], ["B/1", "B", "B/0"]]


def test_the_table_counts_leaks_by_class_and_in_all():
    """A class may be called "all" too."""
    split = SPLIT.replace({"class": {"C": "all"}})
    whole = split.assign(split=SPLIT["split"].replace("train", "validation"))
    table = leak_table({"careless": split, "ours": whole}, SPLIT["group"])
    assert list(table.index) == ["A", "B", "all", "all"]
    assert list(table["careless"]) == [
        "1 of 2 (50.0%)",
        "1 of 2 (50.0%)",
        "0 of 1 (0.0%)",
        "2 of 5 (40.0%)",
    ]
    assert list(table["ours"]) == [
        "0 of 2 (0.0%)",
        "0 of 2 (0.0%)",
        "0 of 1 (0.0%)",
        "0 of 5 (0.0%)",
    ]


def test_a_class_that_a_test_split_lacks_leaks_none_of_none():
    lacking = SPLIT.assign(split=SPLIT["split"].where(SPLIT["class"] != "A", "train"))
    table = leak_table({"careless": lacking, "ours": SPLIT}, SPLIT["group"])
    assert list(table["careless"]) == [
        "0 of 0",
        "1 of 2 (50.0%)",
        "0 of 1 (0.0%)",
        "1 of 3 (33.3%)",
    ]


def test_divided_groups_are_counted_and_three_are_named():
    expected = [
        "Copies, patients or other groups in more than one split: 3",
        "  A/1 (train), A/3 (test), A/5 (validation)",
        "  B/1 (test), B/2 (train)",
        "  B/3 (validation), B/4 (test)",
    ]
    assert describe_divided(SPLIT).splitlines() == expected
    more = pd.concat([SPLIT, SPLIT.assign(group=SPLIT["group"] + " too")])
    assert describe_divided(more).splitlines()[0] == expected[0].replace("3", "6")
    assert len(describe_divided(more).splitlines()) == 4


@settings(max_examples=40, deadline=None)
@given(
    copies=st.lists(st.integers(1, 4), min_size=3, max_size=30),
    seed=st.integers(0, 1000),
)
def test_what_stays_together_does_not_leak(copies, seed):
    index = table_of(copies)
    split = assign_splits(index, seed)
    assert find_leaks(split, split["group"]).empty
    assert divided_groups(split).empty
    careless = assign_splits(index.assign(copy_of=index["file"]), seed)
    leaks = find_leaks(careless, index["copy_of"])
    divided = divided_groups(careless.assign(group=index["copy_of"]))
    assert leaks["leaked_from"].nunique() <= len(divided), "who leaks has a relative elsewhere"
    where = careless.set_index("file")["split"]
    assert (where[leaks["file"]] == "test").all()
    assert (where[leaks["leaked_from"]] == "train").all()
    assert (leaks["file"].str[:2] == leaks["leaked_from"].str[:2]).all()
