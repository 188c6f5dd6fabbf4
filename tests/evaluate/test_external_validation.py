import shutil
import tracemalloc

import cv2
import keras
import numpy as np
import pandas as pd
import pytest

from helpers.data.images import read_xray
from helpers.data.sources import DataSet
from helpers.data.synthetic import write_data_set
from helpers.evaluate import external_validation, metrics_file
from helpers.evaluate.intervals import Estimate
from helpers.split.index import build_index
from helpers.split.splits import read_split
from tests.support.builders import image_path, make_data_set, make_run, refused, write_image

OWN = Estimate(0.9, 40, 0.8, 0.95)


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
    for part, names in external_validation.COMPARED.items():
        metrics_file.write_metrics(folder / part, dict.fromkeys(names, OWN))
    return folder


@pytest.fixture
def other(tmp_path) -> tuple[DataSet, pd.DataFrame]:
    """X-rays from elsewhere and their index."""
    data_set = make_data_set(tmp_path / "other", {"COVID": 3, "Flu": 4})
    index, _ = build_index(data_set)
    return data_set, index.assign(group=index["file"])


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


def test_masks_of_more_xrays_take_no_more_memory(other, run_folder, monkeypatch):
    monkeypatch.setattr("helpers.data.threads.BATCH", 1)
    monkeypatch.setattr("helpers.train.inference.fit_batch", lambda model: 4)
    side = 256
    seer = keras.Sequential([keras.Input((side, side, 1)), keras.layers.Activation("linear")])
    seer.save(run_folder / "segmentation" / "model.keras")
    data_set, index = other
    index = pd.concat([index] * 20, ignore_index=True)
    (run_folder / "detection" / "model.keras").unlink()
    external_validation.measure_elsewhere(run_folder, data_set, index.iloc[:7])
    tracemalloc.start()
    external_validation.measure_elsewhere(run_folder, data_set, index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(index) * side * side * 4 / 2, "half of all masks"


def test_predictions_scores_and_metrics_from_elsewhere_are_kept(other, run_folder):
    data_set, index = other
    compared = external_validation.measure_elsewhere(run_folder, data_set, index)
    folder = run_folder / "external"
    predictions = pd.read_csv(folder / "predictions.csv")
    greys = [read_xray(data_set.root / file).mean() / 255 for file in index["file"]]
    assert list(predictions["probability"]) == pytest.approx(greys, abs=0.02)
    assert list(predictions["label"]) == [1] * 3 + [0] * 4
    assert set(predictions["split"]) == {"test"}
    scores = pd.read_csv(folder / "scores.csv")
    assert list(scores["file"]) == list(index["file"])
    assert scores["dice"].between(0, 1).all()
    written = metrics_file.read_metrics(folder)
    here, there, drop = compared["Dice coefficient"]
    assert here == OWN
    for name, estimate in (("dice", there), ("dice_drop", drop)):
        assert written[name]["value"] == pytest.approx(estimate.value, abs=1e-6)
    assert drop.value == pytest.approx(0.9 - there.value)
    assert drop.low < drop.value < drop.high
    assert {"auroc", "auroc_drop", "dice/Flu"} <= set(written)
    words = ["accuracy", "sensitivity", "specificity", "AUROC"]
    assert list(compared) == [*words, "IoU", "Dice coefficient", "surface Dice"]


def test_the_table_of_drops():
    drop = Estimate(0.2, 50, 0.1, 0.3)
    table = external_validation.transfer_table({"IoU": (OWN, Estimate(0.7, 50, 0.6, 0.8), drop)})
    assert table.loc["IoU"].to_dict() == {
        "own test split": "0.900 [0.800, 0.950]",
        "elsewhere": "0.700 [0.600, 0.800]",
        "drop": "0.200 [0.100, 0.300]",
        "X-rays elsewhere": 50,
    }


def test_without_a_detector_only_the_masks_are_scored(other, run_folder):
    (run_folder / "detection" / "model.keras").unlink()
    compared = external_validation.measure_elsewhere(run_folder, *other)
    assert list(compared) == ["IoU", "Dice coefficient", "surface Dice"]
    (run_folder / "segmentation" / "model.keras").unlink()
    with refused("model.keras", "not found", "run 04_segment_lungs first"):
        external_validation.measure_elsewhere(run_folder, *other)


def test_without_lung_masks_only_the_detector_is_tested(other, run_folder):
    data_set, _ = other
    for folder in data_set.root.glob("*/masks"):
        shutil.rmtree(folder)
    index = build_index(data_set)[0].assign(group=lambda rows: rows["file"])
    compared = external_validation.measure_elsewhere(run_folder, data_set, index)
    assert "AUROC" in compared and "IoU" not in compared
    assert not (run_folder / "external" / "scores.csv").exists()
    (run_folder / "detection" / "model.keras").unlink()
    with refused("external 'other'", "no lung masks", "Give X-rays with lung masks"):
        external_validation.measure_elsewhere(run_folder, data_set, index)
