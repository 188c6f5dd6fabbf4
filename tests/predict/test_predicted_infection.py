"""Predictions with a network for infection: masks, shares, overlays, and what is earlier."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import papermill
import pytest

from helpers.data.images import read_mask
from helpers.data.synthetic import draw_xray, image_seed
from helpers.evaluate.zones import ZONES, infected_shares
from helpers.predict import prediction, summary
from helpers.predict.batch import BATCH
from helpers.predict.files import UNFINISHED, find_xrays
from helpers.predict.networks import (
    Networks,
    describe_networks,
    load_likeness,
    load_networks,
)
from helpers.predict.one_xray import find_own_run, read_by, take_xray
from helpers.predict.prediction import predict_files
from helpers.predict.table import COLUMNS, INFECTED
from helpers.run.command import main
from helpers.storage.folders import find_trained, project_root
from helpers.train import lungs
from helpers.train.models import build_detector
from helpers.train.recipes import DetectionSettings
from tests.support.builders import refused, write_image
from tests.support.trainings import Stopped

LUNG, ILL, DARK = 180, 250, 40
CHEST, _ = draw_xray("COVID", image_seed("COVID", 1, 7))  # uint8, (299, 299)


def chest(number: int, ill: bool = True) -> np.ndarray:
    """Return an X-ray of two grey lungs; infection is white, the deeper the higher the number."""
    image = np.full((96, 128), DARK, np.uint8)
    image[16:80, 16:56] = image[16:80, 72:112] = LUNG
    if ill:
        image[16 : 24 + number % 8 * 8, 16:36] = ILL
        image[84:92, 16:36] = ILL  # outside the lungs
    return image


def take_brighter_than(grey: float, name: str) -> keras.Model:
    """Return a network that is surer the more a pixel is brighter than a grey value, 0 to 1."""
    judge = keras.layers.Conv2D(1, 1, activation="sigmoid")
    model = keras.Sequential([keras.Input((48, 64, 1)), judge], name=name)
    judge.set_weights([np.full((1, 1, 1, 1), 50.0), np.array([-50 * grey])])
    return model


@pytest.fixture(scope="module")
def seer() -> keras.Model:
    return take_brighter_than(0.5, "seer")


@pytest.fixture(scope="module")
def healer() -> keras.Model:
    return take_brighter_than(0.85, "healer")


@pytest.fixture(scope="module")
def detector() -> keras.Model:
    keras.utils.set_random_seed(3)
    return build_detector(DetectionSettings(24, (2, 2, 2), 1, 4, 1e-2))


@pytest.fixture(autouse=True)
def boxes_are_chests(monkeypatch):
    """Take the boxes that are drawn here for chests."""
    monkeypatch.setattr("helpers.predict.doubt._are_chests", lambda xrays: [True] * len(xrays))


@pytest.fixture
def xrays(tmp_path) -> Path:
    """More X-rays than two batches, some healthy, some in a sub-folder."""
    for number in range(2 * BATCH + 5):
        place = f"deep/x{number:02}" if number % 3 == 0 else f"x{number:02}"
        write_image(tmp_path / "in" / f"{place}.png", chest(number, ill=number % 4 > 0))
    return tmp_path / "in"


def run_of(folder: Path, **networks: keras.Model) -> Path:
    """Write networks, by the names of their folders, into a run's folder."""
    for part, network in networks.items():
        (folder / part).mkdir(parents=True)
        network.save(folder / part / "model.keras")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_every_xray_gets_its_infection_and_the_shares_of_its_zones(seer, healer, xrays, tmp_path):
    files, out = find_xrays([xrays]), tmp_path / "out"
    table = predict_files(Networks(seer, infection=healer), files, out)
    assert list(table.columns[-7:]) == ["infected_share", *ZONES] == INFECTED
    stored = pd.read_csv(out / "predictions.csv")
    pd.testing.assert_frame_equal(stored[INFECTED], table[INFECTED])
    for file, row in zip(files, table.to_dict("records"), strict=True):
        number = int(file.place[-2:])
        drawn = cv2.imread(str(out / f"infection/{file.place}.png"), cv2.IMREAD_UNCHANGED)
        true = chest(number, ill=number % 4 > 0) == ILL
        assert drawn.shape == true.shape and set(np.unique(drawn)) <= {0, 255}
        assert np.abs((drawn > 0).mean() - true.mean()) < 0.01
        assert not true.any() or ((drawn > 0) & true).sum() > 0.85 * true.sum()
        lung = read_mask(out / f"masks/{file.place}.png")
        shares = infected_shares((drawn > 0).astype(np.uint8), lung)
        assert {name: row[name] for name in INFECTED} == {n: round(shares[n], 6) for n in INFECTED}
        assert row["covid_probability"] != row["covid_probability"], "there is no detector"
    assert table["infected_share"].nunique() > 5
    assert (table["right_upper"] > 0.3).any() and (table["left_lower"] == 0).all()
    assert table["accepted"].all()


def test_an_infection_is_not_cleaned(seer, healer, tmp_path):
    image = chest(0, ill=False)
    image[20:60, 20:50], image[30:50, 28:42] = ILL, LUNG  # a ring
    for top in (20, 32, 44, 56):
        image[top : top + 8, 80:88] = ILL
    files = find_xrays([write_image(tmp_path / "a.png", image)])
    predict_files(Networks(seer, infection=healer), files, tmp_path / "out")
    drawn = read_mask(tmp_path / "out/infection/a.png")
    assert cv2.connectedComponents(drawn)[0] - 1 == 5
    assert not drawn[36:44, 34:36].any() and (drawn == (image == ILL)).mean() > 0.95


def test_the_overlay_shows_both_outlines_each_in_its_colour(seer, healer, tmp_path):
    file = write_image(tmp_path / "a.png", chest(3))
    predict_files(Networks(seer, infection=healer), find_xrays([file]), tmp_path / "out")
    blue, green, red = cv2.split(cv2.imread(str(tmp_path / "out/overlays/a.jpg")).astype(int))
    lung, infection = (50, 111), (30, 36)
    assert red[lung] > green[lung] > blue[lung] + 40, "orange"
    assert min(red[infection], blue[infection]) > green[infection] + 60, "magenta"


def test_without_lungs_the_shares_are_unknown_and_the_infection_is_drawn(seer, healer, tmp_path):
    image = np.full((96, 128), DARK, np.uint8)
    files = find_xrays([write_image(tmp_path / "a.png", image)])
    never = take_brighter_than(2, "never")
    always = take_brighter_than(-1, "always")
    table = predict_files(Networks(never, infection=always), files, tmp_path / "out")
    assert table["reason"].tolist() == ["no lung was found"]
    assert table[INFECTED].isna().all(axis=None)
    assert read_mask(tmp_path / "out/infection/a.png").all()
    row = (tmp_path / "out/predictions.csv").read_text().splitlines()[1]
    assert row.endswith("no lung was found" + 8 * ",")


def test_an_xray_that_is_not_accepted_gets_all(seer, healer, tmp_path):
    files = find_xrays([write_image(tmp_path / "a.png", chest(3)[:60])])
    table = predict_files(Networks(seer, infection=healer), files, tmp_path / "out")
    assert table["reason"].tolist() == ["less than 64 pixels a side"]
    assert table["infected_share"][0] > 0.1
    assert read_mask(tmp_path / "out/infection/a.png").any()


def test_nothing_of_an_earlier_file_or_network_stays(seer, healer, xrays, tmp_path):
    out, both = tmp_path / "out", Networks(seer, infection=healer)
    predict_files(both, find_xrays([xrays]), out)
    (xrays / "x02.png").write_bytes(b"")
    predict_files(both, find_xrays([xrays / "x02.png"]), out)
    for name in ("masks", "infection"):
        assert not (out / name / "x02.png").exists()
    assert not (out / "overlays/x02.jpg").exists()
    predict_files(Networks(seer), find_xrays([xrays / "x01.png"]), out)
    assert (out / "masks/x01.png").is_file()
    assert not (out / "infection/x01.png").exists(), "its row knows no infection"
    kept = {path.stem for path in (out / "infection").rglob("*.png")}
    assert kept == {path.stem for path in xrays.rglob("*.png")} - {"x01", "x02"}


def test_a_run_without_the_network_writes_what_it_always_wrote(seer, xrays, tmp_path):
    table = predict_files(Networks(seer), find_xrays([xrays]), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("masks", "overlays", "predictions.csv")
    }
    assert list(table.columns) == COLUMNS
    assert table[INFECTED].isna().all(axis=None)


@pytest.mark.parametrize("link", ["infection", "infection/deep"])
@pytest.mark.parametrize("has_network", [True, False])
def test_nothing_is_written_or_removed_through_a_link(
    link, has_network, seer, healer, xrays, tmp_path
):
    precious = tmp_path / "precious"
    for name in ("x01.png", "x03.png", ".partial-1"):
        write_image(precious / "x.png", chest(1)).rename(precious / name)
    (tmp_path / "out" / link).parent.mkdir(parents=True)
    (tmp_path / "out" / link).symlink_to(precious)
    networks = Networks(seer, infection=healer if has_network else None)
    before = contents(precious)
    with refused(f"out/{link}", "is reached by a link", "another folder with --out"):
        predict_files(networks, find_xrays([xrays]), tmp_path / "out")
    assert contents(precious) == before


def test_a_file_that_is_a_link_is_replaced_and_not_followed(seer, healer, tmp_path):
    precious = write_image(tmp_path / "precious.png", chest(1))
    before = precious.read_bytes()
    (tmp_path / "out/infection").mkdir(parents=True)
    (tmp_path / "out/infection/a.png").symlink_to(precious)
    files = find_xrays([write_image(tmp_path / "a.png", chest(2))])
    predict_files(Networks(seer, infection=healer), files, tmp_path / "out")
    assert precious.read_bytes() == before
    assert not (tmp_path / "out/infection/a.png").is_symlink()


@pytest.mark.parametrize("has_network", [True, False])
def test_xrays_in_a_folder_of_that_name_are_never_overwritten_nor_forgotten(
    has_network, seer, healer, tmp_path
):
    file = write_image(tmp_path / "infection" / "a.png", chest(0))
    before = file.read_bytes()
    networks = Networks(seer, infection=healer if has_network else None)
    assert [found.place for found in find_xrays([tmp_path])] == ["infection/a"]
    with refused("infection/a.png", "written into its folder, infection", "--out"):
        predict_files(networks, find_xrays([tmp_path]), tmp_path)
    assert contents(tmp_path) == {"infection/a.png": before}
    predict_files(networks, find_xrays([tmp_path]), tmp_path / "out")
    assert (tmp_path / "out/masks/infection/a.png").is_file()
    assert [found.path for found in find_xrays([tmp_path])] == [file.as_posix()]


def test_a_folder_in_the_way_is_named(seer, healer, tmp_path):
    write_image(tmp_path / "in/deep/a.png", chest(2))
    files, out = find_xrays([tmp_path / "in"]), tmp_path / "out"
    (out / "infection/deep/a.png").mkdir(parents=True)
    with refused("out/infection/deep/a.png", "is a folder", "--out"):
        predict_files(Networks(seer, infection=healer), files, out)
    assert [path.name for path in out.iterdir()] == ["infection"], "nothing is written"
    predict_files(Networks(seer), files, out)
    assert (out / "infection/deep/a.png").is_dir() and (out / "masks/deep/a.png").is_file()


@pytest.mark.parametrize("name", ["infection", "infection/deep"])
def test_a_file_in_the_way_is_named(name, seer, healer, tmp_path):
    write_image(tmp_path / "in/deep/a.png", chest(2))
    files, out = find_xrays([tmp_path / "in"]), tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with refused(f"out/{name}", "is a file", "--out"):
        predict_files(Networks(seer, infection=healer), files, out)
    assert contents(out) == {name: b"mine"}, "nothing is written"
    predict_files(Networks(seer), files, out)
    assert (out / name).read_text() == "mine" and (out / "masks/deep/a.png").is_file()


@pytest.mark.parametrize("content", [None, b""])
def test_without_the_network_a_file_of_the_user_s_stays(content, seer, healer, tmp_path):
    xray = write_image(tmp_path / "in/a.png", chest(2))
    mine = tmp_path / "out/infection/a.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    write_image(tmp_path / "in/deep/a.png", chest(3))
    predict_files(
        Networks(seer, infection=healer), find_xrays([tmp_path / "in"])[1:], mine.parents[1]
    )
    if content is not None:
        xray.write_bytes(content)
    for _ in range(2):
        predict_files(Networks(seer), find_xrays([xray]), mine.parents[1])
        assert mine.read_bytes() == b"mine"


def test_the_infection_of_a_file_that_was_decoded_earlier_goes(seer, healer, xrays, tmp_path):
    out, files = tmp_path / "out", find_xrays([xrays])
    predict_files(Networks(seer, infection=healer), files, out)
    for file in files[:2]:
        Path(file.path).write_bytes(b"")
    predict_files(Networks(seer), files, out)
    assert not list((out / "infection").rglob("*.png"))


def test_masks_of_infection_are_no_xrays(seer, healer, tmp_path):
    file = write_image(tmp_path / "a.png", chest(2))
    for _ in range(2):
        found = find_xrays([tmp_path])
        assert [one.path for one in found] == [file.as_posix()]
        predict_files(Networks(seer, infection=healer), found, tmp_path)
    assert (tmp_path / "infection/a.png").is_file()


def stop_after_a_batch(monkeypatch, networks: Networks, files: list, out: Path) -> None:
    with monkeypatch.context() as patch:
        add = prediction.Unfinished.add

        def keep(unfinished, batch, rows):
            add(unfinished, batch, rows)
            raise Stopped

        patch.setattr(prediction.Unfinished, "add", keep)
        with pytest.raises(Stopped):
            predict_files(networks, files, out)


def stop_at_once(*_) -> None:
    raise Stopped


def stop_before_any_is_kept(monkeypatch, networks: Networks, files: list, out: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(prediction.Unfinished, "add", stop_at_once)
        with pytest.raises(Stopped):
            predict_files(networks, files, out)


def test_a_stopped_prediction_goes_on_byte_for_byte(
    seer, healer, detector, xrays, tmp_path, monkeypatch, capsys
):
    networks, files = Networks(seer, detector, healer), find_xrays([xrays])
    predict_files(networks, files, tmp_path / "whole")
    stop_after_a_batch(monkeypatch, networks, files, tmp_path / "out")
    (tmp_path / "out/infection/deep/.partial-1").write_bytes(b"half of a mask")
    capsys.readouterr()
    predict_files(networks, files, tmp_path / "out")
    assert f"going on after {BATCH} X-rays" in capsys.readouterr().err
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


CHANGES = {
    "another for infection": lambda seer, healer: Networks(seer, infection=seer),
    "none for infection": lambda seer, healer: Networks(seer),
    "the same for COVID": lambda seer, healer: Networks(seer, healer),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_stopped_prediction_knows_other_networks(change, seer, healer):
    described = [Networks(seer, infection=healer), CHANGES[change](seer, healer)]
    assert len({describe_networks(networks, None) for networks in described}) == 2


def test_a_batch_whose_infection_is_gone_is_predicted_again(
    seer, healer, xrays, tmp_path, monkeypatch
):
    networks, files = Networks(seer, infection=healer), find_xrays([xrays])
    stop_after_a_batch(monkeypatch, networks, files, tmp_path / "out")
    assert (tmp_path / "out" / UNFINISHED).is_file()
    (tmp_path / f"out/infection/{files[1].place}.png").unlink()
    predict_files(networks, files, tmp_path / "out")
    predict_files(networks, files, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("stops_again", [False, True])
@pytest.mark.parametrize("keeps_a_batch", [False, True])
def test_what_a_stopped_prediction_drew_goes_where_the_next_draws_no_infection(
    keeps_a_batch, stops_again, seer, healer, xrays, tmp_path, monkeypatch
):
    *files, other = find_xrays([xrays])
    mine = tmp_path / f"out/infection/{other.place}.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    predict_files(Networks(seer), [other], tmp_path / "out")
    stop = stop_after_a_batch if keeps_a_batch else stop_before_any_is_kept
    stop(monkeypatch, Networks(seer, infection=healer), files, tmp_path / "out")
    assert len(list((tmp_path / "out/infection").rglob("*.png"))) > 1
    if stops_again:
        stop(monkeypatch, Networks(seer), [*files, other], tmp_path / "out")
    predict_files(Networks(seer), [*files, other], tmp_path / "out")
    assert list((tmp_path / "out/infection").rglob("*.png")) == [mine]
    assert mine.read_bytes() == b"mine"


def test_a_file_that_a_stopped_prediction_had_not_replaced_yet_stays(
    seer, healer, tmp_path, monkeypatch
):
    mine = tmp_path / "out/infection/a.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    files = find_xrays([write_image(tmp_path / "a.png", chest(2))])
    with monkeypatch.context() as patch:
        patch.setattr("helpers.predict.batch.predict_batch", stop_at_once)
        with pytest.raises(Stopped):
            predict_files(Networks(seer, infection=healer), files, mine.parents[1])
    predict_files(Networks(seer), files, mine.parents[1])
    assert mine.read_bytes() == b"mine"


def test_a_run_has_what_it_has_trained(seer, healer, detector, runs):
    parts = {"segmentation": seer, "detection": detector, "infection": healer}
    for name, chosen in {
        "all": ["segmentation", "detection", "infection"],
        "plain": ["segmentation"],
        "ill": ["infection"],
        "both": ["detection", "infection"],
        "covid": ["detection"],
    }.items():
        folder = run_of(runs / name, **{part: parts[part] for part in chosen})
        assert find_trained(name) == find_own_run(name, "demo", "demo") == folder
        found = load_networks(folder)
        assert found.has_package_lungs == ("segmentation" not in chosen)
        assert (found.lungs is lungs.load_network()) == found.has_package_lungs
        assert (found.detector is not None) == ("detection" in chosen)
        assert (found.infection is not None) == ("infection" in chosen)
        assert found.infection is None or found.infection.name == "healer"
        assert load_likeness(folder) is None
    with refused("'il'", "no such run", "Choose from all, both, covid, ill, plain, or"):
        find_trained("il")


def test_a_damaged_network_is_named_with_its_remedy_and_nothing_is_written(
    seer, healer, runs, tmp_path, capsys
):
    model = run_of(runs / "a", segmentation=seer, infection=healer) / "infection/model.keras"
    model.write_bytes(model.read_bytes()[:500])
    file = write_image(tmp_path / "a.png", chest(2))
    assert main(["predict", "--run", "a", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{runs}/a/infection/model.keras: cannot be read as a network" in said.err
    assert "Train it again" in said.err and len(said.err.splitlines()) == 1
    assert not (runs / "a/predictions").exists()


def test_a_run_with_the_infection_network_alone_takes_the_package_s_lungs(
    healer, runs, tmp_path, capsys
):
    run = run_of(runs / "ill", infection=healer)
    file = write_image(tmp_path / "x.png", CHEST)
    assert main(["predict", "--run", "ill", str(file)]) == 0
    table = pd.read_csv(run / "predictions/predictions.csv", keep_default_na=False)
    row = table.iloc[0]
    drawn = read_mask(run / "predictions/masks/x.png")
    np.testing.assert_array_equal(drawn, lungs.segment(CHEST))
    alone = predict_files(load_networks(None), find_xrays([file]), tmp_path / "alone").iloc[0]
    assert 0.9 < row["expected_dice"] == alone["expected_dice"]
    assert (row["accepted"], row["reason"]) == (alone["accepted"], alone["reason"])
    said = capsys.readouterr().out.splitlines()
    share = f"infection {row['infected_share']:.1%} of the lungs"
    assert said[0] == f"{file}: lungs {row['lung_fraction']:.1%} of the image, {share}"
    assert "masks/*.png, infection/*.png, overlays/*.jpg, predictions.csv" in said[3]
    assert said[4] == summary.PACKAGE_LUNGS


def test_the_command_says_nothing_of_infection_without_a_network(seer, runs, tmp_path, capsys):
    run_of(runs / "a", segmentation=seer)
    main(["predict", "--run", "a", str(write_image(tmp_path / "a.png", chest(2)))])
    said = capsys.readouterr().out
    assert "infection" not in said and summary.PACKAGE_LUNGS not in said


def test_the_notebook_shows_the_infection_of_a_run_that_has_no_other_network(seer, runs, tmp_path):
    run = run_of(tmp_path / "ill", infection=seer)
    path = project_root() / "notebooks" / "07_read_an_xray.ipynb"
    place = {"cwd": tmp_path, "kernel_name": "python3", "progress_bar": False}
    given = {"run": str(run)}
    notebook = papermill.execute_notebook(path, tmp_path / "out.ipynb", given, **place)
    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    printed = {name: "".join(o.get("text", "") for o in outputs[name]) for name in outputs}
    assert "infection/model.keras     segments infection" in printed["07-networks"]
    assert printed["07-agreement"] == (
        "Your run on the X-ray: accepted\n"
        "Your run has no network for the lungs, so there is no second mask.\n"
    )
    pictures = [name for name in outputs if "image/" in str(outputs[name])]
    assert pictures[2:] == ["07-infected", "07-zones"]
    share = read_by(run, take_xray("", None, 7)[0]).shares["infected_share"]
    assert 0 < share < 1
    said = f"By the network {share:.1%} of the lungs' area is infected, in truth "
    assert printed["07-zones"].startswith(said)
    assert printed["07-decision"] == "No prediction: this run has no detector.\n"
    assert not runs.exists()


def test_a_reading_has_the_infection_and_its_shares(seer, healer, tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", segmentation=seer, infection=healer)
    content = write_image(tmp_path / "a.png", chest(4)).read_bytes()
    reading = read_by(run, content)
    table = predict_files(load_networks(run), find_xrays([tmp_path / "a.png"]), tmp_path / "out")
    assert reading.shares == table[INFECTED].iloc[0].to_dict()
    assert reading.shares["right_upper"] > 0.4
    np.testing.assert_array_equal(reading.infection, read_mask(tmp_path / "out/infection/a.png"))
    assert reading.infection.shape == reading.image.shape
    assert reading.verdict == "accepted"
    (run / "infection/model.keras").unlink()
    without = read_by(run, content)
    assert without.infection is None and without.shares is None
