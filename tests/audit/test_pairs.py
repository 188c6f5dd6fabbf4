import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.audit.mask_shapes import MEASURES, tell_conventions, why_implausible
from helpers.audit.pairs import (
    INFECTION_COLUMNS,
    MASK_COLUMNS,
    WHOLE_NUMBERS,
    XRAY_COLUMNS,
    pair_files,
)
from helpers.audit.scan import Seen, scan
from helpers.data.images import fingerprint, read_mask, read_xray
from tests.support.builders import image_path, write_image, xray

COLUMNS = ["class", *Seen._fields, *MEASURES, "outside"]
PAIR_COLUMNS = {
    *("class", "published_split", *XRAY_COLUMNS),
    *MASK_COLUMNS.values(),
    *INFECTION_COLUMNS.values(),
}
Names = dict[tuple[str, str], tuple[list[bool], list[bool]]]
KEYS = st.tuples(st.sampled_from(["COVID", "NA"]), st.sampled_from(["1", "a b", "é"]))
GOOD, BAD = True, False
SOUND = st.just([GOOD]) | st.lists(st.booleans(), max_size=2)
NAMES = st.dictionaries(KEYS, st.tuples(SOUND, SOUND))
NO_MASK = ("image_without_mask", "no mask of the same name")
NO_IMAGE = ("mask_without_image", "no image of the same name")
TWICE = ("name_twice", "several files of the same name")
EMPTY = ("empty_file", "the file is empty")
few = settings(max_examples=100, deadline=None)


def list_files(names: Names) -> pd.DataFrame:
    """Return what a scan notes, as far as pairs need it.

    For each class and name: of each image, and of each mask, whether it is sound.
    """
    rows = []
    for (class_name, stem), parts in names.items():
        for part, files in zip(("images", "masks"), parts, strict=True):
            for suffix, sound in zip(("jpg", "png"), files, strict=False):
                row = {"file": f"{class_name}/{part}/{stem}.{suffix}", "class": class_name}
                row |= {"part": part, "stem": stem, "split": "", "patient": ""}
                row |= {"fault": "", "reason": ""}
                facts = dict.fromkeys(["width", "height", "bits", "regions"], 8)
                faults = dict(zip(("fault", "reason"), EMPTY, strict=True))
                rows.append(row | (facts if sound else faults))
    return pd.DataFrame(rows, columns=COLUMNS).sort_values("file", ignore_index=True)


@few
@given(names=NAMES)
def test_a_pair_is_the_only_image_and_the_only_mask_of_a_name_both_sound(names):
    pairs, left_out = pair_files(list_files(names)[::-1])
    expected = sorted(
        (f"{class_name}/images/{stem}.jpg", f"{class_name}/masks/{stem}.jpg", class_name)
        for (class_name, stem), parts in names.items()
        if parts == ([GOOD], [GOOD])
    )
    assert list(zip(pairs["file"], pairs["mask"], pairs["class"], strict=True)) == expected
    assert set(pairs.columns) == PAIR_COLUMNS
    assert list(left_out.columns) == ["file", "class", "finding", "fault"]
    for table in (pairs, left_out):
        assert list(table["file"]) == sorted(set(table["file"]))
        assert list(table.index) == list(range(len(table)))


@few
@given(names=NAMES)
def test_every_file_is_in_a_pair_or_left_out_or_the_partner_of_one_left_out(names):
    files = list_files(names)
    pairs, left_out = pair_files(files)
    used, lost = {*pairs["file"], *pairs["mask"]}, set(left_out["file"])
    assert not used & lost
    partners = {
        file.replace(*turn)
        for turn in (("/images/", "/masks/"), ("/masks/", "/images/"))
        for file in lost
    }
    for file, fault in zip(files["file"], files["fault"], strict=True):
        assert file in (lost if fault else used | lost | partners)


@pytest.mark.parametrize(
    ("images", "masks", "expected"),
    [
        ([GOOD], [GOOD], []),
        ([BAD], [GOOD], [EMPTY]),
        ([GOOD], [BAD], [EMPTY]),
        ([BAD], [BAD], [EMPTY, EMPTY]),
        ([GOOD], [], [NO_MASK]),
        ([GOOD, GOOD], [], [NO_MASK, NO_MASK]),
        ([BAD], [], [EMPTY]),
        ([], [GOOD], [NO_IMAGE]),
        ([], [BAD, GOOD], [EMPTY, NO_IMAGE]),
        ([GOOD, GOOD], [GOOD], 3 * [TWICE]),
        ([GOOD], [GOOD, GOOD], 3 * [TWICE]),
        # Which of the two the mask belongs to is not for us to guess.
        ([GOOD, BAD], [GOOD], [TWICE, EMPTY, TWICE]),
    ],
)
def test_every_file_left_out_has_its_reason(images, masks, expected):
    _, left_out = pair_files(list_files({("COVID", "1"): (images, masks)}))
    assert list(zip(left_out["finding"], left_out["fault"], strict=True)) == expected


def test_xrays_of_one_name_are_left_out_where_there_are_no_masks_too():
    files = list_files({("COVID", "1"): ([GOOD, GOOD], []), ("COVID", "a b"): ([GOOD], [])})
    pairs, left_out = pair_files(files, has_masks=False)
    assert list(zip(left_out["finding"], left_out["fault"], strict=True)) == 2 * [TWICE]
    assert list(pairs["file"]) == ["COVID/images/a b.jpg"]


def test_a_pair_has_the_facts_of_its_image_and_of_its_mask(data_set):
    write_image(image_path(data_set.root, "COVID", 2), xray(0)[:30])
    files, _, _ = scan(data_set)
    pairs, _ = pair_files(files)
    assert len(pairs) == 9
    places = files.set_index("file")
    for name in XRAY_COLUMNS[1:]:
        assert list(pairs[name]) == list(places.loc[pairs["file"], name]), name
    for fact, name in list(MASK_COLUMNS.items())[1:]:
        assert list(pairs[name]) == list(places.loc[pairs["mask"], fact]), name
    assert set(pairs[WHOLE_NUMBERS].dtypes) == {np.dtype(int)}
    assert set(pairs[["coloured", "binary"]].dtypes) == {np.dtype(bool)}
    assert pairs["height"].tolist() == [40, 30, *[40] * 7]
    sides = pairs[["width", "mask_width", "mask_height"]].drop_duplicates()
    assert sides.to_numpy().tolist() == [[36, 20, 24]]
    for row in pairs.itertuples():
        assert row.pixels == fingerprint(read_xray(data_set.root / row.file))
        assert row.mask_pixels == fingerprint(read_mask(data_set.root / row.mask))


def test_without_a_file_there_is_no_pair_and_nothing_to_say_of_masks():
    pairs, left_out = pair_files(list_files({}))
    assert pairs.empty and left_out.empty
    assert why_implausible(pairs).empty
    assert tell_conventions(pairs) == {}
