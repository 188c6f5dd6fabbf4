import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.data import arrays
from helpers.train import checkpoint
from helpers.train.batches import Batches
from helpers.train.checkpoint import (
    MACHINE,
    STATE,
    describe_training,
    find_differences,
    read_progress,
    resume,
)
from tests.support.builders import refused
from tests.support.gpus import pretend_gpu
from tests.support.trainings import (
    EPOCHS,
    LEARN,
    MASKS,
    PREPARED,
    SEED,
    SETTINGS,
    XRAYS,
    prepare_classifier,
    prepare_segmenter,
)


def change_batches(**changes):
    """Return the segmenter's training with other batches."""
    given = {"images": XRAYS, "targets": MASKS, "rows": LEARN, "batch_size": 4}
    given |= {"shuffle_seed": SEED, "augmentation": "strong"} | changes
    model, _, check = prepare_segmenter()
    return model, Batches(**given), check


def other(array: np.ndarray) -> np.ndarray:
    """Return an array that differs in its last used value."""
    changed = array.copy()
    changed[LEARN[-1]].flat[-1] ^= 1
    return changed


# The same X-rays in other rows, which decide how they are augmented.
MOVED = {
    "images": np.roll(XRAYS, 1, axis=0),
    "targets": np.roll(MASKS, 1, axis=0),
    "rows": LEARN + 1,
}
CHANGES = {
    "network": lambda: prepare_segmenter(replace(SETTINGS, standardised=False)),
    "first weights": lambda: prepare_segmenter(seed=6),
    "loss and optimizer": lambda: prepare_segmenter(replace(SETTINGS, epochs=5)),
    "training X-rays": lambda: change_batches(images=other(XRAYS)),
    "training X-rays, by a mask": lambda: change_batches(targets=other(MASKS)),
    "training X-rays, by their rows": lambda: change_batches(**MOVED),
    "training batch size": lambda: change_batches(batch_size=2),
    "training seed": lambda: change_batches(shuffle_seed=6),
    "training augmentation": lambda: change_batches(augmentation="light"),
}


@pytest.fixture(scope="module")
def described():
    """The segmenter's training, as its record keeps it."""
    return json.loads(json.dumps(describe_training(*prepare_segmenter())))


@pytest.mark.parametrize("part", PREPARED)
def test_an_equal_training_is_recognised_though_keras_numbers_its_layers_on(part):
    one, other = (describe_training(*PREPARED[part]()) for _ in range(2))
    assert find_differences(one, other) == []


@pytest.mark.parametrize("change", CHANGES)
def test_another_training_is_recognised_by(change, described):
    differences = find_differences(describe_training(*CHANGES[change]()), described)
    assert change.partition(",")[0] in differences
    if change.startswith("training"):
        assert len(differences) == 1


def test_arrays_on_disk_are_read_once_for_all_starts(tmp_path, monkeypatch):
    for name, array in (("images", XRAYS), ("targets", MASKS)):
        np.save(tmp_path / f"{name}.npy", array)
    read, taken = arrays._hash_rows, []
    monkeypatch.setattr(arrays, "_hash_rows", lambda array: taken.append(len(array)) or read(array))

    def start() -> dict:
        names = ("images", "targets")
        on_disk = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in names}
        return describe_training(*change_batches(**on_disk))

    first = start()
    assert taken == [len(XRAYS), len(MASKS)]
    assert start() == first
    assert taken == [len(XRAYS), len(MASKS)]
    np.save(tmp_path / "targets.npy", other(MASKS))
    os.utime(tmp_path / "targets.npy", ns=(1, 1))
    assert find_differences(start(), first) == ["training X-rays"]


def test_other_code_and_versions_are_another_training(monkeypatch):
    prepared = prepare_classifier()
    kept = describe_training(*prepared)
    monkeypatch.setattr(keras, "__version__", "4.0.0")
    monkeypatch.setattr(checkpoint, "CODE", ("training",))
    prepared[0].jit_compile = not prepared[0].jit_compile
    differences = find_differences(describe_training(*prepared), kept)
    assert differences == ["code", "backend", "compiled by XLA"]


def test_other_precision_is_another_training():
    described = []
    try:
        for precision in ("mixed_bfloat16", "mixed_float16"):
            keras.config.set_dtype_policy(precision)
            described.append(describe_training(*prepare_classifier()))
    finally:
        keras.config.set_dtype_policy("float32")
    assert find_differences(*described) == ["precision"]


def test_on_a_gpu_only_what_the_machine_decides_is_another(described, monkeypatch):
    pretend_gpu(monkeypatch)
    prepared = prepare_segmenter()
    assert prepared[0].steps_per_execution > 1
    differences = find_differences(describe_training(*prepared), described)
    assert "device" in differences, "the other one augments a little differently"
    assert MACHINE.issuperset(differences)


def test_a_damaged_state_is_never_taken_for_whole(all_but_finished, tmp_path):
    whole, draw = (all_but_finished / STATE).read_bytes(), random.Random(0)
    expected = read_progress(all_but_finished)
    (tmp_path / STATE).parent.mkdir()
    damaged = [whole[: draw.randrange(len(whole))] for _ in range(100)] + [b"", b"history"]
    for place in draw.sample(range(len(whole)), 300):
        damaged.append(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    refusals = 0
    for content in damaged:
        (tmp_path / STATE).write_bytes(content)
        try:
            found = read_progress(tmp_path)
        except ValueError:
            refusals += 1
            continue
        assert len(found.best_weights) == len(expected.best_weights)
        for one, other in zip(found.variables, expected.variables, strict=True):
            np.testing.assert_array_equal(one, other)
        assert (found.rows, found.best_loss) == (expected.rows, expected.best_loss)
    assert refusals > 300, "but for what zip repeats or ignores"


def test_a_damaged_state_begins_anew_and_says_so(tmp_path):
    (tmp_path / STATE).parent.mkdir()
    (tmp_path / STATE).write_bytes(b"PK\3\4")
    progress, note = resume(tmp_path, {"first weights": "known"}, EPOCHS)
    assert progress.rows == []
    assert note.endswith("unfinished/state.npz is damaged: the training begins anew.")


def test_a_state_that_cannot_be_read_now_is_not_given_up(tmp_path):
    (tmp_path / STATE).mkdir(parents=True)
    with refused("unfinished/state.npz", "cannot be read (Is a directory)", "Reconnect its drive"):
        resume(tmp_path, {"first weights": "known"}, EPOCHS)


def test_a_state_too_large_for_the_memory_is_not_given_up(all_but_finished, monkeypatch):
    def load(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(np, "load", load)
    with refused("unfinished/state.npz", "cannot be read (out of memory)", "run again"):
        resume(all_but_finished, {"first weights": "known"}, EPOCHS)


def test_a_full_disk_leaves_the_state_of_the_epoch_before(all_but_finished, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(all_but_finished, tmp_path / "a"))
    before = (folder / STATE).read_bytes()
    model = prepare_classifier()[0]

    def fill(path, **arrays):
        path.write_bytes(b"half")
        try:
            raise OSError(28, "No space left on device")
        finally:
            raise ValueError("Can't close the ZIP file")  # as zipfile does

    monkeypatch.setattr(checkpoint.np, "savez", fill)
    with refused("unfinished/state.npz", "No space left on device", "Make room"):
        read_progress(folder).write(folder, model)
    assert (folder / STATE).read_bytes() == before
    left = sorted(path.name for path in (folder / STATE).parent.iterdir())
    assert left == [".lock", "state.npz"]
