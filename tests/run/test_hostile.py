"""One data set with everything in it that might do harm, through the whole chain and its report."""

import csv
import io
import zipfile

import openpyxl
import pytest

from helpers.run.command import main
from helpers.storage.folders import runs_root
from tests.report.test_report import read_page
from tests.support.builders import lung_mask, write_image, xray

MARKUP = "<img src=x onerror=alert(1)>"
QUOTES = "\" onload='alert(1)' `$(touch harm)` {{ 7 * 7 }}"
FORMULA = "=cmd|'calc'!A0"
TEXTS = (MARKUP, QUOTES, FORMULA, "..")
QUICK = ["-p", "epochs", "1", "-p", "image_size", "128"]
CHOSEN = ["--only", "01", "--only", "02", "--only", "03"]  # those that show names and metadata


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive of such names and metadata, an archive with an escaping path within it."""
    folder = tmp_path_factory.mktemp("hostile")
    for place, class_name in enumerate(["COVID", MARKUP]):
        for number in range(20):
            stem = f"{class_name}{TEXTS[number % 4]}{number}"
            seed = 20 * place + number
            write_image(folder / "set" / class_name / "images" / f"{stem}.png", xray(seed))
            write_image(folder / "set" / class_name / "masks" / f"{stem}.png", lung_mask(seed))
    book = openpyxl.Workbook()
    book.active.append(("FILE NAME", "FORMAT", "SIZE", "URL"))
    book.active.append((f"COVID{MARKUP}0", "PNG", FORMULA, f"https://{MARKUP}/../../{QUOTES}"))
    book.save(folder / "set" / "COVID.metadata.xlsx")
    with (folder / "set" / f"{MARKUP}.metadata.csv").open("w", newline="") as file:
        rows = [(f"{MARKUP}{QUOTES}1", "../../x"), ("../../../etc/passwd", QUOTES)]
        csv.writer(file).writerows([("FILE NAME", "source"), *rows])
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as within:
        within.writestr("../../harm.txt", "harm")
    (folder / "set" / "COVID" / "images" / "within.zip").write_bytes(inner.getvalue())
    path = folder / "hostile.zip"
    with zipfile.ZipFile(path, "w") as whole:
        for file in sorted((folder / "set").rglob("*")):
            whole.write(file, file.relative_to(folder))
    return path


def test_a_data_set_full_of_malice_is_run_and_shown_as_text(archive, cache):
    outside = {path for path in archive.parent.rglob("*")}
    assert main(["run", "--data", str(archive), "--run", "hostile", *QUICK, *CHOSEN]) == 0
    run = runs_root() / "hostile"
    page = read_page(run / "report.html")
    attributes = {name for element in page.elements for name in element["attributes"]}
    assert not [name for name in attributes if name.startswith("on")]
    assert not page.all("script")
    assert MARKUP in [head["text"] for head in page.all("th")]
    for notebook in run.glob("notebooks/*.html"):
        shown = read_page(notebook)
        assert not [tag for tag in ("script", "svg", "iframe") if shown.all(tag)], notebook.name
        assert all("onerror" not in image["attributes"] for image in shown.all("img"))
    assert {path for path in archive.parent.rglob("*")} == outside
    everywhere = [*cache.rglob("*"), *runs_root().rglob("*"), *cache.parent.iterdir()]
    assert not [path for path in everywhere if path.name.startswith("harm")]
