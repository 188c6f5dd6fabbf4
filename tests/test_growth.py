"""How what a step takes grows, and what more X-rays need: checked by hand-made numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.growth import (
    Growth,
    Machine,
    Measured,
    Need,
    Step,
    Trait,
    describe_bytes,
    find_end,
    find_need,
    find_turn,
    fit_exponent,
    fit_growth,
    fit_step,
    print_growth,
    print_needs,
    round_off,
)

COUNTS = [1000, 2000, 4000, 8000]
NOTHING = Growth(0, 0)
MACHINE = Machine(cores=2, memory=8e9, disk=1e12)


@given(st.floats(0.1, 100), st.floats(1e-4, 1e-1), st.floats(1e-8, 1e-5), st.sampled_from(COUNTS))
def test_a_polynomial_is_found_again(fixed, each, square, count):
    true = Growth(fixed, each, square)
    found = fit_growth(COUNTS, [true.at(count) for count in COUNTS], 2)
    assert found.at(10 * count) == pytest.approx(true.at(10 * count), rel=1e-6)


def test_no_part_is_negative():
    found = fit_growth(COUNTS, [1.0, 2.1, 4.4, 9.2])  # a straight line would begin below 0
    assert found.fixed == 0
    assert found.each == pytest.approx(1.08e-3, rel=0.05)
    assert found.square == 0


def test_what_a_step_never_takes_grows_by_nothing():
    assert fit_growth(COUNTS, [0, 0, 0, 0]) == NOTHING


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_the_exponent_of_a_power(power):
    exponent, half_width = fit_exponent(COUNTS, [3 * count**power for count in COUNTS])
    assert exponent == pytest.approx(power)
    assert half_width == pytest.approx(0, abs=1e-6)


def test_the_spread_of_an_exponent_is_students():
    # Logarithms of base 2: x is 0, 1, 2, 3 and y is 0, 1, 2, 4, so the slope is 1.3, the residuals
    # are 0.2, -0.1, -0.4, 0.3, their squares 0.3, and the error sqrt(0.3 / 2 / 5) = 0.1732.
    exponent, half_width = fit_exponent(COUNTS, [1, 2, 4, 16])
    assert exponent == pytest.approx(1.3)
    assert half_width == pytest.approx(4.3027 * 0.1732, rel=1e-3)


def test_two_sizes_tell_no_spread():
    assert np.isnan(fit_exponent([1, 2], [1, 2])[1])


def test_the_need_of_a_million():
    # 7 s and 9 ms an X-ray: 9,007 s. Of memory 1 GB and 2 kB an X-ray, 65 kB of disk.
    step = Step(Growth(7, 9e-3), Growth(1e9, 2e3), Growth(0, 65e3))
    assert find_need(step, 1_000_000, MACHINE) == pytest.approx(
        Need(9007 / 3600, 9007 / 7200, 3e9, 65e9, 1, "")
    )


def test_the_need_of_a_training_counts_its_epochs_and_its_split():
    step = Step(Growth(0, 0.02), NOTHING, NOTHING, Trait(times=30, share=0.8))
    need = find_need(step, 1_000_000, MACHINE)  # 30 x 800,000 x 0.02 s = 480,000 s
    assert need.core_hours == pytest.approx(133.33, rel=1e-3)
    assert need.machines == 3  # 66.7 hours on two cores
    assert need.scarce == "time"


def test_squares_count():
    step = Step(Growth(3, 1e-3, 1e-8), NOTHING, NOTHING)
    assert find_need(step, 1e6, MACHINE).core_hours == pytest.approx((3 + 1e3 + 1e4) / 3600)


@pytest.mark.parametrize(
    ("memory", "disk", "scarce"), [(9e9, 1e9, "memory"), (1e9, 3e12, "disk"), (9e9, 9e12, "disk")]
)
def test_what_a_machine_lacks_most_is_named(memory, disk, scarce):
    step = Step(NOTHING, Growth(memory, 0), Growth(disk, 0))
    assert find_need(step, 1000, MACHINE).scarce == scarce


def test_a_machine_ends_where_it_lacks_something():
    # Two cores have 172,800 s a day; 8 GB hold four million times 2 kB.
    slow = Step(Growth(0, 0.1), Growth(0, 1e3), NOTHING)
    large = Step(Growth(0, 1e-3), Growth(0, 2e3), NOTHING)
    assert find_end(slow, MACHINE) == (pytest.approx(1.728e6, rel=0.01), "time")
    assert find_end(large, MACHINE) == (pytest.approx(4e6, rel=0.01), "memory")


def test_from_where_the_squares_take_most():
    assert find_turn(Growth(6, 1, 1)) == pytest.approx(3)  # 9 = 6 + 3


def test_memory_is_fitted_with_that_at_the_start():
    took = {count: Measured(1, 2, 5e8, 1e3 * count, 0) for count in COUNTS}
    step = fit_step(took, Trait())
    assert step.memory.at(1_000_000) == pytest.approx(1.5e9, rel=1e-6)
    assert step.cpu.at(1_000_000) == pytest.approx(2)
    assert step.disk == NOTHING


@pytest.mark.parametrize(
    ("value", "text"), [(0, "–"), (500, "0.5 kB"), (65_536, "66 kB"), (1.31e11, "130 GB")]
)
def test_bytes_have_a_unit(value, text):
    assert describe_bytes(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.012"), (1.96, "2"), (12_345, "12,000"), (4.4e-5, "< 0.01")]
)
def test_two_digits_count(value, text):
    assert round_off(value) == text


def test_the_tables_say_what_was_found(capsys):
    took = {count: Measured(count / 2000, count / 1000, 1e8, 1e3 * count, 0) for count in COUNTS}
    print_growth({"audit": took})
    row = "| audit | 1,000 to 8,000 | 1.00 | 1.00 ± 0.00 | 1.00 ± 0.00 | – | 2.0 |"
    assert row in capsys.readouterr().out
    print_needs({"audit": fit_step(took, Trait())}, MACHINE)
    text = capsys.readouterr().out
    assert "machines of 2 cores, 8 GB of memory and 1 TB of disk" in text
    assert "| audit | 1,000,000 | 0.28 | 0.14 | 1 | 1.1 GB | – | – |" in text
    assert "| audit | 100,000,000 | 28 | 14 | 1 | 100 GB | – | memory |" in text
    assert "| audit | 7,900,000 | memory | – |" in text
