import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.train.batches import Batches, scale

few = settings(max_examples=60, deadline=None)
COUNT = 40
IMAGES = np.arange(COUNT, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 3), np.uint8)
LABELS = np.arange(COUNT)  # each label says which X-ray it belongs to
MASKS = IMAGES % 2
rows_of_some = st.permutations(range(COUNT)).flatmap(
    lambda order: st.integers(1, COUNT).map(lambda count: np.array(order[:count]))
)


def numbers(batches: Batches) -> list[int]:
    """Return the X-rays of an epoch in their order, read off the labels."""
    return [int(label) for position in range(len(batches)) for label in batches[position][1][:, 0]]


@few
@given(rows=rows_of_some, size=st.integers(1, 9))
def test_every_row_comes_once_in_order(rows, size):
    batches = Batches(IMAGES, LABELS, rows, size)
    for epoch in range(2):
        batches.start_epoch(epoch)
        assert numbers(batches) == list(rows)
        assert len(batches) == -(-len(rows) // size)
        assert all(len(batches[position][0]) == size for position in range(len(batches) - 1))


@few
@given(rows=rows_of_some, size=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_every_row_comes_in_a_shuffled_epoch_whose_batches_are_full(rows, size, seed):
    batches = Batches(IMAGES, LABELS, rows, size, shuffle_seed=seed)
    for epoch in range(3):
        batches.start_epoch(epoch)
        seen = numbers(batches)
        assert sorted(seen[: len(rows)]) == sorted(rows)
        assert seen[len(rows) :] == seen[: len(seen) - len(rows)], "the first ones once more"
        sizes = {len(batches[position][0]) for position in range(len(batches))}
        assert sizes == {min(size, len(rows))}


@few
@given(rows=rows_of_some, seed=st.integers(0, 2**31), epoch=st.integers(0, 4))
def test_the_order_depends_on_seed_and_epoch_only(rows, seed, epoch):
    np.random.seed(epoch)  # noqa: NPY002 - the global generator must not matter
    first, second = (Batches(IMAGES, LABELS, rows, size, shuffle_seed=seed) for size in (4, 7))
    for earlier in range(epoch):
        first.start_epoch(earlier)
        _ = first[0]
    first.start_epoch(epoch)
    second.start_epoch(epoch)  # at once, as after a restart
    assert numbers(first)[: len(rows)] == numbers(second)[: len(rows)]


def test_epochs_and_seeds_differ_in_their_order():
    orders = {tuple(range(COUNT))}
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1)):
        batches = Batches(IMAGES, LABELS, np.arange(COUNT), 8, shuffle_seed=seed)
        batches.start_epoch(epoch)
        orders.add(tuple(numbers(batches)))
    assert len(orders) == 5


def test_augmentation_depends_on_seed_epoch_and_row_only():
    generator = np.random.default_rng(0)
    xrays = generator.integers(0, 256, (6, 32, 32), dtype=np.uint8)
    masks = (xrays > 128).astype(np.uint8)

    def shown(seed: int, epoch: int, size: int) -> dict[bytes, bytes]:
        """Return what an epoch shows, X-rays with their masks."""
        given = {"shuffle_seed": seed, "augmentation": "strong"}
        batches = Batches(xrays, masks, np.arange(6), size, **given)
        batches.start_epoch(epoch)
        pairs = [batches[position] for position in range(len(batches))]
        assert all(x.shape == y.shape == (size, 32, 32, 1) for x, y in pairs)
        assert all(set(np.unique(y)) <= {0, 1} and 0 <= x.min() <= x.max() <= 1 for x, y in pairs)
        return {x.tobytes(): y.tobytes() for xs, ys in pairs for x, y in zip(xs, ys, strict=True)}

    first = shown(seed=3, epoch=1, size=2)
    assert len(first) == 6
    assert first == shown(seed=3, epoch=1, size=3)
    assert first.keys().isdisjoint(shown(seed=3, epoch=2, size=2))
    assert first.keys().isdisjoint(shown(seed=4, epoch=1, size=2))
    assert first.keys().isdisjoint(scale(xray).tobytes() for xray in xrays)


def test_an_augmented_xray_keeps_its_label():
    grey = np.array([0, 60, 120, 180, 240], np.uint8)
    xrays = np.broadcast_to(grey[:, None, None], (5, 24, 24))
    batches = Batches(xrays, grey, np.arange(5), 5, shuffle_seed=1, augmentation="light")
    images, labels = batches[0]
    assert (images.shape, labels.shape) == ((5, 24, 24, 1), (5, 1))
    middle = 255 * images[:, 12, 12, 0]
    assert np.argsort(middle).tolist() == np.argsort(labels[:, 0]).tolist()
    assert sorted(labels[:, 0]) == grey.tolist()
    assert np.abs(middle - labels[:, 0]).max() > 1, "nothing was changed"


@few
@given(rows=rows_of_some, size=st.integers(1, 9))
def test_an_xray_and_its_targets_stay_together(rows, size):
    with_labels = Batches(IMAGES, LABELS, rows, size, shuffle_seed=1)
    with_masks = Batches(IMAGES, MASKS, rows, size, shuffle_seed=1)
    for position in range(len(with_labels)):
        xrays, labels = with_labels[position]
        again, masks = with_masks[position]
        np.testing.assert_array_equal(np.round(xrays[:, 0, 0] * 255), labels)
        np.testing.assert_array_equal(np.round(again * 255) % 2, masks)


def test_shapes_and_types():
    xrays, labels = Batches(IMAGES, LABELS, np.arange(5), 4)[0]
    _, masks = Batches(IMAGES, MASKS, np.arange(5), 4)[1]
    assert (xrays.shape, labels.shape, masks.shape) == ((4, 2, 3, 1), (4, 1), (1, 2, 3, 1))
    assert xrays.dtype == labels.dtype == masks.dtype == np.float32


def test_scale_spans_zero_to_one():
    levels = np.arange(256, dtype=np.uint8)[None]
    scaled = scale(levels)
    assert scaled.shape == (1, 256, 1)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[0, :, 0], np.arange(256) / 255, atol=1e-7)
