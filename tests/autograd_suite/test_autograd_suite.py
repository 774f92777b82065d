"""autograd's own tests pass on fastgrad, but for the listed ones, which fail for the listed reasons."""

import re

import pytest

from tests.autograd_suite.page import PAGE, README, n_passed, page
from tests.autograd_suite.reasons import N_TESTS, REASONS
from tests.autograd_suite.running import NotFetchedError, fetch, run


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    try:
        tests = fetch()
    except NotFetchedError as error:
        pytest.skip(f"autograd's tests could not be downloaded: {error}")
    return run(tests)


@pytest.mark.autograd
def test_all_tests_ran(outcomes: dict[str, str]) -> None:
    assert len(outcomes) == N_TESTS


@pytest.mark.autograd
def test_each_test_that_is_not_listed_passes(outcomes: dict[str, str]) -> None:
    listed = {test for reason in REASONS for test in reason.tests}
    failed = {test: outcome for test, outcome in outcomes.items() if outcome != "passed" and test not in listed}
    assert not failed


@pytest.mark.autograd
def test_each_listed_test_fails_for_its_reason(outcomes: dict[str, str]) -> None:
    others = {
        test: outcomes[test]
        for reason in REASONS
        for test in reason.tests
        if not re.search(reason.shown_by, outcomes[test])
    }
    assert not others


def test_no_test_is_listed_twice() -> None:
    listed = [test for reason in REASONS for test in reason.tests]
    assert len(listed) == len(set(listed))


def test_the_page_and_the_readme_say_what_the_list_says() -> None:
    assert PAGE.read_text() == page()
    assert f"{n_passed()} of its {N_TESTS} tests pass" in README.read_text()
