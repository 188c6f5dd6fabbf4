import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.predict import prediction
from helpers.predict.novelty import learn_likeness
from helpers.predict.prediction import BATCH, predict_files
from helpers.predict.unfinished import NAME, go_on
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
def files(tmp_path) -> list[Path]:
    names = [tmp_path / "in" / f"x{number:03}.png" for number in range(COUNT)]
    for number, name in enumerate(names):
        write_image(name, draw(number))
    names[BATCH + 1].write_bytes(b"no picture")
    return names


@pytest.fixture
def asked(monkeypatch) -> list[Path]:
    """The X-rays that are predicted, in any order."""
    asked, predict = [], prediction._predict_batch

    def note(networks, likeness, folder, batch):
        asked.extend(batch)
        return predict(networks, likeness, folder, batch)

    monkeypatch.setattr(prediction, "_predict_batch", note)
    return asked


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def stop_after(monkeypatch, seer, files: list[Path], out: Path, batches: int) -> None:
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
            predict_files([seer], files, out)


def test_a_stopped_prediction_goes_on_where_it_was(
    seer, files, asked, tmp_path, monkeypatch, capsys
):
    whole = predict_files([seer], files, tmp_path / "whole")
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=3)
    (tmp_path / "out/masks/.partial-1").write_bytes(b"half of a mask")
    asked.clear()
    assert "going on" not in capsys.readouterr().err
    table = predict_files([seer], files, tmp_path / "out")
    assert f"going on after {3 * BATCH} X-rays" in capsys.readouterr().err
    assert sorted(asked) == files[3 * BATCH :]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert table.equals(whole)
    assert (table.dtypes == whole.dtypes).all()


def test_a_finished_prediction_is_made_anew(seer, files, asked, tmp_path):
    for _ in range(2):
        asked.clear()
        predict_files([seer], files, tmp_path / "out")
        assert sorted(asked) == files


CHANGES = {
    "an X-ray": lambda files, out: write_image(files[0], draw(50)),
    "a mask": lambda files, out: (out / "masks/x000.png").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_batch_that_changed_is_predicted_again(change, seer, files, asked, tmp_path, monkeypatch):
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=3)
    CHANGES[change](files, tmp_path / "out")
    asked.clear()
    predict_files([seer], files, tmp_path / "out")
    assert sorted(asked) == files[:BATCH] + files[3 * BATCH :]
    predict_files([seer], files, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("other", ["network", "likeness"])
def test_another_prediction_begins_anew(other, seer, files, asked, tmp_path, monkeypatch):
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=3)
    asked.clear()
    if other == "likeness":
        generator = np.random.default_rng(0)
        xrays = generator.integers(0, 256, (40, 32, 32), dtype=np.uint8)
        likeness = learn_likeness(xrays, prediction.pd.Series(range(40)))
        predict_files([seer], files, tmp_path / "out", likeness)
    else:
        negative = keras.layers.Rescaling(-1, offset=1)
        darker = keras.Sequential([keras.Input((32, 32, 1)), negative])
        predict_files([darker], files, tmp_path / "out")
    assert sorted(asked) == files


def test_a_line_that_was_cut_short_is_forgotten(seer, files, asked, tmp_path, monkeypatch):
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=3)
    kept = (tmp_path / "out" / NAME).read_bytes()
    (tmp_path / "out" / NAME).write_bytes(kept[:-20])
    asked.clear()
    predict_files([seer], files, tmp_path / "out")
    assert sorted(asked) == files[2 * BATCH :]
    predict_files([seer], files, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", [b"no line of ours\n", b"[1]\n", b"\xff\xfe\n", b""])
def test_a_damaged_file_is_forgotten(damage, seer, files, asked, tmp_path, monkeypatch):
    stop_after(monkeypatch, seer, files, tmp_path / "out", batches=1)
    kept = (tmp_path / "out" / NAME).read_bytes()
    (tmp_path / "out" / NAME).write_bytes(kept + damage if damage else b"")
    asked.clear()
    predict_files([seer], files, tmp_path / "out")
    assert sorted(asked) == files
    assert not (tmp_path / "out" / NAME).exists()


def test_two_predictions_into_one_folder_are_kept_apart(seer, files, tmp_path):
    (tmp_path / "out").mkdir()
    refusal = refused(
        "out", "another prediction is writing there", "choose another folder with --out"
    )
    with go_on(tmp_path / "out", "other"), refusal:
        predict_files([seer], files, tmp_path / "out")
    predict_files([seer], files, tmp_path / "out")


PREDICT = """
import sys, time
from pathlib import Path
import keras
from helpers.predict import prediction
seer = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Activation("linear")])
write = prediction._write
def slowly(*given):
    time.sleep(0.005)
    return write(*given)
prediction._write = slowly
prediction.predict_files([seer], sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]))
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_a_killed_prediction_goes_on(seer, files, asked, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", PREDICT, str(files[0].parent), str(out)]
    killed = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (out / NAME).is_file() or len((out / NAME).read_bytes().splitlines()) < 3:
        assert time.monotonic() < end and killed.poll() is None
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    predict_files([seer], files, out)
    assert len(asked) <= COUNT - 2 * BATCH
    predict_files([seer], files, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")
