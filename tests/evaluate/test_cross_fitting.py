import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.arrays import prepare_images, prepare_masks
from helpers.evaluate import cross_fitting
from helpers.split.index import build_index
from helpers.train import inference
from helpers.train.recipes import SegmentationSettings
from tests.support.builders import Watched, refused

SETTINGS = SegmentationSettings(32, (4,), epochs=4, batch_size=4, learning_rate=1e-2)
COUNT = 60


@pytest.fixture(scope="module")
def chests():
    """X-rays with a bright box of lung each, two of every group."""
    generator = np.random.default_rng(0)
    masks = np.zeros((COUNT, 32, 32), np.uint8)
    for mask in masks:
        top, left = generator.integers(2, 12, 2)
        mask[top : top + 16, left : left + 16] = 1
    xrays = (150 * masks + generator.integers(0, 60, masks.shape)).astype(np.uint8)
    groups = [f"g{row // 2}" for row in range(COUNT)]
    split = pd.DataFrame({"class": ["A", "A", "B", "B"] * (COUNT // 4), "group": groups})
    return xrays, masks, split


def test_masks_are_drawn_by_networks_that_saw_nothing_of_the_group(
    chests, tmp_path, monkeypatch, capsys
):
    xrays, masks, split = chests
    used, asked = [], []
    make, ask = cross_fitting.Batches, inference.predict_each
    watched = Watched(xrays)

    def note_batches(images, targets, rows, *more):
        used.append(set(rows))
        return make(images, targets, rows, *more)

    def note_asked(model, images, rows):
        asked.append(set(rows))
        return ask(model, images, rows)

    monkeypatch.setattr(cross_fitting, "Batches", note_batches)
    monkeypatch.setattr(inference, "predict_each", note_asked)
    monkeypatch.setattr(inference, "fit_batch", lambda model: 4)
    monkeypatch.setattr("helpers.train.checkpoint.BLOCK", 4)
    found = dict(cross_fitting.draw_unseen(watched, masks, split, SETTINGS, 1, tmp_path))
    drawn = np.stack([found[row] for row in range(COUNT)])
    assert (drawn.shape, drawn.dtype) == (masks.shape, np.uint8)
    assert watched.most < 8, "batches of four; a training's X-rays are hashed a few more at a time"
    assert len(asked) == cross_fitting.FOLDS
    assert sorted(row for rows in asked for row in rows) == list(range(COUNT))
    for learnt, checked, unseen in zip(used[::2], used[1::2], asked, strict=True):
        groups = [set(split["group"].iloc[list(rows)]) for rows in (learnt, checked, unseen)]
        assert all(groups)
        assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    overlap = (drawn & masks).sum(axis=(1, 2)) / (drawn | masks).sum(axis=(1, 2))
    assert np.median(overlap) > 0.6, "boxes by chance share a third"
    assert capsys.readouterr().out == ""


@pytest.fixture
def index(data_set, monkeypatch) -> pd.DataFrame:
    """The index of fewer X-rays than are asked for."""
    index, _ = build_index(data_set)
    return index.assign(group=index["file"])


def test_masks_come_at_the_size_asked_for(data_set, index, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(
        cross_fitting, "draw_unseen", lambda xrays, masks, *rest: reversed([*enumerate(masks)])
    )
    found = cross_fitting.draw_masks(data_set, index, 48, SETTINGS, 1, tmp_path)
    expected = prepare_masks(data_set, index, 32)
    assert (found.shape, found.dtype) == ((len(index), 48, 48), np.uint8)
    assert isinstance(found, np.memmap), "it may be more than the memory holds"
    np.testing.assert_array_equal(found[:, ::3, ::3], expected[:, ::2, ::2])
    assert [path.suffix for path in (cache / "arrays").iterdir()] == [".npy"] * 2


def test_a_cache_without_room_for_the_masks_is_named(data_set, index, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(cross_fitting, "draw_unseen", lambda xrays, masks, *rest: enumerate(masks))
    for prepare in (prepare_images, prepare_masks):
        prepare(data_set, index, 32)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
    with refused("masks: needs 0.00 GB", "arrays, which has 0.00 GB free", "COVID_LUNGS_CACHE"):
        cross_fitting.draw_masks(data_set, index, 48, SETTINGS, 1, tmp_path)


@pytest.mark.filterwarnings("ignore:The least populated class")
@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=20), min_size=2, max_size=3),
    mixed=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_the_xrays_of_any_split_can_be_divided(sizes, mixed, seed):
    """Also with few X-rays, and with groups that have X-rays of every class."""
    rows = [
        (name, f"all-{group}" if group < mixed else f"{name}-{group}")
        for name, groups in zip("ABC", sizes, strict=False)
        for group, size in enumerate(groups)
        for _ in range(size)
    ]
    split = pd.DataFrame(rows, columns=["class", "group"])
    for seen, unseen in cross_fitting.divide(split, cross_fitting.FOLDS, seed):
        trained, checked = next(cross_fitting.divide(split.iloc[seen], cross_fitting.CHECKED, seed))
        assert min(len(unseen), len(trained), len(checked)) > 0


def test_a_single_group_cannot_be_divided():
    split = pd.DataFrame({"class": ["A"] * 9, "group": "a"})
    with refused("own_masks", "too few groups", "Leave own_masks out"):
        next(cross_fitting.divide(split, 3, 1))
