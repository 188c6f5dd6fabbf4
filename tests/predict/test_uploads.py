import sys
from datetime import UTC, datetime
from types import ModuleType

import numpy as np
import pytest

from helpers.data.images import read_xray
from helpers.predict import uploads
from helpers.predict.uploads import DRAWN, YOURS, offer_upload, take_xray
from tests.support.builders import refused, write_image, xray


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


def test_a_path_that_is_none_is_refused(tmp_path):
    with refused("nowhere.png", "cannot be read (No such file", "nothing to upload one"):
        take_xray(str(tmp_path / "nowhere.png"), None, 7)


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
    assert uploads.in_colab()
    assert take_xray("", None, 7)[1] == DRAWN
