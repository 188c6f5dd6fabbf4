"""Remarks: each sentence follows the data."""

import numpy as np
import pandas as pd
import pytest

from helpers.data.sources import find_data
from helpers.evaluate.intervals import Estimate
from helpers.report import remarks
from helpers.split.index import build_index
from helpers.split.splits import assign_splits

LABELS = np.array([1, 1, 0, 0, 0])
TABLE = pd.DataFrame(
    {
        "file": list("abcdefgh"),
        "copy_of": list("aaaadegg"),
        "pixels": list("11234566"),
    }
)


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([0.6, 0.6, 0.8], "up to epoch 2 is 0.600"),
        ([0.6, 0.8, 0.6], "up to epoch 1 is 0.600"),
        ([0.4, 0.6, 0.8], "up to epoch 1 is 0.400"),
        ([0.8, 0.6, 0.8], "From the first epoch on"),
    ],
)
def test_epochs_that_predict_the_larger_class_only_are_counted(accuracies, expected):
    history = pd.DataFrame({"epoch": [1, 2, 3], "val_accuracy": accuracies})
    assert expected in remarks.remark_on_majority(history, LABELS)


@pytest.mark.parametrize(
    ("losses", "checked", "expected"),
    [
        ([3.0, 2.0, 1.0], [3.0, 2.0, 1.5], "epoch 3, where the validation loss was lowest"),
        ([3.0, 2.0, 1.0], [3.0, 1.5, 2.5], "From epoch 2 to 3 it rose from 1.500 to 2.500"),
        ([3.0, 2.0, 1.0], [2.0, 3.0, 1.5], "From epoch 1 to 2 it rose from 2.000 to 3.000"),
        ([3.0, 2.0, 2.5], [3.0, 1.5, 2.5], "The epochs after it brought nothing better."),
    ],
)
def test_learning_curves_tell_of_the_kept_epoch_and_of_overfitting(losses, checked, expected):
    history = pd.DataFrame({"epoch": [1, 2, 3], "loss": losses, "val_loss": checked})
    said = remarks.remark_on_curves(history)
    assert expected in said
    assert ("overfitting" in said) == ("rose" in expected)
    assert ("more epochs" in said) == (expected.startswith("epoch 3"))
    assert ("fell again" in said) == (checked == [2.0, 3.0, 1.5])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.7, 0.9, "above that"), (0.5, 0.9, "contains that"), (0.3, 0.5, "below that")],
)
def test_the_accuracy_is_held_against_the_larger_class(low, high, expected):
    metrics = {
        "accuracy": Estimate((low + high) / 2, low=low, high=high, n=40),
        "majority_accuracy": Estimate(0.6, low=0.4, high=0.8, n=40),
    }
    said = remarks.remark_on_accuracy(metrics)
    assert expected in said
    assert "0.600 needs no network" in said


@pytest.mark.parametrize(
    ("others", "expected"), [((0.1, 0.85), "no error"), ((0.1, 0.95), "others up to 0.95")]
)
def test_a_perfect_ranking_has_a_threshold_without_errors(others, expected):
    test = pd.DataFrame({"label": [1, 1, 0, 0], "probability": [0.9, 0.99, *others]})
    assert expected in remarks.remark_on_ranking(test)


def test_guessing_the_larger_side_is_right_as_often_as_it_is_large():
    counts = {"COVID": 30, "Normal": 60, "Viral Pneumonia": 10}
    sentence = remarks.remark_on_classes(counts)
    assert "Normal has 6.0 times as many X-rays as Viral Pneumonia" in sentence
    assert "30.0% of all are COVID: whoever always answers “no”" in sentence
    assert "right in 70.0% of cases" in sentence
    assert "“yes”" in remarks.remark_on_classes({"COVID": 60, "Normal": 40})
    assert "COVID" not in remarks.remark_on_classes({"Normal": 5, "Tuberculosis": 5})
    assert "of one class, Normal" in remarks.remark_on_classes({"Normal": 5})


def test_counts_of_copies_add_up():
    """a = b by pixels, altered in c and d; g = h by pixels; e and f stand alone."""
    sentence = remarks.remark_on_copies(TABLE)
    assert "6 of 8 X-rays have a copy.\nThey form 2 families." in sentence
    assert "all but one of each, 4 in all, seem superfluous" in sentence
    assert (
        "4 with a copy of equal pixels + 3 with an altered copy − 1 in both lists = 6" in sentence
    )
    assert "They form 1 family." in remarks.remark_on_copies(TABLE[:4])
    alone = TABLE.assign(copy_of=TABLE["file"], pixels=TABLE["file"])
    assert "None of the 8 X-rays is a copy" in remarks.remark_on_copies(alone)


def test_copies_are_counted_as_the_audit_counts_them():
    table, audit = build_index(find_data("demo"))
    counts = {finding["name"]: finding["count"] for finding in audit["findings"]}
    exact, near = counts["exact_copies"], counts["near_copies"]
    sentence = remarks.remark_on_copies(table)
    assert f"{exact} with a copy of equal pixels + {near} with an altered copy" in sentence


def test_leaks_are_a_share_of_the_test_split():
    split = TABLE.assign(split=["test"] * 5 + ["train"] * 3)
    sentence = remarks.remark_on_leaks(split, TABLE[:2], TABLE["copy_of"])
    assert "2 of 5 test X-rays have a relative in training: 40.0%" in sentence
    assert "Of all X-rays 75.0% have relatives" in sentence
    assert "no split can leak" in remarks.remark_on_leaks(split, TABLE[:0], TABLE["file"])


def test_a_gap_of_less_than_a_group_is_told_from_a_larger_one():
    """Eight of twenty X-rays are pairs: a test split of five has a fair share of two."""
    split = pd.DataFrame({"class": "A", "group": list("aabbccdd") + list(range(12))})
    names = ["train"] * 6 + ["test"] * 2 + ["train"] * 9 + ["test"] * 3
    even = remarks.remark_on_shares(split.assign(split=names))
    assert "40.0% of all" in even
    assert "The fair share of the split test is 2.0 of these X-rays; it has 2.\n" in even
    assert "no split is more than 0.0 X-rays" in even
    assert "has up to 2." in even
    names = ["test"] * 4 + ["train"] * 15 + ["test"]
    uneven = remarks.remark_on_shares(split.assign(split=names))
    assert "is 2.0 of these X-rays; it has 4.\n" in uneven
    assert "A class is off by 2.0 X-rays, and the largest group has 2: these groups" in uneven
    assert "No X-ray has a relative" in remarks.remark_on_shares(split[8:].assign(split="test"))


def test_the_share_of_the_demo_s_test_split_is_off_by_less_than_a_group():
    table, _ = build_index(find_data("demo"))
    assert "Class by class, no split is more than" in remarks.remark_on_shares(
        assign_splits(table, 7)
    )


def test_a_source_that_gave_only_covid_is_told_from_one_that_gave_both():
    counts = pd.DataFrame({"COVID": [30, 10, 0, 7], "Normal": [0, 5, 9, 0]})
    counts.index = ["Hannover", "Madrid", "Bethesda", "unknown"]
    sentence = remarks.remark_on_sources(counts)
    assert "1 of 3 sources gave both" in sentence
    assert "Of the COVID X-rays with a known source, 75.0% come from sources that gave" in sentence
    assert "single source, “Hannover”" in remarks.remark_on_sources(counts.iloc[[0, 3]])
    assert "name no source" in remarks.remark_on_sources(counts.iloc[3:])
    assert "2 sources, none" in remarks.remark_on_sources(counts[["Normal"]].iloc[1:])


def test_the_class_that_a_split_holds_least_fairly_is_named():
    split = pd.DataFrame({"class": list("AAAAAABBBB"), "split": ["train"] * 8 + ["test"] * 2})
    sentence = remarks.remark_on_split(split)
    assert "80.0% of the X-rays are for training" in sentence
    assert "by at most 60.0 percentage points (A in test)" in sentence
    even = pd.DataFrame({"class": list("ABAB"), "split": ["train"] * 2 + ["test"] * 2})
    assert "the same share in all splits" in remarks.remark_on_split(even)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.85, 0.92, "chance alone may explain it"),
        (0.91, 0.90, "more than chance"),
        (None, 0.90, "One has no interval"),
    ],
)
def test_masks_by_class_differ_if_their_intervals_are_apart(low, high, expected):
    means = {
        "dice": Estimate(0.9, 9, 0.8, 0.95),
        "dice_loss/COVID": Estimate(0.1, 4),
        "dice/COVID": Estimate(0.88, 4, 0.8, high),
        "dice/Normal": Estimate(0.93, 5, low, None if low is None else 0.95),
    }
    said = remarks.remark_on_masks_by_class(means)
    assert expected in said
    assert "lowest for COVID, 0.880" in said
    assert "highest for Normal, 0.930" in said


def test_the_best_and_worst_of_several_classes_were_picked_after_looking():
    means = {
        f"dice/{name}": Estimate(value, 9, value - 0.01, value + 0.01)
        for name, value in {"A": 0.8, "B": 0.85, "C": 0.9}.items()
    }
    assert "of 3 classes we picked these" in remarks.remark_on_masks_by_class(means)


def test_a_single_class_is_not_compared():
    means = {"dice": Estimate(0.9, 9, 0.8, 0.95), "dice/COVID": Estimate(0.9, 9, 0.8, 0.95)}
    assert "of one class" in remarks.remark_on_masks_by_class(means)


def test_wrong_pixels_are_pooled_and_errors_along_the_outline_told_from_parts():
    counts = {"one": [(90, 90), (5, 10)], "two": [(10, 10), (20, 90)], "three": [(0, 0)]}
    first, second, third = remarks.remark_on_outlines(counts).splitlines()
    assert first == "one: of 100 wrong pixels 95% lie along the outline. The others are few."
    assert "two: of 100 wrong pixels 30% lie" in second
    assert "missed or added parts" in second
    assert third == "three: no pixel is wrong."


def test_the_dice_loss_is_split_into_three_parts():
    true = np.zeros((100, 100), np.uint8)
    true[20:80, 20:80] = 1
    probability = true.astype("float32")
    assert "is 0" in remarks.remark_on_soft_errors(true, probability)
    probability[50, 19] = 0.9  # wrong, beside the outline, by 0.9
    probability[50:52, 20] = 0.7  # right, at the outline, by 0.3 each
    probability[:10] = 0.0015  # right, far away: 1.5 of the errors' sum of 3
    said = remarks.remark_on_soft_errors(true, probability)
    assert "30% come from pixels on the wrong side of 0.5" in said
    assert "20% come from pixels on the right side near the outline" in said
    assert "50% come from pixels on the right side far from it" in said
    assert "of 0.5; 20%" in said
    assert "far from it, each wrong by 0.000 on average" in said
    probability[:10] = 0
    said = remarks.remark_on_soft_errors(true, probability)
    assert "1 pixels on the wrong side of 0.5, each wrong by 0.900" in said


@pytest.mark.parametrize(
    ("dices", "expected"),
    [
        ([0.98, 0.97, 0.96], "lowest 0.960 (c). No X-ray is more than 0.05 below"),
        ([0.98, 0.98, 0.50], "lowest 0.500 (c). 1 of 3 are more than 0.05 below it"),
    ],
)
def test_a_mean_is_said_to_hide_what_is_far_below_it(dices, expected):
    assert expected in remarks.remark_on_tail(pd.DataFrame({"file": list("abc"), "dice": dices}))


def test_the_best_threshold_is_named_with_the_range():
    said = remarks.remark_on_thresholds([0.1, 0.5, 0.9], [0.8, 0.95, 0.7])
    assert "between 0.700 and 0.950; it is highest at 0.50" in said


def aurocs(**lows: float | None) -> dict[str, Estimate]:
    """An AUROC of 0.7 for each view, with this lower limit."""
    return {f"auroc_{name}": Estimate(0.7, 40, low, 0.9) for name, low in lows.items()}


@pytest.mark.parametrize(
    ("lows", "expected"),
    [
        (
            {"whole": 0.6, "border": 0.5},
            ["above 0.5: whole 0.700.", "or below: border 0.700.", "is shown to suffice"],
        ),
        (
            {"whole": 0.6, "mask_shape": 0.51},
            ["0.5: whole 0.700, mask shape 0.700.", "or below: none."],
        ),
        (
            {"whole": 0.6, "mask_shape": 0.51},
            ["the lungs: mask shape 0.700.", "a shortcut"],
        ),
        (
            {"whole": 0.4, "border": 0.3},
            ["above 0.5: none.", "better than guessing"],
        ),
    ],
)
def test_views_are_told_apart_by_the_lower_limit_of_their_aurocs(lows, expected):
    said = remarks.remark_on_views(aurocs(**lows), lows)
    assert [words for words in expected if words not in said] == []
    assert said.splitlines()[3:] == [
        "The verdict decides: it allows for several views, and is stricter."
    ]


def test_views_without_an_interval_are_not_called_guessed():
    one_class = {"auroc_whole": Estimate(None, 0), "auroc_border": Estimate(0.7, 3)}
    said = remarks.remark_on_views(one_class, ["whole", "border"])
    assert said.startswith("Without an interval no AUROC shows anything")
    assert "guessing" not in said
    some = one_class | aurocs(border=0.6)
    assert "or below: none." in remarks.remark_on_views(some, ["whole", "border"])


@pytest.mark.parametrize(
    ("inside", "averaged", "expected"),
    [
        (0.52, 0.35, "moves heat out of the lungs: 35% lies in them instead of 52%"),
        (0.35, 0.52, "moves heat into the lungs: 52% lies in them instead of 35%"),
        (0.523, 0.521, "Averaged or not, 52% of the heat lies in the lungs"),
    ],
)
def test_what_averaging_changes_is_said(inside, averaged, expected):
    assert expected in remarks.remark_on_averaging(inside, averaged)


@pytest.mark.parametrize(
    ("probability", "chosen", "truth", "expected"),
    [
        (
            0.45,
            0.31,
            "COVID",
            ["0.05 under 0.50: not COVID", "0.14 over 0.31", ": COVID", "second"],
        ),
        (0.45, 0.31, "Normal", ["signs of Normal: the first answer is right"]),
        (0.45, 0.31, "", ["threshold alone decides", "Nobody here knows"]),
        (
            0.98,
            0.31,
            "COVID",
            [
                "0.98, as predicted, lies 0.48 over 0.50: COVID",
                "0.67 over 0.31",
                "network is right",
            ],
        ),
        (0.98, 0.31, "Normal", ["network is wrong"]),
        (0.984, 0.286, "", ["0.98, as", "0.69 over 0.29"]),
        (0.12, 0.31, "COVID", ["0.19 under 0.31", "network is wrong"]),
    ],
)
def test_a_decision_comes_with_its_margin_and_the_truth(probability, chosen, truth, expected):
    said = remarks.remark_on_decision(probability, chosen, truth)
    assert [part for part in expected if part not in said] == []
    assert ("threshold alone" in said) == (probability == 0.45)


@pytest.mark.parametrize(
    ("inside", "lungs", "expected"),
    [
        (0.52, 0.25, "puts 52% of its heat in the lungs, which fill 25% of the image: 2.1 times"),
        (0.10, 0.25, "of the image: 0.4 times as much as an even spread"),
        (0.10, 0.0, "which fill 0% of the image."),
        (np.nan, 0.25, "there is no heat"),
    ],
)
def test_heat_is_compared_with_an_even_spread(inside, lungs, expected):
    said = remarks.remark_on_heat("HiResCAM", inside, lungs)
    assert said.startswith("HiResCAM")
    assert expected in said


def test_success_and_failure_are_named():
    surest = pd.DataFrame(
        {"class": ["COVID", "Normal"], "probability": [0.97, 0.85], "right": [True, False]}
    )
    both = remarks.remark_on_surest(surest).splitlines()
    assert both == [
        "Surest and right: truly COVID, predicted COVID 0.97.",
        "Surest and wrong: truly Normal, predicted COVID 0.85.",
    ]
    assert "wrong about none" in remarks.remark_on_surest(surest.head(1))
    assert "none of its test X-rays with COVID" in remarks.remark_on_surest(surest.tail(1))
    neither = remarks.remark_on_surest(surest.head(0))
    assert "no success" in neither and "no failure" in neither


@pytest.mark.parametrize(
    ("errors", "temperature", "expected"),
    [
        ((0.036, 0.102), 2.15, "Neither error is well above chance: 40 X-rays cannot tell"),
        ((0.09, 0.102), 2.15, "error without the temperature is well above chance"),
        ((0.09, 0.102), 2.15, "the temperature helps, and no proof."),
        ((0.036, 0.25), 2.15, "error with the temperature is well above chance"),
        ((0.036, 0.25), 2.15, "the temperature harms, and no proof."),
        ((0.09, 0.25), 2.15, "Both errors are well above chance"),
        ((0.09, 0.09), 1.0, "The temperature is 1: it changes nothing."),
    ],
)
def test_the_temperature_is_judged_beside_chance(errors, temperature, expected):
    values = {
        "temperature": temperature,
        "calibration_error": errors[0],
        "calibration_error_by_chance": 0.037,
        "calibration_error_scaled": errors[1],
        "calibration_error_scaled_by_chance": 0.104,
    }
    metrics = {name: Estimate(value, 40) for name, value in values.items()}
    assert expected in remarks.remark_on_calibration(metrics)


@pytest.mark.parametrize(
    ("correlations", "expected"),
    [
        ([0.23, -0.09, np.nan], ["maps: -0.09 to 0.23 (1:", "neither map can be trusted alone"]),
        ([0.23], ["maps: 0.23 (1:", "The methods disagree"]),
        ([0.9, 0.2], ["agree on some X-rays and disagree on others"]),
        ([0.9, 0.6], ["largely agree"]),
        ([np.nan], ["cannot be compared"]),
    ],
)
def test_two_maps_agree_as_far_as_their_ranks_do(correlations, expected):
    said = remarks.remark_on_agreement(np.array(correlations))
    assert [part for part in expected if part not in said] == []


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.54, 0.56, 0.50, np.nan], ["55% of the heat lies in the lungs, in the others 50%"]),
        ([0.54, 0.56, 0.50, np.nan], ["says little about the disease"]),
        ([0.54, 0.56, 0.20, 0.30], ["in the others 25%. The share differs"]),
        ([0.54, 0.56, np.nan, np.nan], ["nothing to compare"]),
    ],
)
def test_heat_that_lies_alike_in_all_classes_is_told(shares, expected):
    said = remarks.remark_on_heat_by_class(np.array(shares), np.array([1, 1, 0, 0]))
    assert [part for part in expected if part not in said] == []


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({0.1: 0.25, 0.5: 0.24, 0.9: 0.24}, "0.1 to 0.9 the mask loses 4% of its pixels"),
        ({0.1: 0.25, 0.9: 0.20}, "loses 20% of its pixels: the network is sure of most"),
        ({0.1: 0.25, 0.9: 0.0}, "loses 100% of its pixels: the network is sure of few"),
        ({0.1: 0.0, 0.9: 0.0}, "Even above a threshold of 0.1 the mask is empty"),
    ],
)
def test_a_mask_that_shrinks_with_the_threshold_is_unsure(shares, expected):
    assert expected in remarks.remark_on_certainty(shares)


def test_a_remark_is_printed_in_short_lines_that_keep_its_own(capsys):
    remark = "one " * 60 + "\ntwo " * 2
    remarks.say(remark)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= remarks.WIDTH
    assert " ".join(lines).split() == remark.split()
    assert lines[-2:] == ["two", "two"]


def metrics_of(**values: tuple[float, float, float] | float | None) -> dict[str, Estimate]:
    """Return metrics of 40 X-rays, each a value or (value, low, high); none of no X-ray."""
    made = {}
    for name, value in values.items():
        if value is None:
            made[name] = Estimate(None, 0)
        else:
            value, *interval = value if isinstance(value, tuple) else (value,)
            made[name] = Estimate(value, 40, *interval)
    return made


@pytest.mark.parametrize(
    ("specificity", "expected"),
    [
        (
            (0.9, 0.77, 0.96),
            "In 36 of 40 X-rays without infection it finds none: spec",
        ),
        (None, "No X-ray is without infection: there is no specificity."),
    ],
)
def test_what_is_found_is_counted(specificity, expected):
    given = metrics_of(sensitivity=(0.975, 0.87, 1.0), specificity=specificity)
    first, second = remarks.remark_on_finding(given).splitlines()
    assert first.startswith("In 39 of 40 X-rays with infection it finds some: sensitivity 0.975 [")
    assert second.startswith(expected)


def test_infected_pixels_are_few():
    masks = np.zeros((2, 10, 10), np.uint8)
    assert "no network can learn" in remarks.remark_on_infected_pixels(masks)
    masks[0, 0, :7] = 1
    said = remarks.remark_on_infected_pixels(masks)
    assert said.startswith("3.5% of all pixels")
    assert "right about 96.5% of them" in said


@pytest.mark.parametrize(
    ("invented", "outside", "expected"),
    [
        (
            (0.002, 0.001, 0.004),
            0.05,
            ["calls 0.2% [0.1%, 0.4%] of the lungs", "5.0% lies"],
        ),
        (None, (0.05, 0.03, 0.08), ["No X-ray is without infection", "5.0% [3.0%, 8.0%] lies"]),
        (0.0, None, ["calls 0.0% of the lungs", "no infection at all"]),
    ],
)
def test_what_is_invented_is_told(invented, outside, expected):
    given = metrics_of(invented_share=invented, outside_lungs=outside, specificity=invented)
    for line, part in zip(remarks.remark_on_invented(given).splitlines(), expected, strict=True):
        assert part in line


def test_x_rays_without_predicted_lungs_are_told_from_none_at_all():
    given = metrics_of(invented_share=None, outside_lungs=0.05, specificity=0.9)
    first = remarks.remark_on_invented(given).splitlines()[0]
    assert first.startswith("On no X-ray without infection are lungs predicted: ")
    given["invented_share"] = Estimate(0.002, 30)
    first = remarks.remark_on_invented(given).splitlines()[0]
    assert first.startswith("On the 30 X-rays without infection and with predicted lungs it calls")


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (
            (0.3, 0.26, 0.35),
            "0.300 higher, X-ray by X-ray: a gain of 0.300 [0.260, 0.350]. So",
        ),
        ((0.01, -0.02, 0.04), "Chance alone may explain it"),
        (
            (-0.2, -0.3, -0.1),
            "0.200 lower, X-ray by X-ray: a gain of -0.200 [-0.300, -0.100]. It",
        ),
        (0.3, "0.300 higher, of too few patients or X-rays for an interval."),
        ((0.0004, -0.02, 0.04), "The network's is as high, X-ray by X-ray: a gain of 0.000 ["),
        (-0.0004, "The network's is as high, of too few"),
    ],
)
def test_the_network_is_held_against_an_answer_that_is_always_the_same(gain, expected):
    said = remarks.remark_on_map(metrics_of(map_dice=(0.41, 0.35, 0.47), map_dice_gain=gain))
    assert said.startswith("Always giving the same answer would have reached a Dice of 0.410 [")
    assert expected in said


def test_without_infection_there_is_no_map_to_compare():
    assert "no Dice" in remarks.remark_on_map(metrics_of(map_dice=None, map_dice_gain=None))


def severity_of(**changed) -> str:
    """Return the remark on severity, of values that may be changed."""
    usual = {
        "spearman": (0.94, 0.92, 0.97),
        "bias": (-0.005, -0.035, 0.026),
        "low": (-0.237, -0.3, -0.2),
        "high": (0.227, 0.2, 0.3),
    }
    given = {f"severity_{name}": value for name, value in (usual | changed).items()}
    return remarks.remark_on_severity(metrics_of(**given))


def test_severity_is_told_in_ranks_and_points():
    ranks, bias, limits = severity_of().splitlines()
    assert (
        ranks
        == "Rank correlation 0.94 [0.92, 0.97]: its order of the X-rays is nearly that of the "
        "masks."
    )
    assert bias == (
        "On average it is 0.5 percentage points below the true share, which may be chance."
    )
    assert limits.startswith(
        "95 of 100 differences would lie between −23.7 and +22.7 points, if they are spread like "
        "a bell curve: "
    )
    assert limits.endswith("where it says 30%, the truth may be 7% to 54%.")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"spearman": (0.7, 0.5, 0.8)}, "is roughly that of the masks."),
        ({"spearman": (0.3, 0.1, 0.5)}, "is hardly that of the masks."),
        ({"spearman": (-0.2, -0.5, 0.1)}, "Rank correlation −0.20 [−0.50, 0.10]: its order"),
        ({"spearman": None}, "There is no rank correlation"),
        ({"bias": (0.05, 0.02, 0.08)}, "it is 5.0 percentage points above the true share.\n"),
        ({"low": (-0.8, -0.9, -0.7), "high": 0.4}, "the truth may be 0% to 100%."),
        (
            {"spearman": None, "low": None, "high": None},
            "Fewer than three X-rays with infection and lungs in both masks: ",
        ),
    ],
)
def test_severity_follows_the_metrics(changed, expected):
    assert expected in severity_of(**changed)
