import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.arrays import prepare_images
from helpers.data.images import resize_image
from helpers.data.synthetic import draw_xray
from helpers.predict.novelty import (
    CELLS,
    DIRECTIONS,
    Likeness,
    describe,
    find_unlike,
    learn_likeness,
    measure_distances,
    read_likeness,
    write_likeness,
)
from helpers.split.splits import assign_splits
from tests.support.builders import Watched, refused
from tests.support.strangers import KINDS, TOTAL, make_strangers

SIZE = (128, 128)
few = settings(max_examples=20, deadline=None)


def draw(seeds: range) -> np.ndarray:
    return np.stack([resize_image(draw_xray("Normal", seed)[0], SIZE) for seed in seeds])


def learn(xrays: np.ndarray) -> Likeness:
    return learn_likeness(xrays, pd.Series(range(len(xrays))))


@pytest.fixture(scope="module")
def xrays() -> np.ndarray:
    return draw(range(100))


@pytest.fixture(scope="module")
def known(xrays) -> Likeness:
    return learn(xrays)


@pytest.fixture(scope="module")
def strangers() -> tuple[list[str], np.ndarray]:
    made = list(make_strangers(3))
    return [kind for kind, _ in made], np.stack([resize_image(one, SIZE) for _, one in made])


def shares_refused(known: Likeness, xrays: np.ndarray) -> float:
    return float(find_unlike(known, xrays).mean())


@few
@given(st.integers(0, 99), st.floats(0.4, 1), st.integers(0, 40))
def test_brightness_and_contrast_hardly_matter_and_a_negative_turns_each_edge_round(
    xrays, number, contrast, brightness
):
    xray = xrays[number : number + 1]
    changed = np.round(xray * (contrast * 0.8) + brightness).astype(np.uint8)
    before, after, negative = describe(xray), describe(changed), describe(255 - xray)
    assert np.linalg.norm(before) == pytest.approx(1, abs=1e-5)
    assert before.mean() == pytest.approx(0, abs=1e-6)
    assert (before @ after.T).item() > 0.97
    cells = before.reshape(DIRECTIONS, CELLS, CELLS)
    turned = np.roll(cells, DIRECTIONS // 2, axis=0)
    # Not quite: angles are approximate, and halves round up in both pictures.
    assert (negative.ravel() @ turned.ravel()) > 0.99


def test_one_edge_is_where_it_is_and_runs_as_it_runs():
    picture = np.zeros((1, 64, 64), np.uint8)
    picture[:, 20:, :8] = 200  # bright at the lower left: its upper edge is in the third row
    cells = describe(picture).reshape(DIRECTIONS, CELLS, CELLS)
    down, left = 2, 4
    assert cells[:, 2, 0].argmax() == down
    assert cells[:, 5, 0].argmax() == left
    assert (cells[:, :2] < 0).all()


def test_equal_xrays_are_near_and_a_blank_one_is_like_none(known, xrays):
    same = learn_likeness(np.concatenate([xrays[:1]] * 6), pd.Series(range(6)))
    assert measure_distances(same, xrays[:1]).item() == pytest.approx(0, abs=1e-3)
    blank = np.full((1, *SIZE), 90, np.uint8)
    assert not describe(blank).any()
    assert measure_distances(known, blank).item() == 1
    assert find_unlike(known, blank).all()


def test_the_limit_is_that_of_xrays_of_other_groups(known, xrays):
    twice = np.concatenate([xrays, xrays])
    groups = pd.Series([*range(len(xrays))] * 2)
    copies = learn_likeness(twice, groups)
    assert copies.unlike > 0.9 * known.unlike  # a copy of itself would be at 0
    alone = learn_likeness(xrays[:3], pd.Series(["a", "a", "a"]))
    assert shares_refused(alone, 255 - xrays[:3]) == 0  # nothing to compare with


@few
@given(rows=st.lists(st.integers(0, 99), min_size=2, max_size=30), most=st.integers(2, 40))
def test_what_is_learnt_of_some_rows_is_what_is_learnt_of_a_copy_of_them(xrays, rows, most):
    groups = pd.Series([f"g{row // 3}" for row in rows])
    watched = Watched(xrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.predict.novelty.MOST", most)
        expected = learn_likeness(xrays[rows], groups)
        found = learn_likeness(watched, groups.set_axis(rows))
    assert found[1:] == expected[1:]
    np.testing.assert_array_equal(found.known, expected.known)
    assert watched.most == 1


def test_distances_do_not_depend_on_what_is_measured_together(known, strangers, monkeypatch):
    pictures = strangers[1]
    at_once = measure_distances(known, pictures)
    monkeypatch.setattr("helpers.predict.novelty.BLOCK", 7)
    one_by_one = measure_distances(known, (picture for picture in pictures))
    np.testing.assert_allclose(one_by_one, at_once, atol=1e-6)


def test_one_in_200_of_the_training_xrays_is_beyond_the_limit(known, xrays):
    far = np.sort([measure_distances(known, xrays[row : row + 1]).item() for row in range(100)])
    limit = known._replace(unlike=float(far[-2]))
    assert find_unlike(limit, xrays).sum() == 1


def test_others_of_the_same_kind_are_like_the_known_ones_and_strangers_not(known, strangers):
    kinds, pictures = strangers
    assert len(kinds) == TOTAL
    assert {kind: kinds.count(kind) for kind in KINDS} == {
        kind: count for kind, (count, _) in KINDS.items()
    }
    assert shares_refused(known, draw(range(1000, 1100))) <= 0.03
    assert shares_refused(known, pictures) >= 0.99


def test_on_real_xrays_the_limit_holds_for_those_that_did_not_set_it(
    real_sets, real_indexes, strangers, tmp_path, cache
):
    name = "COVID-19_Radiography_Dataset"
    index = real_indexes[name][0]
    split = index.merge(assign_splits(index, 7)[["file", "group", "split"]], on="file")
    images = prepare_images(real_sets[name], split, SIZE[0])
    learnt = split["split"] == "train"
    known = learn_likeness(images, split["group"][learnt])
    # The rule leaves 1 in 200 of its own beyond the limit. Over seeds 0 to 4 and 7 these were 0.9 %
    # on average, 1.6 % at most, since patients with several X-rays are outside of it, too.
    assert shares_refused(known, images[~learnt]) <= 0.02
    assert shares_refused(known, strangers[1]) >= 0.98


def test_what_is_known_is_kept(known, xrays, tmp_path):
    assert read_likeness(tmp_path) is None
    write_likeness(tmp_path, known)
    again = read_likeness(tmp_path)
    assert again[1:] == known[1:]
    np.testing.assert_array_equal(measure_distances(again, xrays), measure_distances(known, xrays))


def test_a_damaged_file_is_refused(known, tmp_path):
    write_likeness(tmp_path, known)
    path = tmp_path / "likeness.npz"
    content = path.read_bytes()
    for damaged in (b"", b"no archive", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with refused("likeness.npz", "missing or damaged", "Run 04_segment_lungs again"):
            read_likeness(tmp_path)
    np.savez(path, known=known.known)
    with refused("likeness.npz", "missing or damaged", "Run 04_segment_lungs again"):
        read_likeness(tmp_path)
