"""Which branch is tried: predicted from those before, ruled out by failed guards, kept within bounds."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.branch_choice import MAX_BRANCHES, MAX_SIGNATURES, BranchCache, Trial
from fastgrad.branches import Branch
from fastgrad.derivative import Derivative


def ways(x: Any) -> Any:
    """Eight ways: a tree of three decisions."""
    y = x * 2 if x > 4 else x * 3
    y = y + 1 if x % 4 >= 2 else y * y
    return np.sin(y) if x % 2 >= 1 else y


WAYS = [k + 0.5 for k in range(8)]


def branches_of(function: Any, points: Any) -> list[Branch]:
    """The branches that these points record, in their order."""
    derivative = fg.grad(function)
    found: list[Branch] = []
    for x in points:
        derivative(x)
        found += [branch for branch in derivative.recordings.all_branches() if branch not in found]
    return found


class Tries:
    """Counts the runs of branches that calls of a derivative make in Python."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = 0
        executor = Derivative.executor

        def counting(*args: Any) -> Any:
            self.n += 1
            return executor(*args)

        monkeypatch.setattr(Derivative, "executor", counting)

    def of(self, derivative: Any, points: Any) -> int:
        before = self.n
        for x in points:
            derivative.evaluate((x,), {}, None)
        return self.n - before


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Tries:
    monkeypatch.setattr(Derivative, "_answer_without_python", lambda *args: None)
    return Tries(monkeypatch)


PATTERNS = {"two": [0, 1], "two of one": [0, 0, 5], "three": [1, 4, 7], "eight": [*range(8)], "long": [3, 3, 3, 6, 6]}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_periodic_pattern_is_right_at_the_first_try_once_it_is_known(name: str, tries: Tries) -> None:
    derivative = fg.grad(ways)
    pattern = [WAYS[k] for k in PATTERNS[name]]
    tries.of(derivative, pattern * 6)
    assert tries.of(derivative, pattern * 5) == 5 * len(pattern)


def test_a_failed_guard_leads_down_the_tree_of_branches(tries: Tries) -> None:
    derivative = fg.grad(ways)
    for x in WAYS:
        derivative(x)
    for x in np.random.default_rng(0).permutation(WAYS * 20):
        # at most one try at each of the three decisions and then the right one
        assert tries.of(derivative, [x]) <= 4
        assert derivative(x) == pytest.approx(fg.grad(ways)(x))


def test_branches_diverge_where_their_outcomes_first_differ() -> None:
    low, high, higher = branches_of(ways, [0.5, 1.5, 4.5])
    assert low.divergence(high) == high.divergence(low) == 2
    assert low.divergence(higher) == 0
    assert low.divergence(low) == -1
    assert low.guard_line(2).endswith("in ways")


def test_a_trial_rules_out_what_has_the_failed_outcome_too() -> None:
    found = dict(zip(WAYS, branches_of(ways, WAYS), strict=True))
    trial = Trial(tuple(found.values()))
    assert trial.next() is found[0.5]
    trial = trial.after(found[0.5], 1)  # x % 4 >= 2 must hold
    assert trial.next() in (found[2.5], found[3.5])
    trial = trial.after(found[2.5], 2)  # and x % 2 >= 1
    assert trial.next() is found[3.5]
    assert trial.failed_at == (found[2.5], 2)
    trial = trial.after(found[3.5], 0)
    left = []
    while branch := trial.next():
        left.append(branch)
        trial = trial.after(branch, 0)
    assert found[0.5] not in left
    assert Trial(()).next() is None
    assert Trial(()).failed_at is None


def test_branches_without_a_common_beginning_rule_nothing_out() -> None:
    hidden = itertools.count()

    def decides_unseen(x: Any) -> Any:
        y = np.sin(x) if next(hidden) % 2 else x * x * x
        return y if y > 0.5 else -y

    one, other = branches_of(decides_unseen, [0.1, 1.0])
    assert one.divergence(other) == -1
    assert Trial((one, other)).after(one, 0).next() is other


@pytest.mark.filterwarnings("ignore::fastgrad.RecordingWarning")
def test_the_least_recently_used_branch_is_dropped() -> None:
    def steps(x: Any) -> Any:
        runs[0] += 1
        for _ in range(int(x)):
            x = x * 1.5
        return x

    runs = np.zeros(1)
    derivative = fg.grad(steps)
    for k in range(MAX_BRANCHES):
        derivative(k + 0.5)
    assert len(derivative.recordings) == runs[0] == MAX_BRANCHES
    derivative(0.25)  # the oldest is used
    derivative(MAX_BRANCHES + 0.5)
    assert len(derivative.recordings) == MAX_BRANCHES
    before = runs[0]
    assert derivative(0.75) == 1.0
    assert runs[0] == before
    assert derivative(1.5) == 1.5  # this one was the oldest then
    assert runs[0] == before + 1


@pytest.mark.filterwarnings("ignore::fastgrad.RecordingWarning")
def test_the_least_recently_used_signature_is_dropped() -> None:
    runs = np.zeros(1)

    def scaled(x: Any, n: int) -> Any:
        runs[0] += 1
        return x * n

    derivative = fg.grad(scaled)
    for n in range(MAX_SIGNATURES):
        derivative(1.0, n)
    derivative(1.0, 0)
    derivative(1.0, MAX_SIGNATURES)
    assert len(derivative.recordings) == MAX_SIGNATURES
    before = runs[0]
    assert derivative(2.0, 0) == 0.0
    assert runs[0] == before
    assert derivative(2.0, 1) == 1.0
    assert runs[0] == before + 1


@pytest.mark.filterwarnings("ignore::fastgrad.RecordingWarning")
def test_a_dropped_branch_is_not_predicted() -> None:
    made = branches_of(ways, WAYS)
    cache = BranchCache()
    for k in range(3 * MAX_BRANCHES):
        cache.use("signature", made[k % 2])
    others = branches_of(lambda x: x * int(x), [k + 0.5 for k in range(MAX_BRANCHES)])
    for branch in others:
        cache.use("signature", branch)
    found = cache.branches("signature")
    assert set(found) == set(others)
    assert len(found) == MAX_BRANCHES


def test_a_batch_with_many_branches_runs_each_on_its_own_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastgrad.batch import run

    x = np.random.default_rng(3).uniform(0.0, 8.0, 4000)
    batched = fg.vmap(fg.value_and_grad(ways))
    batched(x)
    sizes: list[int] = []
    through = run._Block._through

    def noting(self: Any, branch: Any, examples: Any) -> Any:
        sizes.append(self.n if examples is None else len(examples))
        return through(self, branch, examples)

    monkeypatch.setattr(run._Block, "_through", noting)
    values, slopes = batched(x)
    # three decisions, so each example runs through four branches at most
    assert sum(sizes) <= 4 * len(x)
    assert len(sizes) <= 15
    alone = fg.value_and_grad(ways)
    for k in range(0, 4000, 97):
        assert (values[k], slopes[k]) == alone(x[k])


def test_a_batch_that_uses_no_example_of_a_branch_does_not_ask_for_its_nesting() -> None:
    def differently_nested(x: Any) -> Any:
        return (x * 2, x * 3) if x > 0 else x * 4

    batched = fg.vmap(differently_nested)
    np.testing.assert_array_equal(batched(np.array([-1.0, -2.0])), [-4.0, -8.0])
    two, three = batched(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(two, [2.0, 4.0])
    np.testing.assert_array_equal(three, [3.0, 6.0])
    np.testing.assert_array_equal(batched(np.array([-1.0, -2.0])), [-4.0, -8.0])
    with pytest.raises(fg.InputError, match="nests them differently"):
        batched(np.array([-1.0, 2.0]))
