import json
import re

import pytest

from helpers.evaluate.intervals import Estimate
from helpers.evaluate.metrics_file import describe_run, headline_table, read_metrics, write_metrics
from tests.support.builders import make_run, refused

DETECTION = {
    "accuracy": Estimate(0.91234567, 40),
    "majority_accuracy": Estimate(0.6, 40),
    "auroc": Estimate(0.95, 40),
}
SEGMENTATION = {
    "iou": Estimate(0.9, 40, 0.8765, 0.91),
    "dice": Estimate(0.95, 40),
    "dice_loss": Estimate(0.06, 40),
    "hausdorff_95": Estimate(None, 0),
}


@pytest.fixture
def run(data_set, runs):
    """A run folder with index and split."""
    make_run(runs / "a", data_set)
    for part in ("detection", "segmentation"):
        (runs / "a" / part).mkdir()
    return runs / "a"


def test_the_file_s_format(run):
    path = write_metrics(run / "detection", {"accuracy": Estimate(2 / 3, 3)})
    assert path == run / "detection" / "metrics.json"
    assert path.read_bytes() == (
        b'{\n  "accuracy": {\n    "value": 0.666667,\n    "low": null,\n    "high": null,\n'
        b'    "n": 3\n  }\n}\n'
    )


def test_written_metrics_are_read_back(run):
    write_metrics(run / "segmentation", SEGMENTATION)
    found = read_metrics(run / "segmentation")
    assert found["iou"] == {"value": 0.9, "low": 0.8765, "high": 0.91, "n": 40}
    assert found["hausdorff_95"] == {"value": None, "low": None, "high": None, "n": 0}


def test_missing_metrics_name_their_notebook(run):
    with refused("runs/a/segmentation/metrics.json", "not found", "run 05_evaluate first"):
        read_metrics(run / "segmentation")


def test_the_headlines_of_a_whole_run(run):
    write_metrics(run / "detection", DETECTION)
    write_metrics(run / "segmentation", SEGMENTATION)
    table = headline_table(run)
    assert list(table.columns) == ["test split", "95 % interval", "X-rays"]
    assert {name: row.to_list() for name, row in table.iterrows()} == {
        "COVID accuracy": ["0.912", "-", 40],
        "(always predicting the larger class)": ["0.600", "-", 40],
        "IoU": ["0.900", "0.876 to 0.910", 40],
        "Dice coefficient": ["0.950", "-", 40],
        "Dice loss": ["0.060", "-", 40],
    }


def test_a_run_is_described_by_its_figures_and_files(run):
    write_metrics(run / "segmentation", SEGMENTATION)
    text = describe_run(run)
    assert "data tiny" in text
    assert re.search(r"Dice coefficient +0.950 +- +40\n", text)
    made = text.partition("Made:\n")[2].split()[:4]
    files = ["index.csv", "audit.json", "split.csv", "segmentation/metrics.json"]
    assert made == [f"{run.as_posix()}/{file}" for file in files]
    assert text.endswith(f"{files[-1]}\n\nNot a medical device.")
    (run / "report.html").write_text("")
    *_, report, last = describe_run(run).splitlines()
    assert report == f"To see all of it, open {run.as_posix()}/report.html in a browser."
    assert last == "Not a medical device."


def test_a_run_of_synthetic_xrays_says_so(run):
    audit = json.loads((run / "audit.json").read_text())
    audit["data"]["synthetic"] = True
    (run / "audit.json").write_text(json.dumps(audit))
    text = describe_run(run)
    assert text.startswith("\nsynthetic X-rays\nno metrics yet\n")
