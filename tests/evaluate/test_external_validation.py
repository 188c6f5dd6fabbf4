import json
import shutil
import tracemalloc

import cv2
import keras
import numpy as np
import pandas as pd
import pytest

from helpers.audit import duplicates
from helpers.data.images import read_xray
from helpers.data.sources import DataSet
from helpers.data.synthetic import write_data_set
from helpers.evaluate import external_validation, metrics_file
from helpers.evaluate.intervals import Estimate
from helpers.split.index import build_index
from helpers.split.splits import read_split
from tests.support.builders import image_path, make_data_set, make_run, refused, write_image


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("helpers.evaluate.intervals.RESAMPLES", 100)
    monkeypatch.setattr("helpers.evaluate.calibration.DRAWS", 10)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> list[DataSet]:
    """Two data sets of drawn X-rays, no one of them in both."""
    sets = []
    for seed, counts in ((1, {"COVID": 4, "Normal": 6}), (2, {"COVID": 3, "Normal": 5})):
        root = tmp_path_factory.mktemp(f"drawn{seed}")
        write_data_set(root, counts, seed, copies=0)
        sets.append(DataSet(f"drawn{seed}", root, synthetic=True))
    return sets


@pytest.fixture
def run_folder(tmp_path, cache, data_set) -> object:
    """A run whose detector finds the mean grey and whose segmenter calls bright pixels lung."""
    folder = tmp_path / "run"
    make_run(folder, data_set)
    grey = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.GlobalAveragePooling2D()])
    seer = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Activation("linear")])
    for part, model in (("detection", grey), ("segmentation", seer)):
        (folder / part).mkdir()
        model.save(folder / part / "model.keras")
    split = read_split(folder, data_set)
    own = split[["file", "class", "split"]].assign(
        label=(split["class"] == "COVID").astype(int),
        probability=np.where(split["class"] == "COVID", 0.4, 0.2),
    )
    own.to_csv(folder / "detection" / "predictions.csv", index=False)
    return folder


def test_xrays_that_the_run_has_too_are_left_out_and_copies_of_them(cache, drawn):
    own, other = drawn
    taken = read_xray(image_path(own.root, "Normal", 2))
    smaller = cv2.resize(taken, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    write_image(image_path(other.root, "Normal", 1), taken)
    write_image(image_path(own.root, "Normal", 4), smaller)  # that the run has copies is no matter
    write_image(image_path(other.root, "Normal", 3), smaller)
    index = build_index(other)[0]
    left = external_validation.leave_out_seen(other, index, own, build_index(own)[0])
    assert set(index["file"]) - set(left["file"]) == {
        "Normal/images/Normal-1.png",
        "Normal/images/Normal-3.png",
    }
    assert list(left.index) == list(range(len(index) - 2))
    assert list(left["group"]) == list(left["file"]), "each is a group of its own"


def test_no_two_of_one_data_set_are_compared(cache, drawn, monkeypatch):
    own, other = drawn
    index, own_index = build_index(other)[0], build_index(own)[0]
    laid_over, ask = [], duplicates._are_same

    def note(one, two, *limits, **motion):
        laid_over.append(len(one))
        return ask(one, two, *limits, **motion)

    monkeypatch.setattr(duplicates, "_are_same", note)
    external_validation.leave_out_seen(other, index, own, own_index)
    halved = duplicates.THUMBNAIL_SIZE // 2
    assert laid_over.count(halved) == len(index) * len(own_index), "so few that all pairs are"


def test_a_data_set_that_is_the_run_s_own_is_refused(cache, drawn):
    own = drawn[0]
    index = build_index(own)[0]
    with refused("external 'drawn1'", "the run has every X-ray of it", "from elsewhere"):
        external_validation.leave_out_seen(own, index, own, index)


def test_the_run_s_own_validation_split_chooses_the_threshold(run_folder):
    index = pd.DataFrame({"file": list("abcdefg"), "class": ["COVID"] * 3 + ["Flu"] * 4})
    bright = index["class"] == "COVID"
    predictions = index[["file", "class"]].assign(
        split="test", label=bright.astype(int), probability=np.where(bright, 0.35, 0.24)
    )
    found = external_validation.measure_detector(run_folder, predictions, index["file"])
    assert found["threshold"].value == pytest.approx(0.3)
    assert found["sensitivity"].value == 0, "at 0.5"
    assert found["sensitivity_at_threshold"].value == found["specificity_at_threshold"].value == 1
    assert found["accuracy"].n == 7, "the run's own X-rays choose the threshold and count for none"


def test_an_external_test_of_earlier_networks_can_be_forgotten(run_folder):
    (run_folder / "external").mkdir()
    old = [run_folder / "external" / name for name in ("metrics.json", "scores.csv")]
    old.append(run_folder / "figures" / "05_external.png")
    kept = run_folder / "figures" / "05_dice.png"
    kept.parent.mkdir()
    for path in (*old, kept):
        path.write_text("earlier")
    external_validation.forget_elsewhere(run_folder)
    external_validation.forget_elsewhere(run_folder)
    assert [path.is_file() for path in (*old, kept)] == [False, False, False, True]


def test_the_networks_are_asked_about_the_external_xrays(tmp_path, run_folder):
    other = make_data_set(tmp_path / "other", {"COVID": 3, "Flu": 4})
    index = build_index(other)[0]
    answers = external_validation.ask_detector(run_folder, other, index)
    greys = [read_xray(other.root / file).mean() / 255 for file in index["file"]]
    assert list(answers["probability"]) == pytest.approx(greys, abs=0.02)
    assert list(answers["label"]) == [1] * 3 + [0] * 4
    assert set(answers["split"]) == {"test"}
    table = external_validation.ask_segmenter(run_folder, other, index)
    assert list(table["file"]) == list(index["file"])
    assert table["dice"].between(0, 1).all()


def test_masks_of_more_xrays_take_no_more_memory(tmp_path, run_folder, monkeypatch):
    monkeypatch.setattr("helpers.data.threads.BATCH", 1)
    side = 256
    seer = keras.Sequential([keras.Input((side, side, 1)), keras.layers.Activation("linear")])
    seer.save(run_folder / "segmentation" / "model.keras")
    other = make_data_set(tmp_path / "other", {"COVID": 3, "Flu": 4})
    index = pd.concat([build_index(other)[0]] * 20, ignore_index=True)
    external_validation.ask_segmenter(run_folder, other, index.iloc[:7])
    tracemalloc.start()
    external_validation.ask_segmenter(run_folder, other, index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(index) * side * side * 4 / 2, "half of all masks"


def test_figures_that_need_both_classes_have_no_value_where_one_is_missing(run_folder):
    flu = pd.DataFrame({"file": ["a", "b", "c"], "class": "Flu", "split": "test", "label": 0})
    found = external_validation.measure_detector(
        run_folder, flu.assign(probability=[0.1, 0.2, 0.9]), flu["file"]
    )
    assert found["auroc"] == Estimate(None, 0)
    assert found["sensitivity"] == Estimate(None, 0)
    assert found["specificity"].value == pytest.approx(2 / 3)


def test_the_drop_is_the_own_figure_less_the_external_one(run_folder):
    own = {
        name: Estimate(0.9, 40, 0.8, 0.95) for name in external_validation.COMPARED["segmentation"]
    }
    metrics_file.write_metrics(run_folder / "segmentation", own)
    there = {name: Estimate(0.7, 50, 0.6, 0.8) for name in own}
    found = external_validation.add_drops(run_folder, "segmentation", there)
    assert found["dice_drop"].value == pytest.approx(0.2)
    assert 0 < found["dice_drop"].low < 0.2 < found["dice_drop"].high
    assert {name: found[name] for name in there} == there
    (run_folder / "external").mkdir()
    written = json.loads(
        metrics_file.write_metrics(run_folder / "external", found).read_text(encoding="utf-8")
    )
    assert written["dice_drop"]["value"] == 0.2
    table = external_validation.transfer_table(external_validation.compare(run_folder, found))
    assert list(table.index) == ["IoU", "Dice coefficient", "surface Dice"]
    assert table.loc["IoU", "own test split"] == "0.900 [0.800, 0.950]"
    assert table.loc["IoU", "elsewhere"] == "0.700 [0.600, 0.800]"
    assert table.loc["IoU", "drop"].startswith("0.200 [")
    assert table.loc["IoU", "X-rays elsewhere"] == 50


def test_answers_and_figures_from_elsewhere_are_kept(tmp_path, run_folder):
    other = make_data_set(tmp_path / "other", {"COVID": 3, "Flu": 4})
    index = build_index(other)[0]
    for part, names in external_validation.COMPARED.items():
        metrics_file.write_metrics(
            run_folder / part, dict.fromkeys(names, Estimate(0.9, 40, 0.8, 0.95))
        )
    found = external_validation.measure_elsewhere(
        run_folder, other, index.assign(group=index["file"])
    )
    folder = run_folder / "external"
    assert len(pd.read_csv(folder / "predictions.csv")) == len(pd.read_csv(folder / "scores.csv"))
    written = metrics_file.read_metrics(folder)
    assert set(written) == set(found)
    for name in ("auroc", "auroc_drop", "dice", "dice_drop", "dice/Flu"):
        assert written[name]["value"] == pytest.approx(found[name].value, abs=1e-6)


def test_without_a_detector_only_the_masks_are_scored(tmp_path, run_folder):
    other = make_data_set(tmp_path / "other", {"COVID": 3, "Flu": 4})
    index = build_index(other)[0]
    (run_folder / "detection" / "model.keras").unlink()
    own = dict.fromkeys(external_validation.COMPARED["segmentation"], Estimate(0.9, 40, 0.8, 0.95))
    metrics_file.write_metrics(run_folder / "segmentation", own)
    found = external_validation.measure_elsewhere(
        run_folder, other, index.assign(group=index["file"])
    )
    assert "dice_drop" in found
    assert "auroc" not in found
    assert list(external_validation.compare(run_folder, found)) == [
        "IoU",
        "Dice coefficient",
        "surface Dice",
    ]


def test_without_lung_masks_only_the_detector_is_tested(tmp_path, run_folder):
    other = make_data_set(tmp_path / "other", {"COVID": 3, "Normal": 2})
    for folder in other.root.glob("*/masks"):
        shutil.rmtree(folder)
    own = dict.fromkeys(external_validation.COMPARED["detection"], Estimate(0.9, 40, 0.8, 0.95))
    metrics_file.write_metrics(run_folder / "detection", own)
    index = build_index(other)[0].assign(group=lambda rows: rows["file"])
    figures = external_validation.measure_elsewhere(run_folder, other, index)
    assert "auroc_drop" in figures and "dice" not in figures
    assert not (run_folder / "external" / "scores.csv").exists()
    (run_folder / "detection" / "model.keras").unlink()
    with refused("external 'other'", "no lung masks", "Give X-rays with lung masks"):
        external_validation.measure_elsewhere(run_folder, other, index)


def test_a_network_that_is_not_there_yet_is_asked_for_by_its_notebook(tmp_path, data_set):
    with refused("model.keras", "not found", "run 04_segment_lungs first"):
        external_validation.ask_segmenter(tmp_path, data_set, pd.DataFrame())
