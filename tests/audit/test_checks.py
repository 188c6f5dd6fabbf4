"""The checks: the limits of each finding, on tables made by hand."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from helpers.audit import checks
from helpers.audit.findings import Finding
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
    "channels": 1,
    "binary": True,
    "lung_share": 0.3,
    "regions": 2,
    "edge_share": 0.0,
}


def pairs_of(*changes: dict) -> pd.DataFrame:
    """Return a sound pair for each of these changes, with the changes in it."""
    rows = []
    for number, change in enumerate(changes, 1):
        names = {"file": f"{number}.png", "mask": f"m{number}.png", "pixels": f"p{number}"}
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
    return Scan(pd.DataFrame(rows, columns=columns), {}, listing_of(classes, others=list(others)))


def listing_of(classes: Iterable[str], **parts: list[str]) -> Listing:
    """Return the listing of a data set of these classes, sorted, and nothing else."""
    spellings = {name: name for name in sorted(classes)}
    nothing = Listing(LAYOUTS[0], "", True, spellings, [], [], [], [])
    return nothing._replace(**parts)


def listed(findings: list[Finding]) -> dict[str, list[str]]:
    return {finding.name: list(finding.files) for finding in findings}


def about_xrays(pairs) -> list[Finding]:
    return checks.about_colours(pairs) + checks.about_sizes(pairs)


def test_a_sound_pair_gives_no_finding():
    pairs = pairs_of({}, {})
    for about in (checks.about_colours, checks.about_sizes, checks.about_masks):
        assert about(pairs) == []
    assert checks.about_copies(pairs, set()) == []


@pytest.mark.parametrize(
    ("name", "fine", "found"),
    [
        ("small_xrays", {"width": 64, "height": 64}, {"width": 63, "height": 64}),
        ("small_xrays", {"width": 64, "height": 64}, {"width": 64, "height": 63}),
        ("not_square", {}, {"width": 298}),
        ("deep_xrays", {}, {"bits": 16}),
        ("coloured_xrays", {"channels": 3}, {"channels": 3, "coloured": True}),
        ("grey_as_colour", {"channels": 3, "coloured": True}, {"channels": 3}),
        ("grey_as_colour", {"channels": 1}, {"channels": 4}),
    ],
)
def test_an_xray_beyond_a_limit_is_found(name, fine, found):
    assert listed(about_xrays(pairs_of(fine, found, fine)))[name] == ["2.png"]
    assert name not in listed(about_xrays(pairs_of(fine, fine)))


def test_sizes_are_listed_if_there_are_several_the_most_frequent_first():
    small = {"width": 100, "height": 80}
    sizes = listed(checks.about_sizes(pairs_of(small, {}, {}, small, {})))["several_sizes"]
    assert sizes == ["299 × 299", "100 × 80"]


@pytest.mark.parametrize(
    ("name", "fine", "found"),
    [
        ("mask_not_binary", {}, {"binary": False}),
        ("implausible_mask", {}, {"regions": 3}),
        # Both ways, by a twentieth of the proportion.
        ("mask_of_other_shape", {"mask_width": 268}, {"mask_width": 270}),
        ("mask_of_other_shape", {"mask_height": 268}, {"mask_height": 270}),
        ("mask_of_other_shape", {"width": 512, "height": 512}, {"width": 512}),
    ],
)
def test_a_mask_beyond_a_limit_is_found(name, fine, found):
    assert listed(checks.about_masks(pairs_of(fine, found, fine)))[name] == ["m2.png"]
    assert name not in listed(checks.about_masks(pairs_of(fine, fine)))


def test_all_reasons_why_masks_are_no_lungs_are_told_once():
    rows = [{"regions": 3}, {"lung_share": 0.01}, {"regions": 3}, {}]
    finding = checks.about_masks(pairs_of(*rows))[0]
    assert finding.text.endswith("(more than two regions, smaller than 5% of the X-ray)")
    assert list(finding.files) == ["m1.png", "m2.png", "m3.png"]


@pytest.mark.parametrize(
    ("conventions", "name", "shown"),
    [
        ({"a": "unclear", "b": "unclear"}, None, None),
        ({"a": "in", "b": "unclear"}, "mask_convention", ["a: in"]),
        ({"a": "out", "b": "out"}, "mask_convention", ["a: out", "b: out"]),
        ({"a": "in", "b": "out"}, "mixed_mask_conventions", ["a: in", "b: out"]),
        ({"a": "mixed", "b": "unclear"}, "mixed_mask_conventions", ["a: mixed"]),
        ({}, None, None),
    ],
)
def test_conventions_must_not_be_mixed(conventions, name, shown):
    assert listed(checks.about_conventions(conventions)) == ({name: shown} if name else {})


def test_exact_and_near_copies_are_told_apart():
    pairs = pairs_of({"pixels": "a"}, {"pixels": "b"}, {"pixels": "a"}, {"pixels": "c"}, {})
    # What was dropped since may still be named as a near-copy.
    assert listed(checks.about_copies(pairs, {"2.png", "4.png", "gone.png"})) == {
        "exact_copies": ["1.png", "3.png"],
        "near_copies": ["2.png", "4.png"],
    }


def test_endings_are_held_against_contents():
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
    assert listed(checks.about_files(scan_of(*files.items(), others=("a/images/b.txt",)))) == {
        "wrong_extension": ["a/images/3.png", "a/masks/5.jpeg", "a/masks/6.bmp"],
        "other_files": ["a/images/b.txt"],
    }


def test_no_files_at_all_give_no_finding():
    assert checks.about_files(scan_of()) == []


@pytest.mark.parametrize(("lost", "stops"), [(2, False), (3, True)])
def test_a_data_set_of_which_more_than_half_is_lost_is_rather_another_one(lost, stops):
    files = [f"a/images/{number}.png" for number in range(4)]
    pairs = pairs_of(*({"file": file, "class": "a"} for file in files[lost:]))
    left_out = pd.DataFrame({"file": files[:lost], "finding": "empty_file"})
    scanned = scan_of(*((file, "png") for file in [*files, "a/masks/0.png"]))
    found = listed(checks.about_usability(scanned, pairs, left_out))
    assert found["empty_file"] == files[:lost]
    assert found.get("mostly_unusable") == (files[:lost] if stops else None)
    assert "class_without_xrays" not in found


def test_classes_without_a_usable_xray_are_named():
    pairs = pairs_of({"class": "a", "file": "a/images/1.png"})
    none = pd.DataFrame({"file": [], "finding": []})
    scanned = scan_of(("a/images/1.png", "png"), classes=["c", "a", "b"])
    found = checks.about_usability(scanned, pairs, none)
    assert listed(found) == {"class_without_xrays": ["b", "c"]}
    assert found[0].level == "error"


def all_published(**changes: str) -> list[tuple[str, str]]:
    """Return every X-ray of the published database, by name, some of them in another place."""
    names = [
        (name, f"{name}-{number}")
        for name, count in PUBLISHED_COUNTS.items()
        for number in range(1, count + 1)
    ]
    return [(changes.get(stem, f"{name}/images/{stem}.png"), "png") for name, stem in names]


def test_the_published_database_is_whole():
    assert checks.about_published(TINY, scan_of(*all_published(), classes=PUBLISHED_COUNTS)) == []


def test_what_is_missing_from_the_published_database_or_added_is_named():
    # A mask is no X-ray; an X-ray under another class is missing from its own.
    moved = {"COVID-3616": "Normal/images/COVID-3616.png", "COVID-7": "COVID/masks/COVID-7.png"}
    added = [("COVID/images/COVID-3617.png", "png"), ("Normal/images/Normal-0.jpg", "jpeg")]
    scanned = scan_of(*all_published(**moved), *added, classes=PUBLISHED_COUNTS)
    found = checks.about_published(TINY, scanned)
    assert listed(found) == {
        "published_missing": ["COVID-7", "COVID-3616"],
        "published_added": [
            "Normal/images/COVID-3616.png",
            "COVID/images/COVID-3617.png",
            "Normal/images/Normal-0.jpg",
        ],
    }
    assert "21,165 published ones" in found[0].text


@pytest.mark.parametrize(
    ("names", "synthetic"),
    [
        (["COVID", "Normal"], False),
        ([*PUBLISHED_COUNTS, "Tuberculosis"], False),
        (list(PUBLISHED_COUNTS), True),
    ],
)
def test_another_data_set_is_not_held_against_the_published_one(names, synthetic):
    scanned = scan_of(("COVID/images/a.png", "png"), classes=names)
    assert checks.about_published(DataSet("tiny", Path("tiny"), synthetic), scanned) == []
