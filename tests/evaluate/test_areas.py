import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from helpers.evaluate.areas import auroc, average_precision

# Few distinct probabilities, so that ties are common, and weights of 0 as resamples have them.
ANSWERS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 3), st.integers(0, 3)), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(ANSWERS)
def test_areas_agree_with_scikit_learn_in_every_resample(answers):
    answers += [(True, 5, 1, 2), (False, 6, 1, 3)]  # both classes
    label, tenths, *drawn = (np.array(column) for column in zip(*answers, strict=True))
    label, probability, weights = label.astype(int), tenths / 12, np.stack(drawn)
    for area, reference in ((auroc, roc_auc_score), (average_precision, average_precision_score)):
        expected = [reference(label, probability, sample_weight=row) for row in weights]
        np.testing.assert_allclose(area(label, probability, weights), expected, rtol=0, atol=1e-9)


def test_areas_by_hand():
    label, probability = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.4, 0.4])
    # Of four pairs one is ranked rightly, twice over, one wrongly, and one is a tie: 2.5 of 4.
    # The first COVID X-ray is found at a precision of 1, the second at 2 of 4.
    once = np.ones((1, 4))
    assert auroc(label, probability, once) == pytest.approx([2.5 / 4])
    assert average_precision(label, probability, once) == pytest.approx([(1 + 2 / 4) / 2])
