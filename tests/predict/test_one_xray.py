import shutil
import sys
from datetime import UTC, datetime
from types import ModuleType

import cv2
import keras
import numpy as np
import pandas as pd
import papermill
import pytest

from helpers.data.images import read_xray, resize_image, resize_mask
from helpers.data.synthetic import draw_infected, image_seed
from helpers.evaluate.detection import detection_metrics
from helpers.evaluate.heat_maps import energy_in_lungs, find_heat, occlude
from helpers.evaluate.intervals import estimate_share
from helpers.evaluate.metrics_file import Estimate, read_metrics, write_metrics
from helpers.predict import one_xray
from helpers.predict.files import find_xrays
from helpers.predict.networks import Networks
from helpers.predict.novelty import learn_likeness, write_likeness
from helpers.predict.one_xray import (
    DRAWN,
    YOURS,
    decode_xray,
    describe_probability,
    find_lungs,
    find_own_run,
    find_run_data,
    find_true_masks,
    find_truth,
    look_for_heat,
    offer_upload,
    pick_surest,
    read_by,
    take_xray,
)
from helpers.predict.prediction import predict_files
from helpers.split.index import build_index
from helpers.storage.folders import project_root
from helpers.train import lungs
from helpers.train.inference import write_table
from helpers.train.models import build_detector
from helpers.train.recipes import DetectionSettings
from tests.support.builders import (
    make_data_set,
    make_run,
    refused,
    write_image,
    xray,
)

BRIGHT, DARK = 200, 40


def chest(number: int) -> np.ndarray:
    """Two bright boxes for lungs, (80, 90)."""
    image = np.full((80, 90), DARK, np.uint8)
    bottom = 30 + number % 30
    image[10:bottom, 10:35] = image[10:bottom, 52:78] = BRIGHT
    return image


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.fixture
def run(tmp_path):
    """A run whose segmenter takes bright for lung, with a detector that knows nothing."""
    keras.utils.set_random_seed(3)
    seer = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Activation("linear")])
    detector = build_detector(DetectionSettings(24, (2, 2, 2), 1, 4, 1e-2))
    for part, network in (("segmentation", seer), ("detection", detector)):
        (tmp_path / "run" / part).mkdir(parents=True)
        network.save(tmp_path / "run" / part / "model.keras")
    small = [cv2.resize(chest(number), (32, 32)) for number in range(40)]
    known = learn_likeness(np.stack(small), pd.Series(range(40)))
    write_likeness(tmp_path / "run" / "segmentation", known)
    return tmp_path / "run"


def write_tested(run, probabilities: list[float], labels: list[int], split: str, groups=None):
    """Write what the detector's test came to, and 20 of the validation split half of them wrong."""
    tested = pd.DataFrame({"probability": probabilities, "label": labels, "split": split})
    other = pd.DataFrame({"probability": [0.2, 0.8] * 10, "label": [0, 1, 1, 0] * 5})
    table = pd.concat([tested, other.assign(split="validation")], ignore_index=True)
    table["class"] = np.where(table["label"] == 1, "COVID", "Normal")
    table["file"] = [f"{number}.png" for number in table.index]
    group = table["file"] if groups is None else [*groups, *table["file"][len(groups) :]]
    table.assign(group=group)[["file", "group"]].to_csv(run / "split.csv", index=False)
    write_table(run / "detection" / "predictions.csv", table)
    metrics = detection_metrics(table, pd.Series(table.index, table.index))
    write_metrics(run / "detection", metrics)


def test_a_reading_is_what_predict_says_and_leaves_nothing(run, tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    before = sorted(run.rglob("*"))
    reading = read_by(run, png(chest(9)))
    assert reading.reason == ""
    np.testing.assert_array_equal(reading.image, chest(9))
    true = chest(9) == BRIGHT
    assert ((reading.mask == 1) & true).sum() / ((reading.mask == 1) | true).sum() > 0.85
    assert reading.lung_fraction == pytest.approx(reading.mask.mean(), abs=1e-6)
    assert 0 <= reading.covid_probability <= 1
    assert sorted(run.rglob("*")) == before
    assert not list(work.iterdir())
    file = tmp_path / "a.png"
    file.write_bytes(png(chest(9)))
    networks = Networks(*(keras.models.load_model(run / part / "model.keras") for part in PARTS))
    row = predict_files(networks, find_xrays([file]), tmp_path / "out").iloc[0]
    assert row["covid_probability"] == reading.covid_probability


PARTS = ("segmentation", "detection")


def test_without_a_run_the_package_reads_the_xray_and_leaves_nothing(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    content, _ = take_xray("", None, 7)
    image, reading = decode_xray(content), read_by(None, content)
    np.testing.assert_array_equal(reading.image, image)
    np.testing.assert_array_equal(reading.mask, lungs.segment(image))
    assert reading.lung_fraction == pytest.approx(reading.mask.mean(), abs=1e-6)
    assert np.isnan(reading.covid_probability)
    assert reading.reason == ""
    assert read_by(None, png(image[:, :50])).reason == "less than 64 pixels a side"
    assert not list(work.iterdir())


def test_the_notebook_draws_lungs_with_nothing_trained_and_says_what_a_run_adds(runs, tmp_path):
    path = project_root() / "notebooks" / "07_read_an_xray.ipynb"
    place = {"cwd": tmp_path, "kernel_name": "python3", "progress_bar": False}
    notebook = papermill.execute_notebook(path, tmp_path / "out.ipynb", **place)
    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    printed = {name: "".join(o.get("text", "") for o in outputs[name]) for name in outputs}
    assert [name for name in outputs if "image/" in str(outputs[name])] == [
        "07-outline",
        "07-thresholds",
    ]
    share = lungs.segment(decode_xray(take_xray("", None, 7)[0])).mean()
    assert printed["07-share"] == f"The lungs fill {share:.0%} of the image.\n"
    assert printed["07-verdict"].startswith("accepted\nDice coefficient that the network expects")
    assert "run notebook 00, or 01 to 05" in printed["07-networks"]
    assert printed["07-size"].endswith("It was drawn with signs of COVID.\n")
    assert printed["07-infected"].startswith("No infection is drawn: that takes a run of yours")
    assert printed["07-decision"].startswith("No prediction: that takes a run of yours")
    assert "no success and no failure to show" in printed["07-surest"]
    assert not runs.exists()


def test_an_xray_is_decoded_as_it_is_and_what_is_none_is_refused():
    np.testing.assert_array_equal(decode_xray(png(chest(9))), chest(9))
    with refused("xray: ", "cannot be decoded", "Restore it"):
        decode_xray(b"no image")


def test_the_default_run_is_used_only_if_it_has_a_segmenter(run, runs):
    assert find_own_run("", "demo", "demo") is None
    (runs / "demo").mkdir(parents=True)
    assert find_own_run("", "demo", "demo") is None
    shutil.copytree(run, runs / "demo", dirs_exist_ok=True)
    shutil.copytree(run, runs / "xrays-best")
    assert find_own_run("", "demo", "demo") == runs / "demo"
    assert find_own_run("", "somewhere/xrays.zip", "best") == runs / "xrays-best"
    assert find_own_run("", "somewhere/xrays.zip", "demo") is None


def test_a_run_that_is_named_must_be_there(run, runs):
    assert find_own_run(str(run), "demo", "demo") == run
    with refused("'demoo'", "no such run", "Begin with `covid-lungs run`"):
        find_own_run("demoo", "demo", "demo")


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8), "not a chest X-ray"),
        (chest(9)[:60], "less than 64 pixels"),
        (np.full((90, 90), 7, np.uint8), "not a chest X-ray"),
    ],
)
def test_what_is_refused_has_its_reason(run, image, reason):
    assert read_by(run, png(image)).reason.startswith(reason)


def test_a_file_that_cannot_be_decoded_is_refused_without_its_name(run):
    with refused("xray: ", "cannot be decoded", "Restore it"):
        read_by(run, b"no image")


def test_a_probability_is_what_it_meant_for_the_test_xrays(run):
    write_tested(run, [0.85, 0.88, 0.81, 0.85, 0.15], [1, 1, 1, 0, 0], "test")
    said = describe_probability(run, 0.86)
    # Half of the validation split is wrong: the hottest temperature brings all near 0.5.
    assert said.startswith("The network predicts 0.86; at the temperature 10.00, fitted on the")
    before, chance, after, chance_after = (
        read_metrics(run / "detection")[f"calibration_error{suffix}"]["value"]
        for suffix in ("", "_by_chance", "_scaled", "_scaled_by_chance")
    )
    assert chance != chance_after
    assert (
        f"that is 0.55.\nCalibration error on the test split: {before:.3f} ({chance:.3f} by "
        f"chance) before the temperature, {after:.3f} ({chance_after:.3f} by chance) after it.\n"
    ) in said
    got = "Of the 4 test X-rays that got 0.5 to 0.6 at this temperature"
    assert f"{got}, 3 were COVID: a share of 0.75 [" in said
    assert said.endswith("Of all 5 test X-rays, 60% were.")


def test_the_xrays_of_one_patient_count_as_one(run):
    labels = [1, 1, 1, 1, 0]
    write_tested(run, [0.85] * 4 + [0.15], labels, "test", groups=["a"] * 4 + ["b"])
    one = estimate_share(pd.Series([True]), pd.Series(["a"]))
    assert f"4 were COVID: a share of {one.text(2)}" in describe_probability(run, 0.86)


def test_a_probability_that_no_test_xray_had(run):
    write_tested(run, [0.85, 0.88], [1, 0], "test")
    assert describe_probability(run, 0.01).endswith(
        "No test X-ray of the run got 0.3 to 0.4 at this temperature: nothing is known."
    )


def test_a_detector_that_was_not_tested(run):
    with refused("detection/metrics.json", "not found", "run 03_detect_covid first"):
        describe_probability(run, 0.5)
    numbers = ("temperature", "calibration_error", "calibration_error_scaled")
    write_metrics(run / "detection", dict.fromkeys(numbers, Estimate(1, 1)))
    with refused("detection/predictions.csv", "not found", "run 03_detect_covid first"):
        describe_probability(run, 0.5)


def test_the_heat_and_its_share_in_the_lungs(run):
    images = [chest(9), np.full((60, 70), 7, np.uint8)]
    masks = [(chest(9) == BRIGHT).astype(np.uint8), np.ones((60, 70), np.uint8)]
    heats, shares = look_for_heat(run, images, masks)
    assert list(heats) == list(shares) == ["HiResCAM", "Occlusion"]
    small = np.stack([resize_mask(mask, (24, 24)) for mask in masks])
    xrays = np.stack([resize_image(image, (24, 24)) for image in images])
    detector = keras.models.load_model(run / "detection" / "model.keras")
    for method, find in {"HiResCAM": find_heat, "Occlusion": occlude}.items():
        np.testing.assert_allclose(heats[method], find(detector, xrays), atol=1e-6)
        np.testing.assert_equal(shares[method], energy_in_lungs(heats[method], small))
    assert np.abs(heats["HiResCAM"] - heats["Occlusion"]).max() > 0.1


def test_the_surest_covid_xray_that_was_recognised_and_the_surest_error_are_picked(run):
    # The last is surer than all, but a map of what speaks for COVID would not explain it.
    write_tested(run, [0.60, 0.97, 0.30, 0.10, 0.80, 0.0], [1, 1, 1, 1, 0, 0], "test")
    surest = pick_surest(run)
    assert surest["file"].tolist() == ["1.png", "3.png"]
    assert surest["right"].tolist() == [True, False]


def test_a_detector_that_was_never_wrong_has_no_failure(run):
    write_tested(run, [0.60, 0.97, 0.02], [1, 1, 0], "test")
    assert pick_surest(run)["file"].tolist() == ["1.png"]
    write_tested(run, [0.40, 0.03, 0.02], [1, 1, 0], "test")
    assert pick_surest(run)["file"].tolist() == ["1.png"]
    assert not pick_surest(run)["right"].any()
    write_tested(run, [0.03, 0.02], [0, 0], "test")
    assert pick_surest(run).empty


def test_the_data_of_a_run_are_those_that_were_split(runs, data_set, tmp_path):
    make_run(runs / "own", data_set)
    assert find_run_data(runs / "own", str(data_set.folder)).name == data_set.name
    assert find_run_data(runs / "own", str(tmp_path / "nowhere")) is None
    other = make_data_set(tmp_path / "other", {"COVID": 3, "Normal": 3})
    assert find_run_data(runs / "own", str(other.folder)) is None


def test_lungs_without_a_mask_are_drawn(data_set):
    rows = build_index(data_set)[0].head(2)
    rows.loc[rows.index[1], "mask"] = ""
    own, drawn = find_lungs(data_set, rows)
    np.testing.assert_array_equal(own, data_set.read_mask(rows["mask"].iloc[0]))
    np.testing.assert_array_equal(drawn, lungs.segment(data_set.read_xray(rows["file"].iloc[1])))


def test_the_truth_is_known_of_a_drawn_xray_only():
    assert find_truth(DRAWN) == "COVID"
    assert find_truth(YOURS) == ""


def test_the_true_masks_are_those_of_the_drawn_xray():
    drawing = draw_infected("COVID", image_seed("COVID", 1, 7))
    content, label = take_xray("", None, 7)
    np.testing.assert_array_equal(decode_xray(content), drawing.image)
    infection, inside = find_true_masks(label, 7)
    np.testing.assert_array_equal(infection * 255, drawing.infection)
    np.testing.assert_array_equal(inside * 255, drawing.lungs)
    assert 0 < infection.mean() < inside.mean()
    assert (find_true_masks(label, 8)[0] != infection).any()
    assert find_true_masks(YOURS, 7) is None


def pixels(content: bytes, folder) -> np.ndarray:
    (folder / "taken").write_bytes(content)
    return read_xray(folder / "taken")


@pytest.fixture
def colab(monkeypatch):
    """Pretend to be in Colab, with a window that gives what the test says."""
    given = {}
    package, files = ModuleType("google.colab"), ModuleType("google.colab.files")
    files.upload = lambda: dict(given)
    package.files = files
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setitem(sys.modules, "google.colab.files", files)
    return given


def test_a_path_comes_first_and_shows_no_button(tmp_path, capsys):
    path = write_image(tmp_path / "a.png", xray(1))
    assert offer_upload(str(path)) is None
    content, label = take_xray(str(path), None, 7)
    np.testing.assert_array_equal(pixels(content, tmp_path), xray(1))
    assert label == YOURS
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("path", ["nowhere.png", "~nobody-of-this-name/a.png", "a\0b.png"])
def test_a_path_that_is_none_is_refused(path):
    with refused(repr(path), "no such folder or file", "nothing to upload one"):
        take_xray(path, None, 7)


def test_a_folder_is_no_xray(tmp_path):
    with refused(repr(str(tmp_path)), "a folder, pipe or device", "nothing to upload one"):
        take_xray(str(tmp_path), None, 7)


def test_the_button_of_jupyter_gives_the_file(tmp_path, capsys):
    upload = offer_upload("")
    content = write_image(tmp_path / "a.png", xray(2)).read_bytes()
    given = {"name": "Jane Doe.png", "type": "image/png", "size": len(content)}
    given |= {"content": memoryview(content), "last_modified": datetime.now(UTC)}
    upload.value = (given,)
    assert take_xray("", upload, 7) == (content, YOURS)
    assert "FileUpload" in capsys.readouterr().out  # as it shows itself outside a browser


def test_without_a_file_an_xray_is_drawn_by_the_seed(tmp_path):
    drawn = [take_xray("", None, seed) for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][1] == DRAWN
    assert "synthetic" in DRAWN
    assert pixels(drawn[0][0], tmp_path).shape == (299, 299)
    assert take_xray("", offer_upload(""), 7) == drawn[0], "a button that nobody pressed"


def test_without_the_extra_the_message_names_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert offer_upload("") is None
    assert "--extra jupyter" in capsys.readouterr().out


def test_colab_asks_for_a_file(colab):
    assert offer_upload("") is None
    colab["a.dcm"] = b"content"
    assert take_xray("", None, 7) == (b"content", YOURS)


def test_colab_goes_on_without_a_file(colab, monkeypatch):
    assert take_xray("", None, 7)[1] == DRAWN

    def fail():
        raise OSError("no window")

    monkeypatch.setattr(sys.modules["google.colab.files"], "upload", fail)
    assert take_xray("", None, 7)[1] == DRAWN
    monkeypatch.delattr(sys.modules["google.colab"], "files")
    monkeypatch.delitem(sys.modules, "google.colab.files")
    assert one_xray.in_colab()
    assert take_xray("", None, 7)[1] == DRAWN
