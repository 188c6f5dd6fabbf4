"""The whole chain, small: what a run leaves, that equal runs are equal, and real X-rays."""

import json
import random
import re
import shutil
import time

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from helpers.data.sources import find_data
from helpers.evaluate import infection
from helpers.evaluate.lung_masks import DRAWN, OWN
from helpers.evaluate.metrics_file import describe_run
from helpers.evaluate.segmentation import SCORES
from helpers.evaluate.views import VIEWS
from helpers.run.chain import Request, run_chain
from helpers.run.command import main
from helpers.split.index import read_index
from helpers.split.splits import assign_splits, read_split
from helpers.storage.folders import runs_root
from helpers.storage.layout import LOCK, STEPS, list_files, list_results
from tests.benchmarks.campaign_kills import Moment, find_unequal, run_disturbed


def test_run_leaves_every_file_of_the_contract(quick_run):
    for pattern in list_results():
        external = pattern.startswith("external/")  # none was named
        assert bool(list(quick_run.glob(pattern))) != external, pattern
    executed = sorted(path.stem[:2] for path in quick_run.glob("notebooks/*.ipynb"))
    assert executed == ["01", "02", "03", "04", "05", "06", "08"]


def test_a_run_leaves_no_file_that_the_layout_does_not_name(quick_run):
    left = {path for path in quick_run.rglob("*") if path.is_file() and path.name != LOCK}
    for step in STEPS:
        for pattern in list_files(step):
            left -= set(quick_run.glob(pattern))
    assert left == set()


def test_tables_have_the_columns_of_the_contract(quick_run):
    columns = {
        "split.csv": ["file", "class", "group", "split", "hash"],
        "detection/predictions.csv": ["file", "class", "split", "label", "probability"],
        "segmentation/scores.csv": ["file", "class", *SCORES],
        "infection/scores.csv": ["file", "class", *infection.SCORES],
        "infection/severity.csv": ["file", "class", *infection.SEVERITY],
    }
    for name, expected in columns.items():
        assert list(pd.read_csv(quick_run / name).columns) == expected


def test_metrics_are_those_of_the_tables(quick_run):
    scores = pd.read_csv(quick_run / "segmentation" / "scores.csv")
    metrics = json.loads((quick_run / "segmentation" / "metrics.json").read_text())
    for name in ("iou", "dice", "dice_loss"):
        assert metrics[name]["value"] == pytest.approx(scores[name].mean(), abs=1e-6)
        assert metrics[name]["n"] == len(scores)
    seen, of = metrics["package_seen"]["value"], metrics["package_seen"]["n"]
    assert of == len(scores)
    assert ("package_dice" in metrics) == (seen < of)
    predictions = pd.read_csv(quick_run / "detection" / "predictions.csv")
    test = predictions[predictions["split"] == "test"]
    right = (test["probability"] > 0.5) == (test["label"] == 1)
    metrics = json.loads((quick_run / "detection" / "metrics.json").read_text())
    assert metrics["accuracy"]["value"] == pytest.approx(right.mean(), abs=1e-6)


def test_the_verdict_is_that_of_the_views(quick_run):
    predictions = pd.read_csv(quick_run / "shortcuts" / "predictions.csv")
    metrics = json.loads((quick_run / "shortcuts" / "metrics.json").read_text())
    test = predictions[predictions["split"] == "test"]
    assert list(metrics) == [f"auroc_{name}" for name in VIEWS]
    for name in VIEWS:
        area = roc_auc_score(test["label"], test[name])
        assert metrics[f"auroc_{name}"]["value"] == pytest.approx(area, abs=1e-6)
    verdict = json.loads((quick_run / "shortcuts" / "verdict.json").read_text())
    assert verdict["masks"] == OWN
    assert verdict["shortcut"] == bool(verdict["views"])
    assert set(verdict["views"]) <= set(verdict["p_values"]) < set(VIEWS)
    assert verdict["text"].startswith("A shortcut" if verdict["shortcut"] else "No sign")


@pytest.mark.parametrize("part", ["segmentation", "infection"])
def test_scores_are_of_the_test_split_only(quick_run, part):
    split = pd.read_csv(quick_run / "split.csv")
    scores = pd.read_csv(quick_run / part / "scores.csv")
    assert set(scores["file"]) == set(split.loc[split["split"] == "test", "file"])


def test_the_published_split_is_the_one_that_is_kept(quick_run):
    split = pd.read_csv(quick_run / "split.csv")
    places = {"Train": "train", "Val": "validation", "Test": "test"}
    assert list(split["split"]) == [places[file.split("/")[0]] for file in split["file"]]
    assert (pd.crosstab(split["class"], split["split"]) == 10).all(axis=None)


def test_healthy_xrays_have_no_part_in_the_dice_of_infection(quick_run):
    scores = pd.read_csv(quick_run / "infection" / "scores.csv")
    metrics = json.loads((quick_run / "infection" / "metrics.json").read_text())
    ill, healthy = scores[scores["infected"]], scores[~scores["infected"]]
    assert set(ill["class"]) == {"COVID"}
    assert set(healthy["class"]) == {"Non-COVID", "Normal"}
    assert metrics["dice"]["value"] == pytest.approx(ill["dice"].mean(), abs=1e-6)
    assert metrics["dice"]["n"] == metrics["sensitivity"]["n"] == len(ill)
    assert metrics["specificity"]["n"] == metrics["invented_share"]["n"] == len(healthy)
    assert metrics["map_dice"]["value"] > 0.1, "the same answer for all overlaps with some"


def test_a_run_killed_again_and_again_gives_equal_files(quick_run, quick):
    killed = runs_root() / "killed"
    names = ("03_detect_covid", "04_segment_lungs", "06_audit_shortcuts", "08_segment_infection")
    moments = [Moment(name, random.uniform(0, 8)) for name in names]
    assert run_disturbed(killed, quick[1:], moments)
    assert find_unequal(quick_run, killed) == []


def test_a_second_run_runs_nothing_and_ends_with_the_same_figures(quick_run, quick, capsys):
    files = [path for path in quick_run.rglob("*") if path.name != LOCK]
    before = {path: path.stat().st_mtime_ns for path in files}
    begun = time.monotonic()
    assert main([*quick, "--run", "quick"]) == 0
    assert time.monotonic() - begun < 5
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert {*quick_run.rglob("*")} == {*files, quick_run / LOCK}
    steps, figures = capsys.readouterr().out.split("\n\n", 1)
    assert [line.split(": ")[1] for line in steps.splitlines()] == [
        "up to date, not run again (--force runs it anyway)"
    ] * 7
    assert "\n" + figures == describe_run(quick_run) + "\n"


def test_without_masks_the_lungs_are_those_that_the_package_draws(tmp_path, capsys):
    for name in ("COVID", "Normal"):
        (tmp_path / "maskless" / name).mkdir(parents=True)
        for path in sorted(find_data("demo").root.glob(f"{name}/images/*.png"))[:30]:
            shutil.copy(path, tmp_path / "maskless" / name)
    given = {"epochs": "1", "image_size": "64"}  # too few for the network of 08
    folder = run_chain(Request(data=str(tmp_path / "maskless"), given=given))
    lines = capsys.readouterr().out.splitlines()
    skipped = [line.split(":")[0] for line in lines if "skipped" in line]
    assert skipped == ["04_segment_lungs", "05_evaluate", "08_segment_infection"]
    verdict = json.loads((folder / "shortcuts" / "verdict.json").read_text())
    assert verdict["masks"] == DRAWN
    for number in ("03", "06"):
        (notebook,) = folder.glob(f"notebooks/{number}_*.ipynb")
        assert f"Lung masks: {DRAWN}" in notebook.read_text()
    (notebook,) = folder.glob("notebooks/03_*.ipynb")
    share = r"HiResCAM puts (\d+)% of its heat in the lungs, which fill (\d+)% of"
    heat, lungs = map(int, re.search(share, notebook.read_text()).groups())
    assert 0 < heat <= 100
    assert 15 < lungs < 35, "those of the demo fill a quarter"
    assert "Lung masks: <span" in (folder / "report.html").read_text()
    assert not (folder / "segmentation" / "metrics.json").exists(), "no true mask, no score"


def test_the_seed_decides_the_split_of_the_demo():
    assert main(["run", "--run", "seeded", "--only", "01", "--only", "02", "-p", "seed", "8"]) == 0
    data_set, seeded = find_data("demo"), runs_root() / "seeded"
    index = read_index(seeded, data_set)
    usual, expected = (list(assign_splits(index, seed)["split"]) for seed in (7, 8))
    assert list(read_split(seeded, data_set)["split"]) == expected != usual


def test_a_failing_cell_ends_the_run_with_notebook_error_and_remedy(capsys):
    assert main(["run", "--run", "unmade", "--from", "02"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("covid-lungs: 02_split_data stopped at cell ")
    folder = runs_root() / "unmade"
    assert f"{folder}/index.csv not found: run 01_get_data first" in message
    assert f"{folder}/notebooks/02_split_data.ipynb" in message


def test_real_tuberculosis_data_are_segmented_and_detection_says_why_not(real_data, capsys):
    archive = str(real_data / "shenzhen.zip")
    given = {"epochs": "1", "image_size": "64"}
    folder = run_chain(Request(data=archive, run="shenzhen", given=given))
    said = capsys.readouterr().out
    assert "03_detect_covid: skipped" in said
    assert "06_audit_shortcuts: skipped" in said
    assert "08_segment_infection: skipped, since it needs infection masks" in said
    assert len(pd.read_csv(folder / "index.csv")) == 566
    assert (folder / "segmentation" / "metrics.json").is_file()
    assert not (folder / "detection" / "metrics.json").exists()
