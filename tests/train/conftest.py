"""Trainings that several files of these tests use."""

import shutil
from pathlib import Path

import pytest

from helpers.train import training
from helpers.train.training import train
from tests.support.trainings import (
    EPOCHS,
    PREPARED,
    Stopped,
    let_in_the_classifier,
    prepare_classifier,
    stop,
)


@pytest.fixture(scope="module")
def classifiers_allowed():
    """Let the classifier be loaded."""
    with pytest.MonkeyPatch.context() as patch:
        let_in_the_classifier(patch)
        yield


@pytest.fixture(scope="module")
def whole(classifiers_allowed, tmp_path_factory):
    """The folders of trainings that nothing stopped."""
    folders = {}
    for part, prepare in PREPARED.items():
        folders[part] = tmp_path_factory.mktemp(part)
        train(*prepare(), EPOCHS, folders[part], say=False)
    return folders


@pytest.fixture
def finished(whole, tmp_path):
    """A copy of the classifier's folder."""
    return Path(shutil.copytree(whole["classifier"], tmp_path / "finished"))


@pytest.fixture(scope="module")
def all_but_finished(classifiers_allowed, tmp_path_factory):
    """The folder of a classifier that was stopped between its last epoch and its end."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "keep_trained", stop)
        with pytest.raises(Stopped):
            train(*prepare_classifier(), EPOCHS, folder, say=False)
    return folder
