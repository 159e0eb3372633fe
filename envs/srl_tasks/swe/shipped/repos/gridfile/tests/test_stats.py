import pytest

from gridfile.errors import GridError
from gridfile.stats import histogram, mean, median, numbers_of, quantile, ranks, spread


def test_empty_values_are_passed_over():
    assert numbers_of([1, None, 2.5]) == [1, 2.5]


@pytest.mark.parametrize("value", ["1", True])
def test_texts_and_truth_values_are_no_numbers(value):
    with pytest.raises(GridError, match="no number"):
        numbers_of([1, value])


def test_a_mean():
    assert mean([1, None, 2, 6]) == 3
    assert mean([]) is None
    assert mean([None]) is None


def test_a_median():
    assert median([5, 1, 3]) == 3
    assert median([4, 1, 3, 2]) == 2.5
    assert median([7, None]) == 7
    assert median([]) is None


@pytest.mark.parametrize(("part", "value"), [(0, 10), (0.25, 20), (0.3, 22), (0.9, 46), (1, 50)])
def test_quantiles_lie_between_values_in_proportion(part, value):
    assert quantile([50, 10, 30, 20, 40], part) == pytest.approx(value)


def test_a_quantile_is_from_0_to_1():
    assert quantile([], 0.5) is None
    for part in (-0.1, 1.1):
        with pytest.raises(GridError, match="from 0 to 1"):
            quantile([1], part)


def test_the_deviation_of_a_sample():
    assert spread([2, 4, 4, 4, 5, 5, 7, 9]) == pytest.approx(2.13809, abs=1e-5)
    assert spread([1, 3]) == pytest.approx(2**0.5)
    assert spread([3, None]) is None


def test_a_histogram_counts_by_bins():
    assert histogram([0, 1, 2, 3, 4, 10], bins=5) == [
        (0, 2, 2),
        (2, 4, 2),
        (4, 6, 1),
        (6, 8, 0),
        (8, 10, 1),
    ]


def test_a_histogram_of_equal_values_and_of_none():
    assert histogram([3, 3, None]) == [(3.0, 3.0, 2)]
    assert histogram([None]) == []
    assert histogram([1, 2], bins=1) == [(1, 2, 2)]
    with pytest.raises(GridError, match="0 bins"):
        histogram([1], bins=0)


def test_equal_values_share_a_rank():
    assert ranks([10, 30, None, 30, 20]) == [4, 1, None, 1, 3]
    assert ranks([]) == []
