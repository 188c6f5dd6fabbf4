"""Faults: planters of each kind that an audit knows, for any data set of the layout."""

import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from helpers.data.layouts import POSITIVE_CLASS
from tests.benchmarks.duplicates import plant_copy
from tests.support.builders import lung_mask, png, xray

Pixels = np.ndarray
# Top, bottom, left and right, as shares of the mask's height and width.
Box = tuple[float, float, float, float]
RIGHT_LUNG, LEFT_LUNG = (0.2, 0.8, 0.15, 0.4), (0.2, 0.8, 0.6, 0.85)


class Victim(NamedTuple):
    """The X-ray and mask that a fault is planted at."""

    root: Path
    class_name: str
    stem: str

    @property
    def image(self) -> Path:
        return self.root / self.class_name / "images" / f"{self.stem}.png"

    @property
    def mask(self) -> Path:
        return self.root / self.class_name / "masks" / f"{self.stem}.png"

    @property
    def infection(self) -> Path:
        return self.root / self.class_name / "infection masks" / f"{self.stem}.png"

    @property
    def masks(self) -> list[Path]:
        """All masks of the class."""
        return sorted(self.mask.parent.glob("*.png"))

    def show(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


class Planted(NamedTuple):
    """What an audit must say of a planted fault.

    Attributes:
        finding: its name.
        shown: the file or name that it must list.
        usable: by how much the usable X-rays of the victim's class change.
        text: words that its text must have.
    """

    finding: str
    shown: str
    usable: int = 0
    text: str = ""


Planter = Callable[[Victim], Planted]


def class_names(root: Path) -> list[str]:
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir())


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def put(path: Path, content: bytes) -> None:
    """Write a new file; the one in its place may be a link to one that must not change."""
    remove(path)
    path.write_bytes(content)


def encode(pixels: Pixels, ending: str = ".png") -> bytes:
    return cv2.imencode(ending, pixels)[1].tobytes()


def grey(path: Path) -> Pixels:
    """Return a file's pixels, or others where an earlier fault left none."""
    content = path.read_bytes() if path.is_file() else b""
    if content:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
        if pixels is not None:
            return pixels
    return lung_mask(1) if path.parent.name.endswith("masks") else xray(1)


def changed(
    part: str, finding: str, change: Callable[[Pixels], bytes], usable: int = 0, text: str = ""
) -> Planter:
    """Return a planter that makes new content for an X-ray or a mask from its grey pixels."""

    def plant(victim: Victim) -> Planted:
        path = {"X-ray": victim.image, "mask": victim.mask, "infection": victim.infection}[part]
        path.parent.mkdir(exist_ok=True)  # not all data sets have infection masks
        put(path, change(grey(path)))
        return Planted(finding, victim.show(path), usable, text)

    return plant


def change_xray(finding: str, change: Callable[[Pixels], Pixels], usable: int = 0) -> Planter:
    return changed("X-ray", finding, lambda image: encode(change(image)), usable)


def change_mask(
    finding: str, change: Callable[[Pixels], Pixels], text: str = "", part: str = "mask"
) -> Planter:
    return changed(part, finding, lambda mask: encode(change(mask)), text=text)


def draw_mask(text: str, *boxes: Box) -> Planter:
    """Return a planter of a mask with these boxes, which can hardly be lungs."""

    def draw(mask: Pixels) -> Pixels:
        drawn, (height, width) = np.zeros_like(mask), mask.shape
        for top, bottom, left, right in boxes:
            rows = slice(round(top * height), round(bottom * height))
            drawn[rows, round(left * width) : round(right * width)] = 255
        return drawn

    return change_mask("implausible_mask", draw, text)


def damages(part: str) -> Iterator[tuple[str, Planter]]:
    """Yield what can befall any file, with a name."""
    for name, finding, damage in (
        ("empty", "empty_file", lambda pixels: b""),
        ("text for", "undecodable_file", lambda pixels: b"no image"),
        ("truncated", "truncated_file", lambda pixels: encode(pixels)[:-20]),
        ("too large", "oversized_file", lambda pixels: png((30_000, 30_000), 1, 0, [])),
        ("transparent", "unclear_file", lambda pixels: encode(cv2.merge([pixels | 99] * 4))),
    ):
        # An X-ray is used without its infection mask.
        yield f"{name} {part}", changed(part, finding, damage, 0 if part == "infection" else -1)
    other = changed(part, "wrong_extension", lambda pixels: encode(pixels, ".jpg"))
    yield f"JPEG behind .png of {part}", other


def plant_link(victim: Victim) -> Planted:
    remove(victim.image)
    victim.image.symlink_to("nowhere.png")
    return Planted("unreadable_file", victim.show(victim.image), -1)


def plant_notes(victim: Victim) -> Planted:
    folder = victim.root / victim.class_name / "notes"
    folder.mkdir(exist_ok=True)
    (folder / "read me.txt").touch()
    return Planted("unused_folders", victim.show(folder))


def plant_loose_picture(victim: Victim) -> Planted:
    path = victim.root / victim.class_name / "loose.png"
    put(path, encode(xray(0)))
    return Planted("unused_picture", victim.show(path))


def plant_spelling(victim: Victim) -> Planted:
    folder = victim.root / POSITIVE_CLASS
    folder.rename(folder.with_name("covid-19"))
    return Planted("class_spelling", f"covid-19 for {POSITIVE_CLASS}")


def plant_class_like_covid(victim: Victim) -> Planted:
    folder = victim.root / "Normal"
    folder.rename(folder.with_name("Mild COVID"))
    return Planted("covid_in_other_class", "Mild COVID")


def plant_no_masks(victim: Victim) -> Planted:
    for folder in victim.root.glob("*/masks"):
        remove(folder)
    return Planted("no_lung_masks", victim.show(victim.image))


def plant_other_size(victim: Victim) -> Planted:
    image = grey(victim.image)
    size = (image.shape[1] - 7, image.shape[0] - 5)
    put(victim.image, encode(cv2.resize(image, size)))
    return Planted("several_sizes", f"{size[0]} × {size[1]}")


def plant_xray_without_mask(victim: Victim) -> Planted:
    remove(victim.mask)
    return Planted("image_without_mask", victim.show(victim.image), -1)


def plant_mask_without_xray(victim: Victim) -> Planted:
    remove(victim.image)
    return Planted("mask_without_image", victim.show(victim.mask), -1)


def plant_infection(victim: Victim) -> Planted:
    """Outline everything but the lungs as infected."""
    victim.infection.parent.mkdir(exist_ok=True)
    put(victim.infection, encode(np.where(grey(victim.mask) > 127, 0, np.uint8(255))))
    return Planted("infection_outside_lungs", victim.show(victim.infection))


def plant_xray_without_infection(victim: Victim) -> Planted:
    """Remove the infection mask, and add an X-ray that has one."""
    remove(victim.infection)
    added = add_pair(victim, lambda image: image[::-1], victim.class_name)
    added.infection.parent.mkdir(exist_ok=True)
    put(added.infection, encode(grey(victim.mask)))
    return Planted("no_infection_mask", victim.show(victim.image), 1)


def plant_infection_without_xray(victim: Victim) -> Planted:
    infection = victim._replace(stem=f"{victim.stem}-lost").infection
    infection.parent.mkdir(exist_ok=True)
    put(infection, encode(grey(victim.mask)))
    return Planted("mask_without_image", victim.show(infection))


def plant_name_twice(victim: Victim) -> Planted:
    put(victim.image.with_suffix(".bmp"), encode(grey(victim.image), ".bmp"))
    return Planted("name_twice", victim.show(victim.image), -1)


def add_pair(victim: Victim, change: Callable[[Pixels], Pixels], class_name: str) -> Victim:
    """Write a changed X-ray, with the victim's mask, beside it or into another class."""
    added = Victim(victim.root, class_name, f"{victim.stem}-added")
    for folder in (added.image.parent, added.mask.parent):
        folder.mkdir(parents=True, exist_ok=True)
    put(added.image, encode(change(grey(victim.image))))
    put(added.mask, encode(grey(victim.mask)))
    return added


def copy_nearly(image: Pixels) -> Pixels:
    return plant_copy(image, np.random.default_rng(0))


def plant_copy_within(finding: str, change: Callable[[Pixels], Pixels]) -> Planter:
    def plant(victim: Victim) -> Planted:
        added = add_pair(victim, change, victim.class_name)
        return Planted(finding, victim.show(added.image), 1)

    return plant


def plant_copy_across(change: Callable[[Pixels], Pixels]) -> Planter:
    def plant(victim: Victim) -> Planted:
        names = class_names(victim.root)
        other = names[names.index(victim.class_name) - 1]
        added = add_pair(victim, change, other)
        return Planted("label_conflict", victim.show(added.image), -1)

    return plant


def plant_published_missing(victim: Victim) -> Planted:
    for path in (victim.image, victim.mask, victim.infection):
        remove(path)
    return Planted("published_missing", victim.stem, -1)


def plant_published_added(victim: Victim) -> Planted:
    added = add_pair(victim, lambda image: image[::-1], victim.class_name)
    return Planted("published_added", victim.show(added.image), 1)


def read_table(root: Path, class_name: str) -> pd.DataFrame:
    """Return the metadata of a class; made up from its X-rays where it has none."""
    text, workbook = (root / f"{class_name}.metadata.{ending}" for ending in ("csv", "xlsx"))
    if text.is_file():
        return pd.read_csv(text, dtype=str, keep_default_na=False)
    if zipfile.is_zipfile(workbook):  # which an earlier fault may have spoilt
        return pd.read_excel(workbook, dtype=str)
    names = sorted(path.stem for path in (root / class_name / "images").iterdir())
    return pd.DataFrame({"FILE NAME": names, "URL": ""})


def write_table(root: Path, class_name: str, table: pd.DataFrame) -> None:
    """Write the metadata of a class as .csv, in place of a workbook."""
    remove(root / f"{class_name}.metadata.xlsx")
    put(root / f"{class_name}.metadata.csv", table.to_csv(index=False).encode())


def hide_source(change: Callable[[pd.DataFrame, pd.Series], pd.DataFrame]) -> Planter:
    """Return a planter that changes the metadata, given which row is that of the victim."""

    def plant(victim: Victim) -> Planted:
        table = read_table(victim.root, victim.class_name)
        # The database's own spelling differs in case.
        own = table["FILE NAME"].str.lower() == victim.stem.lower()
        write_table(victim.root, victim.class_name, change(table, own))
        return Planted("source_unknown", victim.show(victim.image))

    return plant


def plant_sources(victim: Victim) -> Planted:
    """Give each class a source of its own."""
    for class_name in class_names(victim.root):
        url = f"https://{class_name.split()[0].lower()}.example.org/x"
        write_table(victim.root, class_name, read_table(victim.root, class_name).assign(URL=url))
    return Planted("source_tells_class", f"{POSITIVE_CLASS.lower()}.example.org/x")


def plant_unreadable_metadata(victim: Victim) -> Planted:
    name = f"{victim.class_name}.metadata.xlsx"
    put(victim.root / name, b"PK\x03\x04, and no more")
    return Planted("metadata_unreadable", name)


def plant_stranger(victim: Victim) -> Planted:
    path = victim.image.with_suffix(".txt")
    put(path, b"Remember the lungs.")
    return Planted("other_files", victim.show(path))


def fill_heart(mask: Pixels) -> Pixels:
    """Return a mask with everything between the lungs' outer borders filled."""
    filled = mask.copy()
    for row in filled:
        lung = np.flatnonzero(row)
        if len(lung):
            row[lung[0] : lung[-1]] = 255
    return filled


def clear_heart(mask: Pixels) -> Pixels:
    """Return a mask without the middle half of the lungs' width."""
    cleared, lung = mask.copy(), np.flatnonzero(mask.any(axis=0))
    if len(lung):
        quarter = (lung[-1] - lung[0]) // 4
        cleared[:, lung[0] + quarter : lung[-1] - quarter] = 0
    return cleared


def plant_hearts(victim: Victim) -> Planted:
    for path in victim.masks:
        put(path, encode(fill_heart(grey(path))))
    return Planted("mask_convention", f"{victim.class_name}: in")


def plant_half_the_hearts(victim: Victim) -> Planted:
    for number, path in enumerate(victim.masks):
        put(path, encode((fill_heart, clear_heart)[number % 2](grey(path))))
    return Planted("mixed_mask_conventions", f"{victim.class_name}: mixed")


def plant_empty_class(victim: Victim) -> Planted:
    for part in ("images", "masks", "infection masks"):
        (victim.root / "Tuberculosis" / part).mkdir(parents=True, exist_ok=True)
    return Planted("class_without_xrays", "Tuberculosis")


def plant_renamed_masks(victim: Victim) -> Planted:
    """Call the masks otherwise than the X-rays, but for the first of each class."""
    for class_name in class_names(victim.root):
        for path in victim._replace(class_name=class_name).masks[1:]:
            path.rename(path.with_stem(f"{path.stem}_mask"))
    images = sorted(victim.image.parent.iterdir())
    return Planted("mostly_unusable", victim.show(images[-1]), 1 - len(images))


# In this order none undoes another if each has a victim of its own, ALONE excepted.
PLANTERS: dict[str, Planter] = {
    **dict(damages("X-ray")),
    **dict(damages("mask")),
    **dict(damages("infection")),
    "link to nowhere": plant_link,
    "colour X-ray": change_xray(
        "coloured_xrays", lambda image: cv2.merge([image, image // 2, image])
    ),
    "16-bit X-ray": change_xray("deep_xrays", lambda image: image.astype(np.uint16) * 257),
    "X-ray of other size": plant_other_size,
    "tiny X-ray": change_xray("small_xrays", lambda image: cv2.resize(image, (63, 64))),
    "blank X-ray": change_xray("blank_xray", lambda image: np.full_like(image, 90), -1),
    "black mask": changed("mask", "blank_mask", lambda mask: encode(np.zeros_like(mask)), -1),
    "white mask": changed("mask", "blank_mask", lambda mask: encode(np.full_like(mask, 255)), -1),
    "labels": changed("mask", "label_map_mask", lambda mask: encode(mask - np.tril(mask // 2)), -1),
    "mask of many levels": change_mask("mask_not_binary", lambda mask: cv2.blur(mask, (5, 5))),
    "mask of other proportions": change_mask(
        "mask_of_other_shape", lambda mask: np.repeat(mask, 2, axis=0)
    ),
    "mask too large": draw_mask("larger than 65%", (0.05, 0.95, 0.05, 0.95)),
    "mask too small": draw_mask("smaller than 5%", (0.4, 0.5, 0.2, 0.3), (0.4, 0.5, 0.6, 0.7)),
    "mask of one region": draw_mask("not two regions", RIGHT_LUNG),
    "mask along an edge": draw_mask("along more than 75% of an edge", (0, 1, 0, 0.3), LEFT_LUNG),
    "white infection mask": changed(
        "infection", "blank_mask", lambda mask: encode(np.full_like(mask, 255))
    ),
    "infection mask of many levels": change_mask(
        "mask_not_binary", lambda mask: cv2.blur(mask, (5, 5)), part="infection"
    ),
    "infection mask of other proportions": change_mask(
        "mask_of_other_shape", lambda mask: np.repeat(mask, 2, axis=0), part="infection"
    ),
    "infection outside the lungs": plant_infection,
    "X-ray without infection mask": plant_xray_without_infection,
    "infection mask without X-ray": plant_infection_without_xray,
    "X-ray without mask": plant_xray_without_mask,
    "mask without X-ray": plant_mask_without_xray,
    "two files of one name": plant_name_twice,
    "exact copy": plant_copy_within("exact_copies", lambda image: image),
    "near-copy": plant_copy_within("near_copies", copy_nearly),
    "exact copy across classes": plant_copy_across(lambda image: image),
    "near-copy across classes": plant_copy_across(copy_nearly),
    "published X-ray missing": plant_published_missing,
    "published X-ray added": plant_published_added,
    "sources that tell the class": plant_sources,
    "file without row": hide_source(lambda table, own: table[~own]),
    "row without URL": hide_source(lambda table, own: table.assign(URL=table["URL"].mask(own, ""))),
    "metadata unreadable": plant_unreadable_metadata,
    "stranger file": plant_stranger,
    "folder without pictures": plant_notes,
    "picture outside the layout": plant_loose_picture,
    "masks of two conventions": plant_half_the_hearts,
    "masks of one convention": plant_hearts,
    "class without X-rays": plant_empty_class,
    "masks called otherwise": plant_renamed_masks,
    "class spelled otherwise": plant_spelling,
    "class named after COVID": plant_class_like_covid,
    "no masks": plant_no_masks,
}
MOVING = ("class spelled otherwise", "class named after COVID", "no masks")  # others' files, too
ALONE = ("masks of one convention", "class without X-rays", "masks called otherwise", *MOVING)
