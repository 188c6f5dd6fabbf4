import json

import pytest
from builders import make_run, refused

from helpers.results import describe_run, headline_table, read_metrics, write_metrics

DETECTION = {"accuracy": (0.91234567, 40), "majority_accuracy": (0.6, 40), "auroc": (0.95, 40)}
SEGMENTATION = {"iou": (0.9, 40), "dice": (0.95, 40), "dice_loss": (0.06, 40)}


@pytest.fixture
def run(data_set, runs):
    """A run folder with index and split."""
    make_run(runs / "a", data_set)
    for part in ("detection", "segmentation"):
        (runs / "a" / part).mkdir()
    return runs / "a"


def test_the_file_s_format(run):
    path = write_metrics(run / "detection", {"accuracy": (2 / 3, 3)})
    assert path == run / "detection" / "metrics.json"
    assert path.read_bytes() == (
        b'{\n  "accuracy": {\n    "value": 0.666667,\n    "low": null,\n    "high": null,\n'
        b'    "n": 3\n  }\n}\n'
    )


def test_written_figures_are_read_back_to_six_digits(run):
    write_metrics(run / "detection", DETECTION)
    found = read_metrics(run / "detection")
    assert found["accuracy"] == {"value": 0.912346, "low": None, "high": None, "n": 40}
    assert list(found) == list(DETECTION)


@pytest.mark.parametrize(
    ("part", "notebook"), [("detection", "03_detect_covid"), ("segmentation", "05_evaluate")]
)
def test_missing_figures_name_their_notebook(run, part, notebook):
    with refused(f"runs/a/{part}/metrics.json", "not found", f"run {notebook} first"):
        read_metrics(run / part)


def test_the_headlines_of_a_whole_run(run):
    write_metrics(run / "detection", DETECTION)
    write_metrics(run / "segmentation", SEGMENTATION)
    table = headline_table(run)
    assert table.to_dict("index") == {
        "COVID accuracy": {"test split": "0.912", "X-rays": 40},
        "(always naming the larger class)": {"test split": "0.600", "X-rays": 40},
        "IoU": {"test split": "0.900", "X-rays": 40},
        "Dice coefficient": {"test split": "0.950", "X-rays": 40},
        "Dice loss": {"test split": "0.060", "X-rays": 40},
    }


def test_a_run_without_detection_has_the_headlines_of_segmentation(run):
    write_metrics(run / "segmentation", SEGMENTATION)
    assert list(headline_table(run).index) == ["IoU", "Dice coefficient", "Dice loss"]


def test_a_run_is_described_by_its_figures_and_files(run):
    write_metrics(run / "segmentation", SEGMENTATION)
    text = describe_run(run)
    assert "data tiny" in text
    assert "Dice coefficient      0.950      40" in text
    made = text.partition("Made:\n")[2].split()[:4]
    files = ["index.csv", "audit.json", "split.csv", "segmentation/metrics.json"]
    assert made == [f"{run.as_posix()}/{file}" for file in files]
    assert "Not a medical device." in text


def test_a_run_of_synthetic_xrays_says_so(run):
    audit = json.loads((run / "audit.json").read_text())
    audit["data"]["synthetic"] = True
    (run / "audit.json").write_text(json.dumps(audit))
    text = describe_run(run)
    assert text.startswith("\nsynthetic X-rays\nno figures yet\n")


def test_an_empty_run_is_not_described(runs):
    with refused("runs/a/audit.json", "not found", "run 01_get_data first"):
        describe_run(runs / "a")
