"""The findings: the limits of each, on tables made by hand."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from helpers.audit import findings
from helpers.audit.findings import Found, list_findings
from helpers.audit.scan import Scan
from helpers.data.layouts import LAYOUTS
from helpers.data.listing import Listing
from helpers.data.sources import PUBLISHED_COUNTS, DataSet

TINY = DataSet("tiny", Path("tiny"), synthetic=False)
SOUND = {
    "class": "COVID",
    "width": 299,
    "height": 299,
    "mask_width": 256,
    "mask_height": 256,
    "coloured": False,
    "bits": 8,
    "binary": True,
    "lung_share": 0.3,
    "regions": 2,
    "edge_share": 0.0,
    "infection_width": 256,
    "infection_height": 256,
    "infection_binary": True,
    "infection_outside": 0.0,
}


def pairs_of(*changes: dict) -> pd.DataFrame:
    """Return a sound pair for each of these changes, with the changes in it."""
    rows = []
    for number, change in enumerate(changes, 1):
        names = {"file": f"{number}.png", "mask": f"m{number}.png", "pixels": f"p{number}"}
        names["infection_mask"] = f"i{number}.png"
        rows.append({**names, **SOUND, **change})
    return pd.DataFrame(rows)


def scan_of(
    *files: tuple[str, str], others: tuple[str, ...] = (), classes: Iterable[str] = ("a",)
) -> Scan:
    """Return a scan of these files and formats; no format is a file that cannot be read."""
    rows = []
    for file, found in files:
        class_name, part, name = file.split("/")
        stem, fault = name.rpartition(".")[0], "" if found else "empty_file"
        rows.append((file, class_name, part, stem, fault, found))
    columns = ["file", "class", "part", "stem", "fault", "format"]
    spellings = {name: name for name in sorted(classes)}
    listing = Listing(LAYOUTS[0], "", True, spellings, [], [], [], [])
    files = pd.DataFrame(rows, columns=columns)
    return Scan(files, {}, listing._replace(others=list(others)))


def listed(found: Iterable[Found]) -> dict[str, list[str]]:
    """Return the files of each finding that has some, by name."""
    return {one.name: list(one.files) for one in found if len(one.files)}


def test_findings_are_listed_the_worst_first_with_examples_and_details():
    files = pd.Series(["a", "b", "c", "d"])
    found = [
        Found("deep_xrays", files),
        Found("implausible_mask", files[:1], "not two regions"),
        Found("near_copies", []),
        Found("empty_file", ["e"]),
    ]
    rows = list_findings(found)
    assert [row["name"] for row in rows] == ["empty_file", "implausible_mask", "deep_xrays"]
    assert rows[1] == {
        "name": "implausible_mask",
        "level": "warning",
        "text": "masks that can hardly be lungs (not two regions)",
        "count": 1,
        "examples": ["a"],
        "remedy": "look, and redraw the wrong ones",
    }
    assert (rows[2]["count"], rows[2]["examples"]) == (4, ["a", "b", "c"])


def test_a_sound_pair_gives_no_finding():
    pairs = pairs_of({}, {})
    assert listed(findings.about_pairs(pairs, set())) == {}


@pytest.mark.parametrize(
    ("name", "fine", "found"),
    [
        ("small_xrays", {"width": 64, "height": 64}, {"width": 63, "height": 64}),
        ("small_xrays", {"width": 64, "height": 64}, {"width": 64, "height": 63}),
        ("deep_xrays", {}, {"bits": 16}),
        ("coloured_xrays", {}, {"coloured": True}),
        ("mask_not_binary", {}, {"binary": False}),
        ("implausible_mask", {}, {"regions": 3}),
        # Both ways, by a twentieth of the proportion.
        ("mask_of_other_shape", {"mask_width": 268}, {"mask_width": 270}),
        ("mask_of_other_shape", {"mask_height": 268}, {"mask_height": 270}),
    ],
)
def test_an_xray_or_mask_beyond_a_limit_is_found(name, fine, found):
    named = listed(findings.about_pairs(pairs_of(fine, found, fine), set()))[name]
    assert named == ["m2.png" if "mask" in name else "2.png"]
    assert name not in listed(findings.about_pairs(pairs_of(fine, fine), set()))


@pytest.mark.parametrize(
    ("name", "fine", "found"),
    [
        ("mask_of_other_shape", {"infection_width": 268}, {"infection_width": 270}),
        ("mask_not_binary", {}, {"infection_binary": False}),
        ("infection_outside_lungs", {"infection_outside": 0.5}, {"infection_outside": 0.51}),
    ],
)
def test_an_infection_mask_beyond_a_limit_is_found(name, fine, found):
    pairs = pairs_of(fine, found, fine)
    assert listed(findings.about_pairs(pairs, set())) == {name: ["i2.png"]}
    assert listed(findings.about_pairs(pairs_of(fine, fine), set())) == {}
    without = pairs.assign(infection_mask="")
    assert listed(findings.about_pairs(without, set())) == {}


def test_an_xray_of_other_proportions_than_both_its_masks():
    pairs = pairs_of({"width": 512, "height": 512}, {"width": 512})
    found = listed(findings.about_pairs(pairs, set()))
    assert found["mask_of_other_shape"] == ["i2.png", "m2.png"]


def test_lung_and_infection_masks_of_other_proportions_are_one_finding():
    pairs = pairs_of({"mask_width": 99}, {"infection_height": 99}, {})
    assert listed(findings.about_pairs(pairs, set())) == {
        "mask_of_other_shape": ["i2.png", "m1.png"]
    }


def test_xrays_without_an_infection_mask_are_noted_where_others_have_one():
    pairs = pairs_of({}, {"infection_mask": ""}, {"infection_outside": float("nan")})
    assert listed(findings.about_pairs(pairs, set())) == {"no_infection_mask": ["2.png"]}


def test_sizes_are_listed_if_there_are_several_the_most_frequent_first():
    small = {"width": 100, "height": 80}
    found = findings.about_pairs(pairs_of(small, {}, {}, small, {}), set())
    assert listed(found)["several_sizes"] == ["299 × 299", "100 × 80"]


def test_all_reasons_why_masks_are_no_lungs_are_named_once():
    pairs = pairs_of({"regions": 3}, {"lung_share": 0.01}, {"regions": 3}, {})
    found = {one.name: one for one in findings.about_pairs(pairs, set())}["implausible_mask"]
    assert found.details == "not two regions, smaller than 5% of the X-ray"
    assert list(found.files) == ["m1.png", "m2.png", "m3.png"]


@pytest.mark.parametrize(
    ("conventions", "name", "shown"),
    [
        ({"a": "unclear", "b": "unclear"}, "mask_convention", []),
        ({"a": "in", "b": "unclear"}, "mask_convention", ["a: in"]),
        ({"a": "out", "b": "out"}, "mask_convention", ["a: out", "b: out"]),
        ({"a": "in", "b": "out"}, "mixed_mask_conventions", ["a: in", "b: out"]),
        ({"a": "mixed", "b": "unclear"}, "mixed_mask_conventions", ["a: mixed"]),
    ],
)
def test_conventions_must_not_be_mixed(conventions, name, shown):
    assert findings.about_conventions(conventions) == Found(name, shown)


def test_exact_and_near_copies_are_two_findings():
    pairs = pairs_of({"pixels": "a"}, {"pixels": "b"}, {"pixels": "a"}, {"pixels": "c"}, {})
    # What was dropped since may still be named as a near-copy.
    assert listed(findings.about_pairs(pairs, {"2.png", "4.png", "gone.png"})) == {
        "exact_copies": ["1.png", "3.png"],
        "near_copies": ["2.png", "4.png"],
    }


def test_endings_are_compared_with_contents():
    files = {
        "a/images/1.png": "png",
        "a/images/2.PNG": "png",
        "a/images/3.png": "jpeg",
        "a/masks/3.jpg": "jpeg",
        "a/images/4.tif": "tiff",
        "a/masks/5.jpeg": "png",
        "a/masks/6.bmp": "unknown",
        "a/images/7.png": "",
    }
    assert listed(findings.about_names(scan_of(*files.items(), others=("a/images/b.txt",)))) == {
        "wrong_extension": ["a/images/3.png", "a/masks/5.jpeg", "a/masks/6.bmp"],
        "other_files": ["a/images/b.txt"],
    }


@pytest.mark.parametrize(("lost", "stops"), [(2, False), (3, True)])
def test_a_data_set_is_probably_another_one_if_more_than_half_is_lost(lost, stops):
    files = [f"a/images/{number}.png" for number in range(4)]
    pairs = pairs_of(*({"file": file, "class": "a"} for file in files[lost:]))
    left_out = pd.DataFrame({"file": files[:lost], "finding": "empty_file"})
    scanned = scan_of(*((file, "png") for file in [*files, "a/masks/0.png"]))
    found = listed(findings.about_use(scanned, pairs, left_out))
    assert found["empty_file"] == files[:lost]
    assert found.get("mostly_unusable") == (files[:lost] if stops else None)
    assert "class_without_xrays" not in found


def test_classes_without_a_usable_xray_are_named():
    pairs = pairs_of({"class": "a", "file": "a/images/1.png"})
    none = pd.DataFrame({"file": [], "finding": []})
    scanned = scan_of(("a/images/1.png", "png"), classes=["c", "a", "b"])
    found = findings.about_use(scanned, pairs, none)
    assert listed(found) == {"class_without_xrays": ["b", "c"]}


def all_published(**changes: str) -> list[tuple[str, str]]:
    """Return every X-ray of the published database, by name, some of them in another place."""
    names = [
        (name, f"{name}-{number}")
        for name, count in PUBLISHED_COUNTS.items()
        for number in range(1, count + 1)
    ]
    return [(changes.get(stem, f"{name}/images/{stem}.png"), "png") for name, stem in names]


def test_the_published_database_is_whole():
    scanned = scan_of(*all_published(), classes=PUBLISHED_COUNTS)
    assert listed(findings.about_published(TINY, scanned)) == {}


def test_what_is_missing_from_the_published_database_or_added_is_named():
    # A mask is no X-ray; an X-ray under another class is missing from its own.
    moved = {"COVID-3616": "Normal/images/COVID-3616.png", "COVID-7": "COVID/masks/COVID-7.png"}
    added = [("COVID/images/COVID-3617.png", "png"), ("Normal/images/Normal-0.jpg", "jpeg")]
    scanned = scan_of(*all_published(**moved), *added, classes=PUBLISHED_COUNTS)
    assert listed(findings.about_published(TINY, scanned)) == {
        "published_missing": ["COVID-7", "COVID-3616"],
        "published_added": [
            "Normal/images/COVID-3616.png",
            "COVID/images/COVID-3617.png",
            "Normal/images/Normal-0.jpg",
        ],
    }


@pytest.mark.parametrize(
    ("names", "synthetic"),
    [
        (["COVID", "Normal"], False),
        ([*PUBLISHED_COUNTS, "Tuberculosis"], False),
        (list(PUBLISHED_COUNTS), True),
    ],
)
def test_another_data_set_is_not_compared_with_the_published_one(names, synthetic):
    scanned = scan_of(("COVID/images/a.png", "png"), classes=names)
    assert findings.about_published(DataSet("tiny", Path("tiny"), synthetic), scanned) == []
