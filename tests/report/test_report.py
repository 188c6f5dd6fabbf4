import csv
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import product
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.evaluate.intervals import Estimate
from helpers.evaluate.lung_masks import DRAWN
from helpers.report.report import (
    CAPTIONS,
    LESSONS,
    PUBLISHED,
    caption,
    frame_report,
    number,
    pointer,
    published_html,
    write_report,
)
from helpers.run.notebooks import find_notebooks
from tests.support.builders import refused, write_image

CLASSES = ["COVID", "Lung_Opacity", "Normal"]
LONG = "very-long-name-" * 20
HOSTILE = [
    "<script>alert('x')</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "../../etc/passwd",
    "{{ 7 * 7 }}{% raw %}",
    "</style><svg onload=alert(1)>",
    "&lt;b&gt; &amp; a~b/c",
    "javascript:alert(1)",
    "🫁 \u202egnp.exe",
    "a\u2028b",
    LONG,
]
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """A page as its elements: (tag, attributes, text within, ancestors' places)."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.loose = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append({"tag": tag, "attributes": dict(attributes), "text": ""})
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data
        self.loose.append((data, list(self.open)))

    @property
    def structure(self):
        return [(element["tag"], *element["attributes"]) for element in self.elements]

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]


def figure(value, spread=0.01, n=40):
    low, high = (None, None) if spread is None else (value - spread, value + spread)
    return {"value": value, "low": low, "high": high, "n": n}


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def make_audit(classes, name, files):
    finding = {"name": "x", "level": "warning", "text": f"X-rays as {name}", "count": 1234}
    return {
        "data": {"name": name, "synthetic": False},
        "layout": f"{name} (<class>/images)",
        "verdict": f"Usable: 400 X-rays in {name}.",
        "counts": dict.fromkeys(classes, 10),
        "findings": [finding | {"examples": files[:3], "remedy": f"look at {name}"}],
        "left_out": [{"file": file, "fault": f"is {file}", "remedy": name} for file in files],
    }


def make_provenance(name):
    return {
        "data": {"xrays": 4321, "hash": "ab12" * 16},
        "notebooks": {
            "03_detect_covid": {
                "started": "2026-01-02T03:04:05+00:00",
                "seconds": 4271.3,
                "parameters": {"data": name, "epochs": 3, "recipe": "demo", "seed": 71234},
                "settings": {"filters": [16, 32], "learning_rate": 0.001},
                "environment": {
                    "code": "0.1.0 (abc)",
                    "python": "3.11.7",
                    "system": "Linux",
                    "keras_backend": "tensorflow",
                    "machine": name,
                    "packages": {"numpy": "2.4.6"},
                },
            }
        },
    }


INFECTION = {
    "iou": 0.712,
    "dice": 0.796,
    "dice_loss": 0.231,
    "invented_share": 0.0004,
    "severity_spearman": 0.683,
    "severity_low": -0.206,
    "severity_high": 0.185,
    "map_dice": 0.457,
}


def make_finished(folder, classes=CLASSES, name="tiny"):
    """Write what a finished run leaves, without training; every text in it is one of `name`s."""
    files = [f"{class_name}/images/{name}.png" for class_name in classes]
    write_json(folder / "audit.json", make_audit(classes, name, files))
    header = ["file", "class", "group", "split", "hash"]
    splits = ("train", "train", "test", "validation", "train")
    rows = [[str(i), c, "", s, ""] for c in classes for i, s in enumerate(splits)]
    write_csv(folder / "split.csv", header, rows)
    detection = {
        "accuracy": figure(0.9512345),
        "majority_accuracy": figure(0.6),
        "auroc": figure(0.98765),
        "threshold": figure(0.33333, None),
    }
    write_json(folder / "detection" / "metrics.json", detection)
    scores = {"iou": 0.91, "dice": 0.95, "dice_loss": 0.06, "hausdorff_95": 123.456}
    of_all = {score: figure(value, n=21165) for score, value in scores.items()}
    of_each = {f"{score}/{c}": figure(scores[score], n=7) for c in classes for score in scores}
    write_json(folder / "segmentation" / "metrics.json", of_all | of_each)
    views = {f"auroc_{view}": figure(0.5123) for view in ("whole", "lungs_removed", "border")}
    write_json(folder / "shortcuts" / "metrics.json", views)
    verdict = {"shortcut": True, "views": [], "text": f"A shortcut: {name}"}
    write_json(folder / "shortcuts" / "verdict.json", verdict | {"p_values": {"border": 4.2e-06}})
    of_infection = {score: figure(value, n=28) for score, value in INFECTION.items()}
    of_each = {f"{score}/{c}": figure(0.812, n=7) for c in classes for score in ("dice", "iou")}
    write_json(folder / "infection" / "metrics.json", of_infection | of_each)
    write_json(folder / "provenance.json", make_provenance(name))
    for picture in ("01_counts", "03_curves", "05_worst", "99_new_thing", "loose"):
        write_image(folder / "figures" / f"{picture}.png", np.full((20, 30, 3), 200, np.uint8))
    return folder


def make_notebook(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
    return path


def text_cell(text):
    return nbformat.v4.new_markdown_cell(text)


def code_cell(*outputs):
    return nbformat.v4.new_code_cell("1 + 1", outputs=list(outputs), execution_count=1)


def shown_html(html):
    return nbformat.v4.new_output("execute_result", {"text/html": html}, execution_count=1)


def read_page(path):
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def run(runs):
    return make_finished(runs / "a")


@pytest.fixture
def full_run(run):
    external = {"auroc": figure(0.712), "auroc_drop": figure(0.276), "dice": figure(0.871)}
    write_json(run / "external" / "metrics.json", external)
    return run


def find(run, file, key):
    """Return what a file of the run holds at a JSON pointer, found without the report's code."""
    keys = [part.replace("~1", "/").replace("~0", "~") for part in key.split("/")[1:]]
    if file == "split.csv":
        with (run / file).open(newline="") as opened:
            rows = list(csv.DictReader(opened))
        if keys == ["divided"]:
            splits = {row["group"]: set() for row in rows if row["group"]}
            for row in rows:
                splits.get(row["group"], set()).add(row["split"])
            return sum(len(found) > 1 for found in splits.values())
        if keys[0] == "classes":
            rows = [row for row in rows if row["class"] == keys[1]]
        return sum(keys[-1] in ("all", row["split"]) for row in rows)
    found = json.loads((run / file).read_text())
    for key in keys:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def agrees(text, value):
    """Return whether a text shows a value, rounded to the decimals that it has."""
    if isinstance(value, list):
        return text == ", ".join(map(str, value))
    if isinstance(value, bool) or value is None:
        return text == str(value)
    if ":" in text:
        hours, minutes, seconds = map(int, text.split(":"))
        return 3600 * hours + 60 * minutes + seconds == round(value)
    decimals = 9 if "e" in text else len(text.partition(".")[2])
    return abs(float(text.replace(",", "").replace("−", "-")) - value) <= 0.5000001 * 10**-decimals


def test_every_number_is_the_one_in_its_file(full_run):
    page = read_page(write_report(full_run))
    marked = [element for element in page.elements if "data-file" in element["attributes"]]
    for element in marked:
        place = element["attributes"]["data-file"], element["attributes"]["data-key"]
        value, text = find(full_run, *place), element["text"]
        if element["tag"] == "span":
            moment = re.fullmatch(r"(\S+) (\S+) UTC", text)
            assert text == value or (moment and value.startswith("T".join(moment.groups()))), place
        else:
            assert element["attributes"]["value"] == str(value), place
            assert agrees(text, value), place
    files = {element["attributes"]["data-file"] for element in marked}
    parts = ("detection", "segmentation", "shortcuts", "infection", "external")
    assert files == {
        *("audit.json", "split.csv", "provenance.json", "shortcuts/verdict.json"),
        *(f"{part}/metrics.json" for part in parts),
    }
    assert len(marked) > 100


def test_no_number_stands_in_the_report_without_its_file(full_run):
    page = read_page(write_report(full_run))
    for text, elements in page.loose:
        allowed = any(
            element["tag"] in ("style", "a", "summary", "title", "figcaption")
            or {"data-file", "data-published"} & set(element["attributes"])
            for element in elements
        )
        rest = re.sub(r"COVID-19|95 %|F1|0[1-8]_[a-z_]+", "", text)
        assert allowed or not re.search(r"\d", rest), text


def test_a_notebook_that_ran_elsewhere_names_its_own_machine(run):
    content = json.loads((run / "provenance.json").read_text())
    first = content["notebooks"]["03_detect_covid"]
    second = first | {"environment": first["environment"] | {"machine": "another one"}}
    content["notebooks"] |= {"04_segment_lungs": first, "05_evaluate": second}
    write_json(run / "provenance.json", content)
    page = read_page(write_report(run))
    titles = [e["text"] for e in page.all("h3") if e["text"].startswith("Software")]
    assert titles == ["Software and hardware", "Software and hardware, from 05_evaluate on"]
    assert "another one" in [e["text"] for e in page.all("dd")]


def test_groups_that_a_published_split_divides_are_counted(run):
    assert "are all in one split" in write_report(run).read_text()
    text = (run / "split.csv").read_text()
    for row, group in {"0": "p", "1": "p", "2": "p", "3": "q", "4": "q"}.items():
        text = re.sub(f"^{row},([^,]+),,", rf"{row},\1,{group},", text, flags=re.MULTILINE)
    (run / "split.csv").write_text(text)
    page = read_page(write_report(run))
    (found,) = [e for e in page.elements if e["attributes"].get("data-key") == "/divided"]
    assert found["text"] == "2" == str(find(run, "split.csv", "/divided"))
    assert "are all in one split" not in (run / "report.html").read_text()


def test_a_frame_holds_the_whole_report_and_runs_nothing_of_it(run):
    text = write_report(run).read_text()
    (frame,) = [e for e in Page(frame_report(run)).elements if e["tag"] == "iframe"]
    assert frame["attributes"]["srcdoc"].replace('<base href="about:srcdoc">', "") == text
    assert "sandbox" in frame["attributes"]
    assert frame["text"] == ""


def test_equal_runs_give_equal_reports(run, tmp_path):
    again = make_finished(tmp_path / "again")
    assert write_report(run).read_bytes() == write_report(again).read_bytes()


def test_accuracy_stands_beside_that_of_predicting_the_larger_class(run):
    card = next(e for e in read_page(write_report(run)).all("div") if "accuracy" in e["text"])
    assert re.search(r"0\.951\s+accuracy.*larger class:\s+0\.600", card["text"], re.S)


def test_the_infection_stands_beside_the_constant_answer(run):
    page = read_page(write_report(run))
    (card,) = [
        element["text"]
        for element in page.all("div")
        if element["attributes"].get("class") == "card" and "Infection masks" in element["text"]
    ]
    assert re.search(r"0\.796\s+Dice", card)
    assert re.search(r"Always giving the same answer:\s+0\.457", card)
    assert re.search(r"limits of agreement:\s+−0\.206.*\sto\s+0\.185", card, re.S)
    tables = [element["text"] for element in page.all("table")]
    (severity,) = [text for text in tables if "Infected share of the lungs, pred" in text]
    assert "−0.206" in severity and "0.796" not in severity


@pytest.mark.parametrize(("shortcut", "said"), [(False, True), (True, False)])
def test_a_quiet_verdict_s_card_says_what_would_have_gone_unseen(run, shortcut, said):
    path = run / "shortcuts" / "verdict.json"
    verdict = json.loads(path.read_text()) | {"shortcut": shortcut, "smallest_seen": 0.7412}
    write_json(path, verdict)
    text = write_report(run).read_text()
    (card,) = [
        element["text"]
        for element in Page(text).all("div")
        if element["attributes"].get("class") == "card" and "Shortcuts" in element["text"]
    ]
    found = re.search(r"An AUROC below\s+0\.74\s+would have gone unseen", card)
    assert bool(found) == said


def test_an_external_test_stands_beside_the_own_scores_with_the_drop(full_run):
    page = read_page(write_report(full_run))
    (row,) = [element["text"] for element in page.all("tr") if "0.276" in element["text"]]
    assert row.startswith("AUROC")
    assert re.findall(r"0\.\d{3}", row)[::3] == ["0.988", "0.712", "0.276"]
    shutil.rmtree(full_run / "external")
    text = write_report(full_run).read_text()
    assert "External validation" not in text
    assert "same sources that were trained on" in text


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("detection", "03_detect_covid, which needs X-rays of COVID and of another class."),
        ("segmentation", "05_evaluate, which needs lung masks."),
        ("shortcuts", "06_audit_shortcuts, which needs X-rays of COVID and of another class."),
        ("infection", "08_segment_infection, which needs infection masks."),
    ],
)
def test_a_missing_part_names_its_notebook_and_what_that_needs(run, part, said):
    shutil.rmtree(run / part)
    assert write_report(run).read_text().count(f"Not there: run notebook {said}") == 2


def add_package(run, seen, **metrics):
    """Write what 05 found of the lung network of the package beside the run's metrics."""
    path = run / "segmentation" / "metrics.json"
    counted = {"package_seen": figure(seen, None)}
    write_json(path, json.loads(path.read_text()) | counted | metrics)


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_package_s_network_stands_beside_the_run_s_in_a_table_of_its_own(run, synthetic):
    values = {"": 0.9718, "_run": 0.9672, "_gain": 0.0046}
    found = {f"package_dice{end}": figure(value, n=36) for end, value in values.items()}
    add_package(run, 4.0, **found)
    audit = json.loads((run / "audit.json").read_text())
    write_json(run / "audit.json", audit | {"data": audit["data"] | {"synthetic": synthetic}})
    page = read_page(write_report(run))
    own, both = (
        next(table["text"] for table in page.all("table") if title in table["text"])
        for title in ("averaged over the X-rays", "Both networks on the same X-rays")
    )
    assert "package" not in own
    rows = [row["text"].split("0.")[0] for row in page.all("tr") if "package" in row["text"]]
    assert rows == [
        "Dice coefficient, lung network of the package",
        "Dice coefficient, gain of the package's network",
    ]
    assert re.findall(r"0\.9\d\d(?=0\.9)|36", both) == ["0.972", "36", "0.967", "36", "36"]
    (text,) = [found["text"] for found in page.all("p") if "left out" in found["text"]]
    assert "4 of 40 test X-rays are left out" in " ".join(text.split())
    assert ("the same program drew" in text) == synthetic
    assert "None is left" not in text
    assert not re.search(r"\.\S", text), "sentences run into one another"


def test_a_package_s_network_that_has_seen_every_xray_is_not_scored(run):
    assert "lung network of the package" not in write_report(run).read_text()
    add_package(run, 40.0)
    text = " ".join(read_page(write_report(run)).elements[0]["text"].split())
    assert "40 of 40 test X-rays are left out" in text
    assert "None is left to compare on." in text
    assert "Both networks" not in text


def test_the_shortcuts_say_who_drew_the_lung_masks(run):
    assert "Lung masks: " not in write_report(run).read_text()
    path = run / "shortcuts" / "verdict.json"
    write_json(path, json.loads(path.read_text()) | {"masks": DRAWN})
    (said,) = [e["text"] for e in read_page(write_report(run)).all("p") if "masks:" in e["text"]]
    assert said == "Lung masks: drawn by the lung network of the package."


def test_a_run_that_has_only_begun_has_a_report(runs):
    run = make_finished(runs / "a")
    for path in run.iterdir():
        if path.name != "audit.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = write_report(run).read_text()
    assert "run notebook 02_split_data" in text
    assert "Not recorded" in text


def test_an_empty_run_has_none(runs):
    (runs / "a").mkdir(parents=True)
    with refused("runs/a/audit.json", "not found", "run 01_get_data first"):
        write_report(runs / "a")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *product(["audit.json"], (b"", b"{", b"[1]")),
        ("detection/metrics.json", b"{"),
        *product(["split.csv"], (b"", b"a,b\n1,2\n", b"class,group,split\n", b"\xff\xfe\x00")),
    ],
)
def test_a_damaged_file_is_named(run, file, content):
    (run / file).write_bytes(content)
    with refused(f"runs/a/{file}", "damaged", "remove it"):
        write_report(run)


def test_only_synthetic_xrays_are_called_so(run):
    assert "synthetic X-rays</span>" not in write_report(run).read_text()
    audit = json.loads((run / "audit.json").read_text())
    audit["data"]["synthetic"] = True
    write_json(run / "audit.json", audit)
    text = write_report(run).read_text()
    assert "synthetic X-rays</span></h1>" in text
    assert "(synthetic X-rays): report</title>" in text


def test_the_page_needs_nothing_from_elsewhere(run):
    page = read_page(write_report(run))
    assert page.all("script") == []
    for element in page.elements:
        for name in ("src", "srcset", "poster", "data", "action"):
            assert element["attributes"].get(name, "data:").startswith("data:")
        if element["tag"] != "a":
            assert element["attributes"].get("href", "data:").startswith("data:")
    assert "url(" not in write_report(run).read_text()
    policy = next(e["attributes"]["content"] for e in page.all("meta") if len(e["attributes"]) == 2)
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_readers_who_cannot_see_it_are_told(run):
    page = read_page(write_report(run))
    assert page.all("html")[0]["attributes"]["lang"] == "en"
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert len(page.all(landmark)) == 1, landmark
    assert len(page.all("img")) == 5
    assert all(len(image["attributes"]["alt"]) > 15 for image in page.all("img"))
    assert all(head["attributes"]["scope"] in ("row", "col") for head in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    titles = {element["attributes"].get("id") for element in page.elements}
    for section in page.all("section"):
        assert section["attributes"]["aria-labelledby"] in titles
    for link in page.all("a"):
        assert link["attributes"]["href"].removeprefix("#") in titles


def test_every_figure_of_the_demo_has_a_caption():
    assert all(caption(name)["title"] and caption(name)["alternative"] for name in CAPTIONS)
    assert caption("07_new_one")["alternative"] == "Picture of this run: new one"


def test_every_figure_that_a_notebook_saves_has_a_caption_or_is_a_lesson():
    texts = "".join(path.read_text(encoding="utf-8") for path in find_notebooks([], None))
    saved = set(re.findall(r'plots\.finish\(figure, run_folder, \\"(\w+)\\"', texts))
    assert len(saved) > 20
    assert saved <= {*CAPTIONS, *LESSONS}


def test_figures_stand_in_their_order_and_lessons_are_left_out(run):
    for name in ("03_filters", "03_detection", "03_another"):
        shutil.copy(run / "figures" / "03_curves.png", run / "figures" / f"{name}.png")
    (run / "figures" / "01_broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    (run / "figures" / "01_text.png").write_text("<script>")
    titles = [element["text"] for element in read_page(write_report(run)).all("figcaption")]
    shown = ("01_counts", "03_detection", "03_curves", "03_another", "05_worst", "99_new_thing")
    assert titles == [*(caption(name)["title"] for name in shown), "loose"]


@pytest.mark.parametrize("target", ["lungs", "infection"])
def test_a_run_stands_above_the_published_scores(target):
    scores = {"iou": Estimate(0.91234, 57, 0.9, 0.92), "dice": Estimate(0.95, 57)}
    table = published_html("drawn", scores, target)
    header, ours, *others = re.findall("<tr.*?</tr>", table, re.DOTALL)
    assert re.findall(">([^<\n]+)<", header)[:2] == ["work", "X-rays"]
    ours = re.findall(">([^<\n]+)<", ours)
    assert ours == ["this run", "57, drawn", "0.912", "0.950", "one split, one seed"]
    assert len(others) == len(PUBLISHED[target])
    for row, other in zip(others, PUBLISHED[target], strict=True):
        assert all(text in row for text in other.values())


def test_large_pictures_are_kept_as_jpeg(run):
    noise = np.random.default_rng(0).integers(100, 140, (400, 400, 3), dtype=np.uint8)
    size = write_image(run / "figures" / "01_xrays.png", noise).stat().st_size
    small, large = read_page(write_report(run)).all("img")[:2]
    assert small["attributes"]["src"].startswith("data:image/png;base64,")
    assert large["attributes"]["src"].startswith("data:image/jpeg;base64,")
    assert len(large["attributes"]["src"]) < size


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(HOSTILE)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
)
def test_every_name_is_shown_as_text(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("named")
    page = read_page(write_report(make_finished(folder / "a", [f"{name}1", "COVID"], name)))
    plain = read_page(write_report(make_finished(folder / "b", ["a", "COVID"], "x")))
    assert page.structure == plain.structure
    assert page.all("h1")[0]["text"].strip() == name.strip()
    assert any(head["text"] == f"{name}1" for head in page.all("th"))


@pytest.mark.parametrize("name", ["01_<img src=x onerror=alert(1)>", '" onload="alert(1)', "'&lt;"])
def test_hostile_file_names_are_shown_as_text(run, name):
    make_notebook(run / "notebooks" / f"{name}.ipynb", text_cell("a"))
    shutil.copy(run / "figures" / "loose.png", run / "figures" / f"{name}.png")
    page = read_page(write_report(run))
    assert (name.partition("_")[2] or name) in [e["text"] for e in page.all("figcaption")]
    attributes = {key for element in page.elements for key in element["attributes"]}
    assert not [key for key in attributes if key.startswith("on")]
    (link,) = {e["attributes"]["href"] for e in page.all("a") if e["attributes"]["href"][0] != "#"}
    assert (run / unquote(link)).is_file()


def test_a_page_of_a_notebook_holds_its_texts_outputs_and_links(run):
    dot = "iVBORw0KGgo="
    picture = nbformat.v4.new_output("display_data", {"image/png": dot})
    table = "<style scoped>.a {}</style><table><tr><td style='x'>1</td></tr></table>"
    make_notebook(
        run / "notebooks" / "01_a.ipynb",
        text_cell("# 01 · A\n\n[![Open in Colab](https://x.org/badge.svg)](https://x.org/a)"),
        text_cell("## Copies\n\nas $-\\log p$, in [02](02_b.ipynb#end), [a](solutions/01_a.ipynb)"),
        code_cell(picture, shown_html(table), nbformat.v4.new_output("stream", text="said <b>")),
    )
    page = read_page_of(run, "01_a")
    assert page.all("title")[0]["text"] == "01 a"
    assert [link["attributes"]["href"] for link in page.all("a")][:2] == [
        "../report.html",
        "https://x.org/a",
    ]
    assert "02_b.html#end" in [link["attributes"]["href"] for link in page.all("a")]
    (image,) = page.all("img")
    assert image["attributes"]["src"] == f"data:image/png;base64,{dot}"
    assert "Copies" in image["attributes"]["alt"]
    text = page.all("main")[0]["text"]
    assert "said <b>" in text
    assert "as −log p, in 02, a" in text
    assert "solutions" not in "".join(link["attributes"]["href"] for link in page.all("a"))
    assert ".a {}" not in text
    assert page.all("td")[0]["text"] == "1"
    assert [element["text"] for element in page.all("h2")] == ["Copies"]
    assert "<" not in text.replace("said <b>", ""), "what the page may hold is no text"


def read_page_of(run, name):
    write_report(run)
    return read_page(run / "notebooks" / f"{name}.html")


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<img src='https://x.org/a.png' onerror='alert(1)'>",
        "<a href='javascript:alert(1)'>a</a>",
        "<iframe src='https://x.org'></iframe>",
        "<link rel='stylesheet' href='https://x.org/a.css'><svg onload='alert(1)'></svg>",
        "<p onclick='alert(1)' style='background: url(https://x.org)'>a</p>",
        "</main><form action='https://x.org'><input></form>",
    ],
)
def test_hostile_outputs_and_texts_of_a_notebook_are_harmless(run, html):
    javascript = nbformat.v4.new_output("display_data", {"application/javascript": "alert(1)"})
    make_notebook(
        run / "notebooks" / "01_a.ipynb",
        text_cell(f"# {html}\n\n{html}"),
        code_cell(shown_html(html), javascript, nbformat.v4.new_output("stream", text=html)),
    )
    page = read_page_of(run, "01_a")
    tags = {element["tag"] for element in page.elements[10:]}
    assert not tags & {"script", "iframe", "svg", "form", "input", "link", "img", "object"}
    for element in page.elements[10:]:
        assert not [name for name in element["attributes"] if name.startswith("on")]
        assert "style" not in element["attributes"]
        assert "javascript" not in element["attributes"].get("href", "")


def test_the_size_that_a_picture_claims_to_have_cannot_run_anything(run):
    size = {"image/png": {"width": "1 onload=alert(1)"}}
    picture = nbformat.v4.new_output("display_data", {"image/png": "aGk="}, metadata=size)
    make_notebook(run / "notebooks" / "01_a.ipynb", code_cell(picture))
    (image,) = read_page_of(run, "01_a").all("img")
    assert "onload" not in image["attributes"]


@pytest.mark.parametrize("text", ["", '{"nbformat": 4, "cells": 3}'])
def test_a_damaged_notebook_is_named(run, text):
    (run / "notebooks").mkdir()
    (run / "notebooks" / "01_a.ipynb").write_text(text)
    with refused("runs/a/notebooks/01_a.ipynb", "no notebook that can be read", "remove it"):
        write_report(run)


@pytest.mark.parametrize(
    ("value", "text"), [(1234, "1,234"), (0.12345, "0.123"), ("a", "a"), (True, "True")]
)
def test_numbers_are_shown_for_people(value, text):
    assert number(value) == text


def test_a_place_in_a_file_is_a_json_pointer():
    assert pointer(["dice/a~b", 0, "value"]) == "/dice~1a~0b/0/value"
