"""The tests' own reference agrees with every worked case, so that others may rely on it."""

from __future__ import annotations

import pytest

from tests.reference import GoldenCase, accrual, golden_cases


@pytest.mark.parametrize("case", golden_cases(), ids=str)
def test_the_reference_computes_each_golden_case_exactly(case: GoldenCase) -> None:
    assert case.terms.theo_floor_cents() == case.theo_floor_cents
    assert accrual(case.terms, case.lifetime_before) == case.expected
