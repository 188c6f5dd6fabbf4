"""`covid-lungs predict` and `models` with nothing trained: the lung network inside the package."""

import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest

from helpers.data.images import read_xray, resize_image
from helpers.data.synthetic import draw_xray, image_seed
from helpers.predict import table as tables
from helpers.predict.networks import Networks, describe_networks
from helpers.run.command import main
from helpers.train import lungs
from helpers.train.lungs import network
from tests.support import dicom_files
from tests.support.builders import write_image

CHEST, _ = draw_xray("Normal", image_seed("Normal", 1, 7))  # uint8, (299, 299)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with an X-ray in it."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "x.png", CHEST)
    return tmp_path


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """Weights that were cut short."""
    path = tmp_path / "weights.npz"
    path.write_bytes(lungs.WEIGHTS.read_bytes()[:-1000])
    monkeypatch.setattr(network, "WEIGHTS", path)
    network._load.cache_clear()
    yield path
    network._load.cache_clear()


def test_the_first_command_draws_lungs_and_says_how_to_go_on(here, runs, capsys):
    assert main(["predict", "x.png"]) == 0
    said = capsys.readouterr()
    share = lungs.segment(CHEST).mean()
    assert 0.15 < share < 0.4
    assert said.out.startswith(f"x.png: lungs {share:.1%} of the image\nmasks: 1 (not accepted: 0,")
    assert "\nMade in predictions: masks/*.png, overlays/*.jpg, predictions.csv" in said.out
    assert "(covid-lungs run --data SOURCE), then name that run with --run.\n" in said.out
    assert "04_segment_lungs" not in said.out, "there is no run to repeat it in"
    assert said.err == ""
    made = sorted(path.relative_to(here).as_posix() for path in (here / "predictions").rglob("*.*"))
    assert made == [
        f"predictions/{name}" for name in ("masks/x.png", "overlays/x.jpg", "predictions.csv")
    ]
    table = pd.read_csv(here / "predictions" / "predictions.csv")
    assert list(table.columns) == tables.COLUMNS
    assert table["covid_probability"].isna().all() and table["accepted"].all()
    assert not runs.exists()


def test_the_masks_go_where_they_are_told_to(here, capsys):
    assert main(["predict", "--out", "elsewhere", "x.png"]) == 0
    assert (here / "elsewhere/masks/x.png").is_file()
    assert not (here / "predictions").exists()
    assert "Made in elsewhere: " in capsys.readouterr().out


def as_dicom(path, pixels):
    path.write_bytes(dicom_files.as_bytes(dicom_files.make(pixels)))


deep = CHEST.astype(np.uint16) * 257
PICTURES = {
    "large.png": lambda path: write_image(path, resize_image(CHEST, (4000, 5000))),
    "deep.png": lambda path: write_image(path, deep),
    "scan.dcm": lambda path: as_dicom(path, deep),
    "colours.jpg": lambda path: write_image(path, cv2.merge([CHEST] * 3)),
    "narrow.png": lambda path: write_image(path, CHEST[:, 100:140]),
    "noise.png": lambda path: write_image(
        path, np.random.default_rng(0).integers(0, 256, (90, 700), np.uint8)
    ),
}
NARROW = "not accepted: less than 64 pixels a side"


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_gets_the_mask_of_segment_at_its_own_size(name, here, capsys):
    PICTURES[name](here / name)
    assert main(["predict", name]) == 0
    mask = cv2.imread(str(here / "predictions/masks" / f"{name[:-4]}.png"), cv2.IMREAD_UNCHANGED)
    xray = read_xray(here / name)
    assert mask.shape == xray.shape
    np.testing.assert_array_equal(mask, lungs.segment(xray) * 255)
    said = capsys.readouterr()
    assert said.out.startswith(f"{name}: lungs {(mask > 0).mean():.1%} of the image")
    assert (NARROW in said.out) == (name == "narrow.png")
    assert said.err == ""


def test_large_deep_and_dicom_xrays_get_the_lungs_of_the_usual_one(here):
    for name in ("large.png", "deep.png", "scan.dcm", "colours.jpg"):
        PICTURES[name](here / name)
        mask = resize_image(lungs.segment(read_xray(here / name)), CHEST.shape)
        assert (mask == lungs.segment(CHEST)).mean() > 0.99, name


@pytest.mark.parametrize(
    ("path", "fault"),
    [("nowhere.png", "'nowhere.png': cannot be read"), ("empty", "no X-ray is in this folder")],
)
def test_no_xray_gives_one_line_and_nothing_is_written(path, fault, here, capsys):
    (here / "empty").mkdir()
    assert main(["predict", path]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert fault in said.err and len(said.err.splitlines()) == 1
    assert not (here / "predictions").exists()


def test_no_path_at_all_is_misuse(here, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["predict"])
    assert caught.value.code == 2
    assert "PATH" in capsys.readouterr().err


def test_a_file_that_is_no_picture_is_named_and_the_others_go_on(here, capsys):
    (here / "text.png").write_text("no image")
    assert main(["predict", "x.png", "text.png"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("x.png: lungs ")
    assert said.err.startswith("covid-lungs: text.png: ") and len(said.err.splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_refused_with_the_option_that_chooses_another(here, capsys):
    (here / "predictions").write_text("a file")
    assert main(["predict", "x.png"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("covid-lungs: predictions")
    assert "--out" in said.err and len(said.err.splitlines()) == 1
    assert (here / "predictions").read_text() == "a file"


@pytest.mark.parametrize("arguments", [["predict", "x.png"], ["models"]])
def test_damaged_weights_give_one_line_and_nothing_is_written(arguments, here, damaged, capsys):
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"covid-lungs: {damaged}: missing or damaged. Install covid-lungs")
    assert len(said.err.splitlines()) == 1
    assert not (here / "predictions").exists()


def test_a_stopped_prediction_knows_the_network_again_however_often_it_is_loaded(here):
    first = describe_networks(Networks(lungs.load_network()), None)
    network._load.cache_clear()
    again = lungs.load_network()
    assert describe_networks(Networks(again), None) == first
    trained = again.get_weights()
    again.set_weights([trained[0] + 1, *trained[1:]])
    assert describe_networks(Networks(again), None) != first
    network._load.cache_clear()


def test_models_says_what_is_inside(capsys):
    assert main(["models"]) == 0
    name, *lines = capsys.readouterr().out.splitlines()
    assert name == "lungs: draws both lungs in a chest X-ray"
    rows = dict(line.strip().split(maxsplit=1) for line in lines)
    content = lungs.WEIGHTS.read_bytes()
    assert rows["version"] == lungs.VERSION
    assert rows["weights"] == f"helpers/train/lungs/weights.npz ({len(content) / 1e6:.1f} MB)"
    assert rows["SHA-256"] == hashlib.sha256(content).hexdigest()
    assert rows["input"].startswith("256 × 256 pixels")
    assert rows["licence"].startswith(f"{lungs.LICENCE} ")
    assert rows["card"] == "helpers/train/lungs/MODEL_CARD.md"
    assert rows["use"].startswith("covid-lungs predict ")
