from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu

from helpers.evaluate import shortcuts
from helpers.evaluate.intervals import Estimate
from helpers.evaluate.views import OUTSIDE, View
from helpers.train.batches import Batches
from helpers.train.recipes import DetectionSettings
from tests.support.builders import Watched
from tests.support.gpus import pretend_gpu


def looks(generator, ill=15, others=45, split="test", **shifts) -> pd.DataFrame:
    """Return predictions of chance alone, but for the views that are shifted for the ill."""
    label = np.repeat([1, 0], [ill, others])
    table = pd.DataFrame({"split": split, "group": [f"g{i}" for i in range(len(label))]})
    for name in OUTSIDE:
        table[name] = generator.normal(size=len(label)) + shifts.get(name, 0) * label
    return table.assign(label=label)


def figures(value=0.9) -> dict[str, Estimate]:
    return {f"auroc_{name}": Estimate(value, 60) for name in OUTSIDE}


def p_values_of(predictions: pd.DataFrame) -> dict[str, float]:
    return shortcuts.correct_p_values(*shortcuts.find_cases(predictions))


def test_chance_alone_is_named_in_one_of_a_hundred_at_most():
    generator = np.random.default_rng(1)
    named = [
        min(p_values_of(looks(generator)).values()) < shortcuts.FAMILY_ERROR for _ in range(1000)
    ]
    assert 0 < sum(named) <= 18, "10 are expected, 18 or fewer in 99 of 100 such series"


def test_p_values_are_holm_s_of_the_one_sided_tests():
    table = looks(np.random.default_rng(2), border=1.0, mask_shape=0.5)
    ill, others = table[table["label"] == 1], table[table["label"] == 0]
    alone = {
        name: mannwhitneyu(ill[name], others[name], alternative="greater").pvalue
        for name in OUTSIDE
    }
    small, middle, large = sorted(alone.values())
    holm = [3 * small, max(3 * small, 2 * middle), max(3 * small, 2 * middle, large)]
    found = p_values_of(table)
    assert sorted(found.values()) == pytest.approx(np.minimum(holm, 1))
    assert sorted(found, key=found.get) == sorted(alone, key=alone.get)


def test_copies_and_the_other_splits_count_for_nothing():
    generator = np.random.default_rng(3)
    table = looks(generator, border=0.7)
    copies = pd.concat([table] * 5, ignore_index=True)
    learnt = looks(generator, split="train", lungs_removed=9)
    assert p_values_of(pd.concat([copies, learnt])) == pytest.approx(p_values_of(table))


@pytest.mark.parametrize("view", OUTSIDE)
def test_the_view_that_shows_the_class_is_named(view):
    verdict = shortcuts.judge(looks(np.random.default_rng(4), **{view: 3}), figures())
    assert verdict["views"] == [view]
    assert verdict["text"].startswith("A shortcut")
    assert f"{view} (AUROC 0.900, p < 0.001)" in verdict["text"]
    assert not any(other in verdict["text"] for other in OUTSIDE if other != view)


def test_a_quiet_verdict_says_what_it_could_not_have_seen():
    verdict = shortcuts.judge(looks(np.random.default_rng(5)), figures(0.5))
    assert verdict["views"] == []
    assert "15 cases of COVID and 45 others" in verdict["text"]
    assert "an AUROC below 0.74 would have gone unseen" in verdict["text"]
    assert round(verdict["smallest_seen"], 2) == 0.74


def test_a_quiet_verdict_tells_cases_from_their_x_rays():
    table = looks(np.random.default_rng(5))
    table = pd.concat([table, table[table["label"] == 1].head(1)], ignore_index=True)
    text = shortcuts.judge(table, figures(0.5))["text"]
    assert "15 cases of COVID (16 X-rays) and 45 others in the test split" in text


def test_the_smallest_auroc_seen_is_named_in_half_of_all_series():
    needed = shortcuts.smallest_seen(40, 120)
    shift = np.sqrt(2) * -shortcuts.norm.isf(needed)  # of normal scores with that AUROC
    generator = np.random.default_rng(6)
    named = [
        p_values_of(looks(generator, 40, 120, border=shift))["border"] < shortcuts.FAMILY_ERROR
        for _ in range(200)
    ]
    assert 0.35 < np.mean(named) < 0.65


def test_a_view_that_shows_the_class_is_learnt_and_kept(tmp_path, capsys):
    generator = np.random.default_rng(0)
    labels = np.tile([0, 1], 60)
    view = generator.integers(0, 60, (120, 24, 24)).astype("uint8")
    view[labels == 1, :6, :6] += 120
    names = np.repeat(["train", "validation", "test"], [80, 20, 20])
    split = pd.DataFrame({"split": names})
    small = DetectionSettings(24, (4, 4, 4), epochs=6, batch_size=8, learning_rate=3e-3)
    found = shortcuts.Trainer(labels, split, small, 1).train(view, tmp_path / "border")
    again = shortcuts.Trainer(labels, split, small, 1).train(view, tmp_path / "border")
    np.testing.assert_array_equal(found, again)
    test = names == "test"
    assert found[test & (labels == 1)].min() > found[test & (labels == 0)].max()
    assert (tmp_path / "border/model.keras").is_file()
    assert capsys.readouterr().out == "", "thirty lines of epochs a view would hide the story"


def test_a_view_is_learnt_batch_by_batch_as_its_whole_array_is(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.train.inference.fit_batch", lambda model: 8)
    monkeypatch.setattr("helpers.train.checkpoint.BLOCK", 8)
    generator = np.random.default_rng(0)
    xrays = generator.integers(0, 256, (60, 24, 24), dtype=np.uint8)
    masks = generator.integers(0, 2, xrays.shape, dtype=np.uint8)
    split = pd.DataFrame({"split": np.repeat(["train", "validation", "test"], 20)})
    small = DetectionSettings(24, (4, 4, 4), epochs=1, batch_size=8, learning_rate=3e-3)
    trainer = shortcuts.Trainer(np.tile([0, 1], 30), split, small, 1)
    watched = Watched(xrays)
    found = trainer.train(View("border", watched, masks), tmp_path / "a")
    whole = View("border", xrays, masks)[:]
    np.testing.assert_array_equal(found, trainer.train(whole, tmp_path / "b"))
    assert watched.most < 16


def test_what_a_view_teaches_does_not_depend_on_the_views_before_it(tmp_path):
    generator = np.random.default_rng(0)
    one, two = generator.integers(0, 256, (2, 60, 24, 24), dtype=np.uint8)
    split = pd.DataFrame({"split": np.repeat(["train", "validation", "test"], 20)})
    small = DetectionSettings(24, (4, 4, 4), epochs=2, batch_size=8, learning_rate=3e-3)
    given = np.tile([0, 1], 30), split, replace(small, schedule="cosine", pooled=True), 1
    alone = shortcuts.Trainer(*given).train(two, tmp_path / "alone")
    trainer = shortcuts.Trainer(*given)
    trainer.train(one, tmp_path / "one")
    np.testing.assert_array_equal(trainer.train(two, tmp_path / "two"), alone)
    for name in ("history.csv", "training.json"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_a_gpu_sees_a_view_as_a_processor_does(monkeypatch):
    generator = np.random.default_rng(0)
    xrays = generator.integers(0, 256, (9, 24, 24), dtype=np.uint8)
    view = View("border", xrays, generator.integers(0, 2, xrays.shape, dtype=np.uint8))
    arguments = view, np.arange(9) % 2, np.array([7, 2, 5, 0]), 4
    expected, _ = Batches(*arguments)[0]
    pretend_gpu(monkeypatch)
    found, _ = Batches(*arguments)[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert expected.std() > 0
