import pytest

from helpers.data.synthetic import SHORTCUTS
from tests.benchmarks.campaign_shortcuts import KINDS, find_shortcut

SEED = 21  # none of the campaign's


@pytest.fixture(scope="module")
def learnt() -> dict:
    """What the networks answered to views that the four data sets share."""
    return {}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind or "clean")
def test_a_planted_shortcut_is_named_and_without_one_all_is_quiet(kind, tmp_path, cache, learnt):
    verdict = find_shortcut(tmp_path, kind, SEED, learnt)
    assert bool(verdict["views"]) == (kind in SHORTCUTS), verdict["text"]
    assert "mask_shape" not in verdict["views"], "the masks are the same with every shortcut"
