"""The layouts: small copies of the sets as they are published, and what has no place in them."""

import unicodedata
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.audit.examination import describe_audit, examine
from helpers.data.images import fingerprint
from helpers.data.listing import HALVES, class_key, class_of
from helpers.data.sources import DataSet, find_data
from helpers.split.index import build_index, has_masks
from tests.support.builders import (
    lung_mask,
    make_data_set,
    make_qata,
    make_qu_ex,
    refused,
    write_image,
    xray,
)
from tests.support.dicom_files import as_bytes, make


class Xray(NamedTuple):
    """An X-ray of a published set: its files below the set's root, and what their places tell."""

    class_name: str
    image: str
    masks: tuple[str, ...] = ()
    infection: str = ""
    split: str = ""
    patient: str = ""


SPLIT_FOLDERS = [("Train", "train"), ("Val", "validation"), ("Test", "test")]
NLM = [("0001_0", "Normal"), ("0002_0", "Normal"), ("0003_1", "Tuberculosis")]
# For each kind: the layout, the folders around the set, and its X-rays.
PUBLISHED: dict[str, tuple[str, str, list[Xray]]] = {
    "Radiography Database": (
        "COVID-19 Radiography Database",
        "archive/COVID-19_Radiography_Dataset",
        [
            Xray(name, f"{name}/{images}/{name}-1.png", (f"{name}/{masks}/{name}-1.png",))
            for name, images, masks in [
                ("COVID", "images", "masks"),
                ("Lung_Opacity", "IMAGES", "MASKS"),
                ("Viral Pneumonia", "Images", "Masks"),
            ]
        ],
    ),
    "COVID-QU-Ex": (
        "COVID-QU-Ex",
        "Infection Segmentation Data/Infection Segmentation Data",
        [
            Xray(
                class_of(name),
                f"{folder}/{name}/images/{stem} {folder}.png",
                (f"{folder}/{name}/{masks}/{stem} {folder}.png",),
                f"{folder}/{name}/{infection}/{stem} {folder}.png",
                split,
            )
            for folder, split in SPLIT_FOLDERS
            for name, stem, masks, infection in [
                ("COVID-19", "covid_1579", "lung masks", "infection masks"),
                ("Non-COVID", "non_COVID (11905)", "lung masks", "infection masks"),
                ("Normal", "Normal (1)", "lung_masks", "Infection-Masks"),
            ]
        ],
    ),
    "QaTa-COV19": (
        "QaTa-COV19",
        "QaTa-COV19/QaTa-COV19-v2",
        [
            Xray(
                "COVID",
                f"{folder}/Images/{stem}.png",
                infection=f"{folder}/Ground-truths/mask_{stem}.png",
                split=split,
                patient=patient,
            )
            for folder, split in [("Train Set", "train"), ("Test Set", "test")]
            for stem, patient in [
                ("covid_0045", ""),
                ("cxr_s12843-e27159-r1", "s12843"),
                ("cxr_s12843-e27160-r1", "s12843"),
            ]
        ],
    ),
    "Montgomery": (
        "Montgomery",
        "NLM-MontgomeryCXRSet/MontgomerySet",
        [
            Xray(
                class_name,
                f"CXR_png/MCUCXR_{stem}.png",
                tuple(f"ManualMask/{side}Mask/MCUCXR_{stem}.png" for side in ("left", "right")),
            )
            for stem, class_name in NLM
        ],
    ),
    "Shenzhen without masks": (
        "no masks",
        "ChinaSet_AllFiles",
        [Xray(class_name, f"CXR_png/CHNCXR_{stem}.png") for stem, class_name in NLM],
    ),
    "one class in split folders": (
        "one class in split folders",
        "",
        [
            Xray("jsrt", f"{folder}/images/{n}.png", (f"{folder}/masks/{n}.png",), split=split)
            for folder, split in SPLIT_FOLDERS
            for n in (1, 2)
        ],
    ),
    "DICOM of any name": (
        "no masks",
        "",
        [Xray(name, f"{name}/IM0{n}") for name in ("COVID", "Normal") for n in (1, 2)],
    ),
    "Shenzhen": (
        "Shenzhen",
        "",
        [
            Xray(class_name, f"CXR_png/CHNCXR_{stem}.png", (f"mask/CHNCXR_{stem}_mask.png",))
            for stem, class_name in NLM
        ],
    ),
    "one class": (
        "one class without a folder",
        "",
        [Xray("jsrt", f"images/JPCLN00{n}.png", (f"masks/JPCLN00{n}.png",)) for n in (1, 2)],
    ),
    "images in class folders": (
        "no masks",
        "",
        [Xray(name, f"{name}/images/{n}.jpg") for name in ("COVID", "Normal") for n in (1, 2)],
    ),
    "pictures in split folders": (
        "no masks",
        "chest_xray",
        [
            Xray(name, f"{folder}/{name}/{n}.jpeg", split=split)
            for folder, split in SPLIT_FOLDERS
            for name in ("NORMAL", "PNEUMONIA")
            for n in (1, 2)
        ],
    ),
}


def write_published(folder: Path, xrays: list[Xray]) -> None:
    """Write the files of X-rays, each with other pixels; infection masks of others are black."""
    for number, (class_name, image, masks, infection, *_) in enumerate(xrays):
        if PurePosixPath(image).suffix:
            write_image(folder / image, xray(number))
        else:
            (folder / image).parent.mkdir(parents=True, exist_ok=True)
            (folder / image).write_bytes(as_bytes(make(xray(number))))
        mask = lung_mask(number)
        sides = [mask] if len(masks) < 2 else [mask * left for left in halves(mask)]
        for file, side in zip(masks, sides, strict=False):
            write_image(folder / file, side)
        if infection:
            write_image(folder / infection, mask * (class_name == "COVID"))


def halves(mask: np.ndarray) -> list[np.ndarray]:
    """Return zeros and ones for the left half of a mask's picture, and for the right one."""
    left = np.zeros_like(mask)
    left[:, : mask.shape[1] // 2] = 1
    return [left, 1 - left]


def read(root: Path) -> tuple[DataSet, pd.DataFrame, dict]:
    """Return the data set in a folder, its index and its audit, with all examples."""
    data_set = find_data(str(root))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.audit.findings.EXAMPLES", 1000)
        return data_set, *examine(data_set)


def findings(audit: dict) -> dict[str, list[str]]:
    return {finding["name"]: finding["examples"] for finding in audit["findings"]}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_set_is_recognised_and_read_whole(name, tmp_path):
    layout, around, xrays = PUBLISHED[name]
    write_published(tmp_path / "jsrt" / around, xrays)
    data_set, index, audit = read(tmp_path / "jsrt")
    assert data_set.root == tmp_path / "jsrt" / around
    assert audit["layout"].startswith(f"{layout} (")
    assert f"Layout: {audit['layout']}" in describe_audit(audit)
    columns = ["class", "file", "infection_mask", "published_split", "patient"]
    found = sorted(map(tuple, index[columns].to_numpy()))
    assert found == sorted((x.class_name, x.image, x.infection, x.split, x.patient) for x in xrays)
    assert audit["left_out"] == []
    assert not findings(audit).keys() & {"other_files", "unused_folders", "class_without_xrays"}
    assert_masks_are_read(data_set, index, xrays)
    assert has_masks(index) == bool(xrays[0].masks)
    assert ("no_lung_masks" in findings(audit)) == (not xrays[0].masks)


def assert_masks_are_read(data_set: DataSet, index: pd.DataFrame, xrays: list[Xray]) -> None:
    rows = {row.file: row for row in index.itertuples()}
    for number, one in enumerate(xrays):
        row, mask = rows[one.image], lung_mask(number) // 255
        assert row.mask == HALVES.join(one.masks)
        if one.masks:
            np.testing.assert_array_equal(data_set.read_mask(row.mask), mask)
            assert row.mask_pixels == fingerprint(mask)
            assert (row.mask_height, row.mask_width) == mask.shape
        if one.infection:
            drawn = mask * (one.class_name == "COVID")
            assert row.infection_pixels == fingerprint(drawn)


def test_masks_of_one_lung_without_the_other_s_are_left_out(tmp_path):
    _, _, xrays = PUBLISHED["Montgomery"]
    write_published(tmp_path, xrays)
    (tmp_path / xrays[0].masks[1]).unlink()
    write_image(tmp_path / xrays[1].masks[0], lung_mask(1)[:9])
    _, index, audit = read(tmp_path)
    assert index["file"].tolist() == [xrays[2].image]
    left_out = {row["file"]: row["fault"] for row in audit["left_out"]}
    assert left_out == {
        xrays[0].masks[0]: "not one file for each lung",
        HALVES.join(xrays[1].masks): "the mask's files differ in size",
    }
    assert findings(audit)["half_a_mask"] == list(left_out)


def test_an_xray_without_its_infection_mask_is_used(tmp_path):
    _, _, xrays = PUBLISHED["COVID-QU-Ex"]
    write_published(tmp_path, xrays)
    (tmp_path / xrays[0].infection).unlink()
    (tmp_path / xrays[1].infection).write_bytes(b"")
    _, index, audit = read(tmp_path)
    assert len(index) == len(xrays)
    without = index.loc[index["infection_mask"] == "", "file"].tolist()
    assert without == [xrays[0].image, xrays[1].image]
    assert findings(audit)["empty_file"] == [xrays[1].infection]


def test_a_drawn_covid_qu_ex_is_sound_and_healthy_but_for_covid(tmp_path):
    data_set = make_qu_ex(tmp_path / "qu", 1)
    _, index, audit = read(tmp_path / "qu")
    assert data_set.root.name == "Infection Segmentation Data"
    assert audit["counts"] == {"COVID": 3, "Non-COVID": 3, "Normal": 3}
    assert (audit["left_out"], audit["layout"][:11]) == ([], "COVID-QU-Ex")
    assert not {found["level"] for found in audit["findings"]} & {"error", "warning"}
    columns = ["class", "mask", "infection_mask"]
    for class_name, mask, infection_mask in index[columns].itertuples(index=False):
        lungs, infection = data_set.read_mask(mask), data_set.read_mask(infection_mask)
        assert lungs.shape == infection.shape == (256, 256)
        assert not infection[lungs == 0].any()
        assert infection.any() == (class_name == "COVID")


def test_a_drawn_qata_has_both_sets_patients_and_no_lung_masks(tmp_path):
    data_set = make_qata(tmp_path / "qata", 1)
    _, index, audit = read(tmp_path / "qata")
    assert audit["counts"] == {"COVID": 10}
    assert audit["left_out"] == []
    assert findings(audit).keys() == {"no_lung_masks"}
    assert index["published_split"].value_counts().to_dict() == {"train": 8, "test": 2}
    named = index["file"].str.extract("/cxr_(s[0-9]+)-", expand=False).fillna("")
    assert index["patient"].tolist() == named.tolist()
    assert index["patient"].value_counts().to_dict() == {
        "": 2,
        **dict.fromkeys(["s101", "s102", "s103", "s104"], 2),
    }
    assert all(data_set.read_mask(mask).any() for mask in index["infection_mask"])


def test_several_data_sets_are_refused_with_their_names(tmp_path):
    make_data_set(tmp_path / "both" / "hospital A")
    make_data_set(tmp_path / "both" / "hospital B")
    with refused("both: several", "hospital A, hospital B", "Give one of them"):
        find_data(str(tmp_path / "both"))


UNUSED = {
    "a class with masks spelt otherwise": "DS/Pneumonia/imgs/1.png",
    "pictures directly in a class folder": "DS/Pneumonia/1.png",
    "a picture at the root": "DS/overview.png",
    "a folder in a folder of X-rays": "DS/COVID/images/more/9.png",
    "an older version deeper down": "DS/old/COVID/images/COVID-1.png",
    "a folder beside the data set": "other/Pneumonia/1.png",
    "a picture beside the data set": "cover.png",
}


@pytest.mark.parametrize("where", UNUSED)
def test_a_picture_without_a_place_is_named(where, tmp_path):
    make_data_set(tmp_path / "given" / "DS")
    path = write_image(tmp_path / "given" / UNUSED[where], xray(1))
    data_set, index, audit = read(tmp_path / "given")
    assert data_set.root == tmp_path / "given" / "DS" and len(index) == 9
    (shown,) = findings(audit)["unused_picture"]
    assert (data_set.root / shown).resolve() == path.resolve()
    assert [row["file"] for row in audit["left_out"]] == [shown]
    assert "with 1 file left out" in audit["verdict"]


def test_a_data_set_of_which_most_pictures_have_no_place_stops_a_run(tmp_path):
    data_set = make_data_set(tmp_path / "tiny")
    for number in range(10):
        write_image(data_set.root / "Pneumonia" / f"{number}.png", xray(number))
    with refused("tiny: 10 pictures", "most of all", "allow mostly_unusable"):
        build_index(data_set)
    assert len(build_index(data_set, "mostly_unusable")[0]) == 9


def test_the_layout_with_a_place_for_most_pictures_is_taken(tmp_path):
    data_set = make_data_set(tmp_path / "tiny", {"COVID": 4, "Normal": 4})
    write_published(tmp_path / "tiny" / "extra", PUBLISHED["QaTa-COV19"][2][:2])
    (tmp_path / "tiny" / "notes" / "masks").mkdir(parents=True)
    _, index, audit = read(data_set.root)
    assert len(index) == 8 and audit["layout"].startswith("COVID-19 Radiography Database")
    assert len(findings(audit)["unused_picture"]) == 4


def test_an_empty_folder_of_masks_elsewhere_decides_nothing(tmp_path):
    write_published(tmp_path, PUBLISHED["images in class folders"][2])
    (tmp_path / "notes" / "masks").mkdir(parents=True)
    _, index, audit = read(tmp_path)
    assert len(index) == 4 and audit["layout"].startswith("no masks")


@pytest.mark.parametrize(
    "folders", [("train", "test"), ("2d_images", "2d_masks"), ("Train/images", "Test/images")]
)
def test_folders_of_splits_or_parts_are_no_classes(folders, tmp_path):
    for number, folder in enumerate(folders):
        write_image(tmp_path / "set" / folder / "1.png", xray(number))
    with refused("set: found pictures in", "in no layout that is known", "Give the folder"):
        find_data(str(tmp_path / "set"))


@pytest.mark.parametrize("ending", ["webp", "gif", "heic"])
def test_pictures_of_other_kinds_are_named(ending, tmp_path):
    data_set = make_data_set(tmp_path / "tiny")
    for name in ("COVID/images", "Flu/images"):
        path = data_set.root / name / f"a.{ending}"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"RIFF----WEBP")
    _, _, audit = read(data_set.root)
    names = [f"{name}/images/a.{ending}" for name in ("COVID", "Flu")]
    assert findings(audit)["undecodable_file"] == names
    assert findings(audit)["class_without_xrays"] == ["Flu"]


def test_folders_without_pictures_are_named_once(tmp_path):
    make_data_set(tmp_path / "given" / "tiny")
    empty = ("tiny/Pneumonia/imgs", "tiny/COVID/annotations/deep", "tiny/Flu/images", "Viral")
    for name in empty:
        (tmp_path / "given" / name).mkdir(parents=True)
    (tmp_path / "given" / "tiny/COVID/annotations/deep/1.json").touch()
    _, _, audit = read(tmp_path / "given")
    unused = findings(audit)["unused_folders"]
    assert unused == ["../Viral", "COVID/annotations", "Pneumonia"]


@pytest.mark.parametrize("spelling", ["COVID-19", "covid", "Covid19", "COVID_19", "CoViD 19"])
def test_covid_is_covid_however_its_folder_is_spelled(spelling, tmp_path):
    make_data_set(tmp_path / "tiny", {spelling: 2, "Normal": 2})
    table = f"FILE NAME,URL\n{spelling}-1,https://example.org/a\n"
    (tmp_path / "tiny" / f"{spelling}.metadata.csv").write_text(table)
    _, index, audit = read(tmp_path / "tiny")
    assert audit["counts"] == {"COVID": 2, "Normal": 2}
    covid = index[index["class"] == "COVID"]
    assert covid["file"].tolist() == [f"{spelling}/images/{spelling}-{n}.png" for n in (1, 2)]
    assert covid["source"].tolist() == ["example.org/a", ""]
    assert findings(audit)["class_spelling"] == [f"{spelling} for COVID"]


@pytest.mark.parametrize("name", ["Non-COVID", "nonCOVID", "no covid", "all", "None", "NA", "nan"])
def test_other_classes_keep_their_names(name, tmp_path):
    make_data_set(tmp_path / "tiny", {name: 2, "Normal": 2})
    _, index, audit = read(tmp_path / "tiny")
    assert audit["counts"] == {name: 2, "Normal": 2}
    assert set(index["class"]) == {name, "Normal"}
    assert not findings(audit).keys() & {"class_spelling", "covid_in_other_class"}


@pytest.mark.parametrize(
    "pair", [("COVID", "COVID-19"), ("Lung_Opacity", "lung opacity"), ("NORMAL", "Normal")]
)
def test_two_spellings_of_one_class_are_refused(pair, tmp_path):
    for name in pair:
        make_data_set(tmp_path / "tiny", {name: 1})
    with refused(f"{pair[0]} and {pair[1]}", "two spellings of one class", "Rename one"):
        find_data(str(tmp_path / "tiny"))


@given(name=st.text("aCcOoVvIiDd19-_ n", min_size=1, max_size=9))
def test_a_class_is_covid_only_if_nothing_but_covid_is_left_of_its_name(name):
    bare = name.lower().translate(str.maketrans("", "", "-_ "))
    assert (class_of(name) == "COVID") == (bare in ("covid", "covid19"))
    assert class_of(class_of(name)) == class_of(name)
    assert class_key(class_of(name)) == class_key(name)


def test_a_mask_whose_name_is_composed_otherwise_belongs_to_its_xray(tmp_path):
    image, mask = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    assert image != mask
    write_image(tmp_path / "COVID" / "images" / f"{image}.png", xray(1))
    write_image(tmp_path / "COVID" / "masks" / f"{mask}.png", lung_mask(1))
    _, index, audit = read(tmp_path)
    assert (len(index), audit["left_out"]) == (1, [])
    assert index["mask"][0].endswith(f"{mask}.png")


@pytest.mark.parametrize("name", ["qata", "montgomery", "viral_pneumonia"])
def test_the_real_archives_are_read_whole(name, real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("COVID_LUNGS_CACHE", str(tmp_path))
    layout, count, masks = {
        "qata": ("QaTa-COV19", 1318, False),
        "montgomery": ("COVID-19 Radiography Database", 138, True),
        "viral_pneumonia": ("COVID-19 Radiography Database", 1345, True),
    }[name]
    index, audit = build_index(find_data(str(real_data / f"{name}.zip")))
    assert audit["layout"].startswith(layout)
    assert (len(index), has_masks(index), audit["left_out"]) == (count, masks, [])
    if name == "qata":
        assert (index["infection_mask"] != "").all() and (index["published_split"] == "train").all()
        patients = index["patient"] != ""
        assert (patients == index["file"].str.contains("/cxr_s")).all() and patients.any()
