import json
import os
import shutil
import tempfile
from pathlib import Path

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.audit import findings
from helpers.audit.examination import (
    STOPS,
    describe_audit,
    examine,
    findings_html,
    refuse_unusable,
    source_counts,
)
from helpers.data import synthetic
from helpers.data.sources import DataSet
from helpers.split.index import build_index
from helpers.storage.errors import CovidLungsError
from tests.support.builders import COUNTS, image_path, make_data_set, mask_path
from tests.support.faults import (
    ALONE,
    MOVING,
    PLANTERS,
    Planted,
    Victim,
    class_names,
    encode,
    grey,
    put,
)

DRAWN = {"COVID": 8, "Normal": 2, "Lung_Opacity": 2, "Viral Pneumonia": 2}
REAL = "COVID-19_Radiography_Dataset"
REAL_CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
# Where faults of a whole class are planted, away from the others' victims.
WHOLE = {"metadata unreadable": "Viral Pneumonia", "masks of two conventions": "Normal"}
EVERYTHING = ", ".join(STOPS)
OF_OTHER_LAYOUTS = {"half_a_mask"}  # tests/data/test_layouts.py


def link(source: Path, target: Path) -> DataSet:
    """Return a data set of hard links, whose files may be replaced but not written to."""
    shutil.copytree(source, target, copy_function=os.link)
    return DataSet(target.name, target, synthetic=False)


def by_name(audit: dict) -> dict[str, dict]:
    return {finding["name"]: finding for finding in audit["findings"]}


def errors(audit: dict) -> set[str]:
    return {finding["name"] for finding in audit["findings"] if finding["level"] == "error"}


def check_found(planted: Planted, audit: dict) -> None:
    finding = by_name(audit)[planted.finding]
    assert planted.shown in finding["examples"]
    assert planted.text in finding["text"]
    assert finding["remedy"]
    assert finding["count"] == len(finding["examples"])


@pytest.fixture(scope="module")
def drawn_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of the demo's X-rays and masks at 128 pixels, with their metadata."""
    root = tmp_path_factory.mktemp("drawn")
    synthetic.write_data_set(root, DRAWN, copies=0)
    for part, way in {"images": cv2.INTER_AREA, "*masks": cv2.INTER_NEAREST}.items():
        for path in root.glob(f"*/{part}/*.png"):
            put(path, encode(cv2.resize(grey(path), (128, 128), interpolation=way)))
    return root


@pytest.fixture
def drawn(drawn_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """A data set to plant faults in, of which an audit lists every file that it finds."""
    monkeypatch.setattr("helpers.audit.findings.EXAMPLES", 100_000)
    monkeypatch.setattr("helpers.audit.mask_shapes.FEWEST_MASKS", DRAWN["COVID"])
    return link(drawn_base, tmp_path / "drawn")


@pytest.mark.parametrize("name", PLANTERS)
def test_a_planted_fault_is_found(drawn, name):
    planted = PLANTERS[name](Victim(drawn.root, "COVID", "COVID-5"))
    index, audit = examine(drawn)
    check_found(planted, audit)
    if name not in ALONE:
        assert errors(audit) <= {planted.finding}, "nothing else is called an error"
    assert audit["counts"]["COVID"] == DRAWN["COVID"] + planted.usable
    assert audit["counts"] | index["class"].value_counts().to_dict() == audit["counts"]


def test_without_a_planted_fault_none_is_found(drawn):
    _, audit = examine(drawn)
    assert list(by_name(audit)) == ["published_missing", "mask_convention"]
    assert audit["left_out"] == []
    assert audit["verdict"] == "Usable: 14 X-rays in 4 classes (0 errors, 1 warning, 1 note)."


def test_there_is_a_planter_for_every_finding(data_set):
    known = {name for kinds in findings.LEVELS.values() for name in kinds} - OF_OTHER_LAYOUTS
    victim = Victim(data_set.root, "COVID", "COVID-1")
    assert {plant(victim).finding for plant in PLANTERS.values()} == known


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def test_all_faults_planted_in_real_xrays_are_found_at_once(real_sets, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.audit.findings.EXAMPLES", 100_000)
    before = state(real_sets[REAL].root)
    data_set = link(real_sets[REAL].root, tmp_path / "faulty")
    counts = {name: len(list((data_set.root / name / "images").iterdir())) for name in REAL_CLASSES}
    stems = sorted(path.stem for path in (data_set.root / "Lung_Opacity" / "images").iterdir())
    planted = []
    for number, name in enumerate(name for name in PLANTERS if name not in ALONE):
        class_name = WHOLE.get(name, "Lung_Opacity")
        planted.append(PLANTERS[name](Victim(data_set.root, class_name, stems[8 * number])))
    index, audit = examine(data_set)
    for fault in planted:
        check_found(fault, audit)
    counts["Lung_Opacity"] += sum(fault.usable for fault in planted)
    assert audit["counts"] == index["class"].value_counts().to_dict() == counts
    lost = [fault for fault in planted if fault.finding in findings.ERRORS]
    left_out = {row["file"]: row for row in audit["left_out"]}
    # Beside them the other files of a name, and the X-rays whose copies were planted.
    assert len(left_out) == len(audit["left_out"]) == len(lost) + 2 + 2
    for fault in lost:
        assert left_out[fault.shown]["finding"] == fault.finding
        assert left_out[fault.shown]["remedy"]
    assert not left_out.keys() & {*index["file"], *index["mask"]}
    assert state(real_sets[REAL].root) == before


def test_the_clean_real_xrays_hold_the_copies_and_the_mask_that_were_seen_by_eye(real_indexes):
    index, audit = real_indexes[REAL]
    assert not errors(audit)
    copies = index[index.duplicated("copy_of", keep=False)]
    numbers = (156, 166, 167, 179, 235)
    assert list(copies["file"]) == [f"COVID/images/COVID-{number}.png" for number in numbers]
    assert by_name(audit)["near_copies"]["count"] == len(numbers)
    assert "exact_copies" not in by_name(audit)
    # Two straight-sided fields, from edge to edge; and a left lung that a mass cuts in two.
    masks = [by_name(one)["implausible_mask"] for _, one in real_indexes.values()]
    assert [found["count"] for found in masks] == [1, 1]
    assert masks[0]["examples"] == ["Viral Pneumonia/masks/Viral Pneumonia-3.png"]
    assert masks[1]["examples"] == ["Tuberculosis/masks/CHNCXR_0361_1.png"]
    counts = audit["counts"]
    assert by_name(audit)["published_missing"]["count"] == 21_165 - sum(counts.values())
    assert "source_unknown" not in by_name(audit)
    assert by_name(audit)["source_tells_class"]["examples"] == ["github.com/ieee8023"]
    assert source_counts(audit).loc["github.com/ieee8023"].to_dict() == {
        **dict.fromkeys(REAL_CLASSES, 0),
        "COVID": 256,
    }


def test_real_masks_of_two_conventions_must_not_be_mixed(real_indexes):
    told = [audit["mask_conventions"] for _, audit in real_indexes.values()]
    assert told == [dict.fromkeys(REAL_CLASSES, "in"), {"Normal": "out", "Tuberculosis": "out"}]
    both = {"Normal": "in", "Tuberculosis": "out"}
    assert findings.about_conventions(both).name == "mixed_mask_conventions"


faults = st.lists(
    st.tuples(
        st.sampled_from([name for name in PLANTERS if name not in MOVING]),
        st.sampled_from(list(COUNTS)),
        st.integers(1, 3),
    ),
    max_size=8,
)


# Those of one X-ray that also show in noise, of which the tiny data sets are made.
SINGLE = [
    name
    for name in PLANTERS
    if name not in (*ALONE, "sources that tell the class", "metadata unreadable")
    and not name.startswith(("near", "published", "masks"))
]


@settings(max_examples=40, deadline=None)
@given(faults=faults)
def test_any_faults_leave_an_audit_that_adds_up(faults):
    with tempfile.TemporaryDirectory() as folder:
        data_set = make_data_set(Path(folder) / "tiny", dict.fromkeys(COUNTS, 3))
        for name, class_name, number in faults:
            PLANTERS[name](Victim(data_set.root, class_name, f"{class_name}-{number}"))
        classes = class_names(data_set.root)
        index, audit = examine(data_set)
        files = {path.relative_to(data_set.root).as_posix() for path in data_set.root.rglob("*")}
    left_out = [row["file"] for row in audit["left_out"]]
    used = {*index["file"], *index["mask"], *index["infection_mask"]} - {""}
    assert left_out == sorted(set(left_out))
    assert all(row["fault"] and row["remedy"] for row in audit["left_out"])
    assert not used & set(left_out)
    assert used | set(left_out) <= files
    counted = {finding["name"]: finding["count"] for finding in audit["findings"]}
    for name in {row["finding"] for row in audit["left_out"]}:
        assert counted[name] == sum(row["finding"] == name for row in audit["left_out"])
    usable = index["class"].value_counts().to_dict()
    assert audit["counts"] == dict.fromkeys(classes, 0) | usable
    assert bool(errors(audit)) == bool(left_out or errors(audit) & set(STOPS))
    assert len(audit["verdict"].splitlines()) == 1
    assert json.loads(json.dumps(audit)) == audit
    check_refusals(audit)


@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(st.sampled_from(SINGLE), unique=True, max_size=6),
    victims=st.permutations([(name, number) for name in COUNTS for number in (1, 2, 3)]),
)
def test_faults_of_several_xrays_do_not_blur_each_other(names, victims):
    counts, planted = dict.fromkeys(COUNTS, 3), []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.audit.findings.EXAMPLES", 100)
        data_set = make_data_set(Path(folder) / "tiny", counts)
        names = sorted(names, key=SINGLE.index)
        for name, (class_name, number) in zip(names, victims, strict=False):
            victim = Victim(data_set.root, class_name, f"{class_name}-{number}")
            planted.append(PLANTERS[name](victim))
            counts[class_name] += planted[-1].usable
        _, audit = examine(data_set)
    for fault in planted:
        check_found(fault, audit)
    assert audit["counts"] == counts
    lost = {fault.shown for fault in planted if fault.usable < 0}
    assert lost <= {row["file"] for row in audit["left_out"]}


def check_refusals(audit: dict) -> None:
    """Expect a refusal if something stops a run, and none if it is allowed and X-rays are left."""
    for allow, stops in {"": set(STOPS) & errors(audit), EVERYTHING: set()}.items():
        try:
            refuse_unusable(audit, allow)
        except CovidLungsError as error:
            assert stops or not any(audit["counts"].values())
            assert audit["data"]["name"] in str(error)
        else:
            assert not stops
            assert any(audit["counts"].values())


def plant(data_set: DataSet, name: str) -> None:
    PLANTERS[name](Victim(data_set.root, "COVID", "COVID-1"))


def test_names_of_other_scripts_with_commas_and_quotes_are_fine(data_set):
    for number, stem in enumerate(['été, "1"', "肺 1", "NA", "1e5"], 1):
        for path in (image_path, mask_path):
            old = path(data_set.root, "COVID", number)
            old.rename(old.with_stem(stem))
    index, audit = build_index(data_set)
    stems = {Path(file).stem for file in index["file"][:4]}
    assert stems == {'été, "1"', "肺 1", "NA", "1e5"}
    assert audit["left_out"] == []


AUDIT = {
    "data": {"name": "tiny", "synthetic": False},
    "layout": "no masks (<class>)",
    "verdict": "Usable.",
    "findings": [
        {
            "name": "blank_mask",
            "level": "error",
            "text": "masks that are all black",
            "count": 1_234,
            "examples": ["a/masks/<b>.png", "b.png", "c.png"],
            "remedy": "draw them again",
        },
    ],
}


def test_findings_are_shown_in_a_terminal():
    assert describe_audit(AUDIT).splitlines()[:6] == [
        "tiny: Usable.",
        "Layout: no masks (<class>)",
        "",
        "  error   1,234  masks that are all black",
        "                 a/masks/<b>.png, b.png, c.png, …",
        "                 → draw them again",
    ]


def test_findings_are_shown_in_a_notebook_whole_and_escaped():
    html = findings_html(AUDIT)
    assert "a/masks/&lt;b&gt;.png" in html
    assert "1,234" in html


def test_findings_scroll_on_a_narrow_page():
    html = findings_html(AUDIT)
    assert html.startswith('<div style="overflow-x: auto"><table')
    assert html.endswith("</table></div>")


def test_a_verdict_counts_one_thing_as_one(tmp_path):
    data_set = make_data_set(tmp_path / "tiny", {"COVID": 2})
    image_path(data_set.root, "COVID", 2).write_bytes(b"")
    verdict = examine(data_set)[1]["verdict"]
    assert verdict.startswith("Usable, with 1 file left out: 1 X-ray in 1 class (1 error, ")


def test_copies_of_copies_are_marked_with_the_first(data_set):
    original = encode(grey(image_path(data_set.root, "COVID", 1)))
    for number in (2, 4):
        put(image_path(data_set.root, "COVID", number), original)
    index, _ = examine(data_set)
    first = "COVID/images/COVID-1.png"
    assert index["copy_of"][[0, 1, 3]].to_list() == [first] * 3
    others = index.drop(index=[0, 1, 3])
    assert others["copy_of"].to_list() == others["file"].to_list()


def test_copies_under_several_classes_name_the_classes(data_set):
    plant(data_set, "exact copy across classes")
    index, audit = examine(data_set)
    fault = "has copies under several classes: COVID, Normal"
    files = ["COVID/images/COVID-1.png", "Normal/images/COVID-1-added.png"]
    assert [(row["file"], row["fault"]) for row in audit["left_out"]] == [(f, fault) for f in files]
    assert not set(files) & set(index["file"])
