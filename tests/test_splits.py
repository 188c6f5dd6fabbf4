import hashlib
from pathlib import Path

import pandas as pd
import pytest
from builders import make_data_set, make_run, refused, write_pair
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data_sets import DataSet
from helpers.errors import CovidLungsError
from helpers.index import build_index
from helpers.splits import FRACTIONS, assign_splits, read_split, write_split

pytestmark = pytest.mark.usefixtures("runs")
seeds = st.integers(0, 2**31 - 1)
few = settings(max_examples=60, deadline=None)


def table_of(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["file", "class", "pixels"])


@st.composite
def index_tables(draw) -> pd.DataFrame:
    """Indexes of up to four classes with copies, in any order; no pixels in two classes."""
    rows = []
    for name in ("COVID", "Normal", "Lung_Opacity", "Viral Pneumonia")[: draw(st.integers(1, 4))]:
        copies = draw(st.lists(st.sampled_from([1, 1, 1, 2, 3, 7]), min_size=3, max_size=40))
        pixels = [f"{name}{group}" for group, size in enumerate(copies) for _ in range(size)]
        numbered = enumerate(draw(st.permutations(pixels)))
        rows += [(f"{name}/images/{name}-{number}.png", name, value) for number, value in numbered]
    return table_of(rows)


@st.composite
def unchecked_tables(draw) -> pd.DataFrame:
    """Indexes with whatever copies, across classes too."""
    pixels = draw(st.lists(st.integers(0, 12), min_size=1, max_size=40))
    rows = []
    for number, value in enumerate(pixels):
        name = draw(st.sampled_from("AB"))
        rows.append((f"{name}/images/{number}.png", name, str(value)))
    return table_of(rows)


def as_mapping(split: pd.DataFrame) -> dict[str, str]:
    return dict(zip(split["file"], split["split"], strict=True))


@few
@given(table=index_tables(), seed=seeds)
def test_rows_groups_and_classes(table, seed):
    split = assign_splits(table, seed)
    assert list(split.columns) == ["file", "class", "group", "split"]
    assert split[["file", "class"]].equals(table[["file", "class"]])
    assert (split.groupby("group")["split"].nunique() == 1).all(), "no group is in two splits"
    assert (split.groupby("class")["split"].nunique() == 3).all(), "every class is in every split"
    assert set(split["split"]) == set(FRACTIONS)


@few
@given(table=index_tables(), seed=seeds)
def test_a_group_is_the_files_of_equal_pixels(table, seed):
    groups = assign_splits(table, seed)["group"]
    files = dict(zip(table["file"], table["pixels"], strict=True))
    assert [files[group] for group in groups] == list(table["pixels"])
    assert table.assign(group=groups).groupby("pixels")["group"].nunique().eq(1).all()
    assert (groups <= table["file"]).all(), "named after the first of its files"


@few
@given(table=index_tables(), seed=seeds)
def test_fractions_are_met_to_within_a_group(table, seed):
    split = assign_splits(table, seed)
    for _, members in split.groupby("class"):
        sizes = members["group"].value_counts()
        found = members["split"].value_counts()
        # With fewer than ten groups, one for each split is more than its fraction.
        for name in ("validation", "test"):
            assert abs(found[name] - FRACTIONS[name] * len(members)) <= sizes.max()
        assert abs(found["train"] - FRACTIONS["train"] * len(members)) <= 2 * sizes.max()


@few
@given(count=st.integers(10, 400), seed=seeds)
def test_without_copies_fractions_are_met_to_within_one_xray(count, seed):
    table = table_of([(f"A/images/{number}.png", "A", str(number)) for number in range(count)])
    found = assign_splits(table, seed)["split"].value_counts()
    for name, fraction in FRACTIONS.items():
        assert abs(found[name] - fraction * count) < 1


@few
@given(table=index_tables(), seed=seeds, shuffle=st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter(table, seed, shuffle):
    mixed = table.sample(frac=1, random_state=shuffle)
    first, second = assign_splits(table, seed), assign_splits(mixed, seed)
    assert second.index.equals(mixed.index)
    pd.testing.assert_frame_equal(second.sort_index(), first)


@few
@given(table=unchecked_tables(), seed=seeds, shuffle=st.integers(0, 1000))
def test_copies_across_classes_are_kept_together_or_refused(table, seed, shuffle):
    mixed = table.sample(frac=1, random_state=shuffle)
    try:
        split = assign_splits(table, seed)
    except CovidLungsError as error:
        assert "too few" in str(error)
        with pytest.raises(CovidLungsError):
            assign_splits(mixed, seed)
        return
    assert (split.groupby("group")["split"].nunique() == 1).all()
    assert (split.groupby("class")["split"].nunique() == 3).all()
    assert as_mapping(split) == as_mapping(assign_splits(mixed, seed))


@few
@given(table=index_tables(), seed=seeds)
def test_classes_are_split_independently_of_each_other(table, seed):
    whole = as_mapping(assign_splits(table, seed))
    for _, members in table.groupby("class"):
        assert as_mapping(assign_splits(members, seed)).items() <= whole.items()


def test_another_seed_gives_another_split():
    table = table_of([(f"A/images/{number}.png", "A", str(number)) for number in range(30)])
    assert len({tuple(assign_splits(table, seed)["split"]) for seed in range(10)}) == 10


def lots(seed: int, files: list[str]) -> list[str]:
    """Return the files in the order of their lots, by the hash that split.csv rests on."""
    return sorted(files, key=lambda file: hashlib.sha256(f"{seed}:{file}".encode()).hexdigest())


def test_the_lots_of_the_pinned_table():
    """What sha256sum says too: `printf '7:%s' f | sha256sum`, smallest digest first."""
    assert lots(7, list("abcdefgh")) == list("ceafdhgb")


def test_a_pinned_table():
    """Ten X-rays, two of them copies of `b`; another way to split must not go unnoticed."""
    table = table_of([(file, "toy", file) for file in "abcdefgh"])
    table.loc[len(table)] = ["i", "toy", "b"]
    table.loc[len(table)] = ["j", "toy", "b"]
    # The largest group first, then by lot: b (three) c e a f d fill the eight of training.
    expected = dict.fromkeys("bijceafd", "train") | {"h": "validation", "g": "test"}
    assert as_mapping(assign_splits(table, seed=7)) == expected


def test_copies_count_towards_a_split_s_share():
    """Two groups of five and ten single X-rays: training has both groups and six more."""
    copies = [f"copy-{group}" for group in range(2) for _ in range(5)]
    pixels = [*copies, *(f"single-{number}" for number in range(10))]
    split = assign_splits(
        table_of([(f"{row:02}", "A", name) for row, name in enumerate(pixels)]), 7
    )
    assert split["split"].value_counts().to_dict() == {"train": 16, "validation": 2, "test": 2}
    assert set(split["split"][:10]) == {"train"}


@pytest.mark.parametrize("distinct", [1, 2])
def test_too_few_distinct_xrays_are_refused(distinct):
    rows = [(f"A/images/{number}.png", "A", str(number % distinct)) for number in range(9)]
    with refused("A", f"{distinct} distinct X-rays are too few", "Add X-rays, at least 3 a class"):
        assign_splits(table_of(rows), seed=7)


def test_a_class_of_copies_of_another_is_refused():
    """Its X-rays would all count as the other class's, and it would be in no split of its own."""
    rows = [(f"A/images/{number}.png", "A", str(number)) for number in range(9)]
    rows += [(f"B/images/{number}.png", "B", str(number)) for number in range(9)]
    with refused("B", "0 distinct X-rays", "remove the class folder"):
        assign_splits(table_of(rows), seed=7)


def test_a_tiny_data_set_is_refused_before_anything_is_trained(tmp_path, runs):
    data_set = make_data_set(tmp_path / "tiny", {"COVID": 2, "Normal": 5})
    with refused("COVID", "2 distinct X-rays are too few", "Add X-rays"):
        make_run(runs / "a", data_set)
    assert not (runs / "a" / "split.csv").exists()


def test_copies_on_disk_stay_together(tmp_path):
    data_set = make_data_set(tmp_path / "tiny", {"COVID": 6})
    for number in (7, 8, 9):
        write_pair(data_set.root, "COVID", number, seed=123)
    split = assign_splits(build_index(data_set)[0], seed=7)
    copies = split[split["group"] == "COVID/images/COVID-7.png"]
    assert [Path(file).stem for file in copies["file"]] == ["COVID-7", "COVID-8", "COVID-9"]
    assert copies["split"].nunique() == 1
    assert split["group"].nunique() == 7


def test_the_same_bytes_on_every_platform(runs):
    runs.mkdir()
    names = ["COVID/images/ä, b.png", "COVID/images/b.png", "COVID/images/c.png"]
    split = pd.DataFrame({"file": names, "class": "COVID", "group": names, "split": "train"})
    path = write_split(runs, split)
    assert path == runs / "split.csv"
    assert (
        path.read_bytes()
        == (
            "file,class,group,split\n"
            '"COVID/images/ä, b.png",COVID,"COVID/images/ä, b.png",train\n'
            "COVID/images/b.png,COVID,COVID/images/b.png,train\n"
            "COVID/images/c.png,COVID,COVID/images/c.png,train\n"
        ).encode()
    )


def test_the_written_split_is_read_back_with_the_index(data_set, runs):
    index = make_run(runs / "a", data_set)
    expected = assign_splits(index, seed=7)
    found = read_split(runs / "a", data_set)
    pd.testing.assert_frame_equal(found[list(index.columns)], index)
    assert as_mapping(found) == as_mapping(expected)
    assert list(found["group"]) == list(expected["group"])


def test_a_missing_split_names_the_notebook_that_makes_it(data_set, runs):
    make_run(runs / "a", data_set)
    (runs / "a" / "split.csv").unlink()
    with refused("runs/a/split.csv", "not found", "run 02_split_data first"):
        read_split(runs / "a", data_set)


def drop_a_row(text: str) -> str:
    return text[: text.rindex("Normal/images/Normal-5.png,Normal")]


def swap_two_rows(text: str) -> str:
    head, first, second, *rest = text.splitlines()
    return "\n".join([head, second, first, *rest, ""])


def rename_a_column(text: str) -> str:
    return text.replace("group,split", "group,part")


def write_nothing(text: str) -> str:
    return ""


@pytest.mark.parametrize("change", [drop_a_row, swap_two_rows, rename_a_column, write_nothing])
def test_a_split_that_does_not_match_the_index_is_refused(data_set, runs, change):
    make_run(runs / "a", data_set)
    path = runs / "a" / "split.csv"
    path.write_text(change(path.read_text()))
    with refused("runs/a/split.csv", "does not list the X-rays of index.csv", "run 02_split_data"):
        read_split(runs / "a", data_set)


@pytest.mark.parametrize("word", ["training", ""])
def test_an_unknown_split_is_refused(data_set, runs, word):
    make_run(runs / "a", data_set)
    path = runs / "a" / "split.csv"
    path.write_text(path.read_text().replace(",train\n", f",{word}\n", 1))
    with refused("runs/a/split.csv", f"unknown split {word!r}", "run 02_split_data again"):
        read_split(runs / "a", data_set)


def test_real_xrays_are_split_four_to_one_half_to_one_half(real_indexes):
    index, _ = real_indexes["COVID-19_Radiography_Dataset"]
    split = assign_splits(index, seed=7)
    found = pd.crosstab(split["class"], split["split"])
    for class_name, members in split.groupby("class"):
        largest = members["group"].value_counts().max()
        for name, fraction in FRACTIONS.items():
            assert abs(found.loc[class_name, name] - fraction * len(members)) <= largest


def test_the_name_of_the_data_set_plays_no_part(data_set, runs):
    make_run(runs / "a", data_set)
    other = DataSet(name="other", root=data_set.root, synthetic=True)
    make_run(runs / "b", other)
    assert (runs / "a" / "split.csv").read_bytes() == (runs / "b" / "split.csv").read_bytes()


def test_networks_keep_the_split_that_they_learnt_from(runs):
    table = table_of([(f"A/images/{number}.png", "A", str(number)) for number in range(20)])
    first, second = assign_splits(table, 1), assign_splits(table, 2)
    (runs / "detection").mkdir(parents=True)
    write_split(runs, first)
    write_split(runs, second)
    (runs / "detection" / "model.keras").touch()
    write_split(runs, second)
    with refused("split.csv", "networks were trained on this split", "Choose another name"):
        write_split(runs, first)
    assert (runs / "split.csv").read_text() == second.to_csv(index=False, lineterminator="\n")
