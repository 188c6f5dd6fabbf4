import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.predict import batch, prediction
from helpers.predict.batch import BATCH
from helpers.predict.files import UNFINISHED, XrayFile, find_xrays
from helpers.predict.networks import Networks
from helpers.predict.novelty import learn_likeness
from helpers.predict.prediction import predict_files
from helpers.predict.unfinished import go_on
from helpers.run.command import main
from helpers.train.models import build_unet
from helpers.train.recipes import SegmentationSettings
from tests.support.builders import refused, write_image
from tests.support.trainings import Stopped

COUNT = 5 * BATCH + 3


def draw(number: int) -> np.ndarray:
    """Return a picture of its own, with two bright boxes."""
    image = np.full((64 + number % 7, 66), 40, np.uint8)
    image[8 : 20 + number % 35, 8:24] = image[8 : 20 + number % 35, 36:52] = 200
    return image


@pytest.fixture(scope="module")
def seer():
    """A segmenter that takes grey values for probabilities: bright is lung."""
    return keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Activation("linear")])


@pytest.fixture
def files(tmp_path) -> list[XrayFile]:
    names = [tmp_path / "in" / f"x{number:03}.png" for number in range(COUNT)]
    for number, name in enumerate(names):
        write_image(name, draw(number))
    names[BATCH + 1].write_bytes(b"no picture")
    return find_xrays(names)


@pytest.fixture
def asked(monkeypatch) -> list[XrayFile]:
    """The X-rays that are predicted, in any order."""
    asked, predict = [], batch.predict_batch

    def note(networks, likeness, folder, files):
        asked.extend(files)
        return predict(networks, likeness, folder, files)

    monkeypatch.setattr(batch, "predict_batch", note)
    return asked


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def stop_after(monkeypatch, seer, files: list[XrayFile], out: Path, batches: int) -> None:
    """Stop a prediction when some batches are kept."""
    with monkeypatch.context() as patch:
        add, done = prediction.Unfinished.add, []

        def keep(unfinished, batch, rows):
            add(unfinished, batch, rows)
            done.append(1)
            if len(done) == batches:
                raise Stopped

        patch.setattr(prediction.Unfinished, "add", keep)
        with pytest.raises(Stopped):
            predict_files(Networks(seer), files, out)


def test_a_stopped_prediction_goes_on_where_it_was(
    seer, files, asked, tmp_path, monkeypatch, capsys
):
    whole = predict_files(Networks(seer), files, tmp_path / "whole")
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=3)
    (tmp_path / "out/masks/.partial-1").write_bytes(b"half of a mask")
    (tmp_path / "out/overlays/deep").mkdir()
    (tmp_path / "out/overlays/deep/.partial-1").write_bytes(b"half of an overlay")
    (tmp_path / "out/.partial-1").write_bytes(b"half of a table")
    asked.clear()
    assert "going on" not in capsys.readouterr().err
    table = predict_files(Networks(seer), files, tmp_path / "out")
    assert f"going on after {3 * BATCH} X-rays" in capsys.readouterr().err
    assert sorted(asked) == files[3 * BATCH :]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert table.equals(whole)
    assert (table.dtypes == whole.dtypes).all()


def test_a_finished_prediction_is_made_anew(seer, files, asked, tmp_path):
    for _ in range(2):
        asked.clear()
        predict_files(Networks(seer), files, tmp_path / "out")
        assert sorted(asked) == files


CHANGES = {
    "an X-ray": lambda files, out: write_image(Path(files[0].path), draw(50)),
    "a mask": lambda files, out: (out / "masks/x000.png").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_batch_that_changed_is_predicted_again(change, seer, files, asked, tmp_path, monkeypatch):
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=3)
    CHANGES[change](files, tmp_path / "out")
    asked.clear()
    predict_files(Networks(seer), files, tmp_path / "out")
    assert sorted(asked) == files[:BATCH] + files[3 * BATCH :]
    predict_files(Networks(seer), files, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_xrays_of_other_places_are_predicted_again(seer, files, asked, tmp_path, monkeypatch):
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=3)
    moved = [file._replace(place=f"deep/{file.place}") for file in files[:BATCH]]
    for file in moved:  # of an earlier prediction
        write_image(tmp_path / f"out/masks/{file.place}.png", draw(0))
    asked.clear()
    predict_files(Networks(seer), moved + files[BATCH:], tmp_path / "out")
    assert sorted(asked) == sorted(moved + files[3 * BATCH :])


@pytest.mark.parametrize("other", ["network", "likeness"])
def test_another_prediction_begins_anew(other, seer, files, asked, tmp_path, monkeypatch):
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=3)
    asked.clear()
    if other == "likeness":
        generator = np.random.default_rng(0)
        xrays = generator.integers(0, 256, (40, 32, 32), dtype=np.uint8)
        likeness = learn_likeness(xrays, prediction.pd.Series(range(40)))
        predict_files(Networks(seer), files, tmp_path / "out", likeness)
    else:
        negative = keras.layers.Rescaling(-1, offset=1)
        darker = keras.Sequential([keras.Input((32, 32, 1)), negative])
        predict_files(Networks(darker), files, tmp_path / "out")
    assert sorted(asked) == files


def test_a_line_that_was_cut_short_is_forgotten(seer, files, asked, tmp_path, monkeypatch):
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=3)
    kept = (tmp_path / "out" / UNFINISHED).read_bytes()
    (tmp_path / "out" / UNFINISHED).write_bytes(kept[:-20])
    asked.clear()
    predict_files(Networks(seer), files, tmp_path / "out")
    assert sorted(asked) == files[2 * BATCH :]
    predict_files(Networks(seer), files, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", [b"no line of ours\n", b"[1]\n", b"\xff\xfe\n", b""])
def test_a_damaged_file_is_forgotten(damage, seer, files, asked, tmp_path, monkeypatch):
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=1)
    kept = (tmp_path / "out" / UNFINISHED).read_bytes()
    (tmp_path / "out" / UNFINISHED).write_bytes(kept + damage if damage else b"")
    asked.clear()
    predict_files(Networks(seer), files, tmp_path / "out")
    assert sorted(asked) == files
    assert not (tmp_path / "out" / UNFINISHED).exists()


def test_two_predictions_into_one_folder_are_kept_apart(seer, files, tmp_path):
    (tmp_path / "out").mkdir()
    refusal = refused(
        "out", "another prediction is writing there", "choose another folder with --out"
    )
    with go_on(tmp_path / "out", "other"), refusal:
        predict_files(Networks(seer), files, tmp_path / "out")
    predict_files(Networks(seer), files, tmp_path / "out")


MANY = 600


def draw_many(folder: Path) -> None:
    """Draw tiny X-rays of few names in many folders."""
    for number in range(MANY):
        write_image(folder / f"p{number // 4:03}" / f"IM{number % 4}.png", draw(number))


def kill_midway(process: subprocess.Popen, kept: Path, lines: int) -> None:
    """Kill a process as soon as a file has some lines."""
    end = time.monotonic() + 120
    while not kept.is_file() or kept.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what changes when a file is written anew."""
    found = {path: path.stat() for path in folder.rglob("*.*")}
    return {str(path): (status.st_ino, status.st_mtime_ns) for path, status in found.items()}


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_a_killed_prediction_goes_on(runs, tmp_path):
    draw_many(tmp_path / "in")
    (runs / "a/segmentation").mkdir(parents=True)
    settings = SegmentationSettings(32, filters=(2,), epochs=1, batch_size=4, learning_rate=1e-2)
    build_unet(settings).save(runs / "a/segmentation/model.keras")
    given = ["predict", "--run", "a", str(tmp_path / "in"), "--out"]
    command = [sys.executable, "-m", "helpers", *given, str(tmp_path / "out")]
    usual = {"cwd": Path(__file__).parents[2], "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **usual) as killed:
        kill_midway(killed, tmp_path / "out" / UNFINISHED, lines=10)
    before = identities(tmp_path / "out/masks")
    again = subprocess.run(command, stdout=subprocess.PIPE, check=True, **usual)
    count = int(re.search(r"going on after ([\d,]+) X-rays", again.stderr)[1].replace(",", ""))
    assert 9 * BATCH <= count < MANY - BATCH
    after = identities(tmp_path / "out/masks")
    done = [str(tmp_path / f"out/masks/{file.place}.png") for file in find_xrays([tmp_path / "in"])]
    assert [after[mask] for mask in done[:count]] == [before[mask] for mask in done[:count]]
    assert {after[mask] == before.get(mask) for mask in done[count:]} == {False}
    assert main([*given, str(tmp_path / "whole")]) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len(done) == MANY


def test_masks_of_a_prediction_that_stopped_at_once_are_not_taken_for_xrays(
    seer, tmp_path, monkeypatch
):
    file = write_image(tmp_path / "a.png", draw(20))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("helpers.predict.unfinished.Unfinished.add", stop)
        with pytest.raises(KeyboardInterrupt):
            predict_files(Networks(seer), find_xrays([tmp_path]), tmp_path / "predictions")
    assert (tmp_path / "predictions/masks/a.png").is_file()
    assert [found.path for found in find_xrays([tmp_path])] == [file.as_posix()]
