"""Corrections: what they do with ties, gaps and single questions."""

import pytest

from experiments.statistics.multiplicity import adjust, benjamini_hochberg, holm, interval_alpha


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_correction__undefined_p_value__stays_none_and_is_not_counted(correct) -> None:
    with_gap = correct([0.01, None, 0.04])
    assert with_gap[1] is None
    assert (with_gap[0], with_gap[2]) == correct([0.01, 0.04])


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_correction__one_question__changes_nothing(correct) -> None:
    assert correct([0.03]) == (0.03,)
    assert correct([]) == ()


def test_correction__unordered_input__keeps_order_and_is_monotone() -> None:
    p_values = [0.5, 0.001, 0.02, 0.02, 0.9]
    for correct in (holm, benjamini_hochberg):
        adjusted = correct(p_values)
        ranked = [value for _, value in sorted(zip(p_values, adjusted, strict=True))]
        assert ranked == sorted(ranked)
        assert all(after >= before for before, after in zip(p_values, adjusted, strict=True))


def test_correction__impossible_p_value__is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])
    with pytest.raises(ValueError, match="unknown correction"):
        adjust([0.1], "sidak")


def test_interval_alpha__holm_and_bh__match_their_promise() -> None:
    p_values = [0.001, 0.002, 0.4, None]
    assert interval_alpha(p_values, "holm", 0.06) == pytest.approx(0.02)
    assert interval_alpha(p_values, "bh", 0.06) == pytest.approx(0.04)
    assert interval_alpha([0.9, 0.8], "bh", 0.06) == pytest.approx(0.03)
    assert interval_alpha([None], "holm", 0.06) == pytest.approx(0.06)
