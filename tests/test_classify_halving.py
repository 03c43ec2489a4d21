"""What a sweep trains on all rows, on few, or not at all: by a table of costs, never by the clock."""

from dataclasses import replace

import numpy as np
import pytest
from small import drawn_features

from classify.heads.entry import Cost, Sizes
from classify.heads.table import HEADS, make_head
from classify.selection.division import division_of
from classify.selection.leaderboard import Result
from classify.selection.options import SweepOptions
from classify.selection.plan import ALL, Plan, cost_of, everything, plan_of
from classify.selection.sweep import sweep
from classify.selection.trials import Entry, entries
from classify.selection.workers import working
from data.errors import HeadstartError, UsageError

CLOTHING = Sizes(width=2048, classes=10, rows=3068, held_out=341)
LARGE = replace(CLOTHING, rows=10_000)
ONE = SweepOptions(jobs=1, cv=0)


def heads_of(chosen) -> list[str]:
    return list(dict.fromkeys(entry.head for entry in chosen))


def test_a_small_sweep_trains_everything_on_all_rows():
    plan = plan_of(entries(), replace(CLOTHING, rows=300, classes=2))
    assert plan == everything(entries())
    assert plan.notes == []


def test_dear_heads_learn_few_rows_first():
    plan = plan_of(entries(), CLOTHING)
    assert heads_of(plan.whole) == ["centroid", "ridge", "lda", "logistic", "keras-linear", "knn"]
    assert heads_of(plan.halved) == ["linear-svm", "mlp", "boosting"]
    assert plan.rungs() == [(1, 9), (3, 3), (9, 1)]
    assert "the best 3 on a third, the best 1 on all" in plan.notes[0]


@pytest.mark.parametrize("sizes", [CLOTHING, LARGE, replace(CLOTHING, classes=2), replace(LARGE, rows=10**6)])
@pytest.mark.parametrize("parts", [1, 5])
def test_dear_heads_take_no_more_than_they_may(sizes, parts):
    plan = plan_of(entries(), sizes, parts)
    cheap = [entry for entry in plan.whole if not HEADS[entry.head].cost.dear]
    spent = parts * sum(cost_of(entry, sizes) for entry in cheap)
    rungs = [count / len(plan.halved) * pieces / ALL for pieces, count in plan.rungs() if plan.halved]
    dear = parts * sum(cost_of(entry, sizes) for entry in plan.halved) * sum(rungs)
    dear += parts * sum(cost_of(entry, sizes) for entry in plan.whole if entry not in cheap)
    assert dear <= 1.1 * max(60, 2 * spent)
    tried = {*heads_of(plan.whole), *heads_of(plan.halved), *plan.left_out}
    assert tried == set(HEADS)


def test_a_sweep_of_ten_thousand_rows_takes_less_than_two_minutes_of_two_cores_by_the_table():
    plan = plan_of(entries(), LARGE)
    seconds = sum(cost_of(entry, LARGE) for entry in plan.whole)
    seconds += sum(cost_of(entry, LARGE) for entry in plan.halved) / 3
    assert seconds < 240
    assert not plan.left_out


def test_what_is_left_out_is_named_with_its_cost():
    plan = plan_of(entries(["ridge", "mlp", "boosting"]), replace(CLOTHING, rows=20_000))
    assert list(plan.left_out) == ["boosting"]
    assert plan.notes[-1].startswith("left out, with what it would take of one core: boosting (about 3 min")


def test_the_only_head_is_never_left_out():
    plan = plan_of(entries(["boosting"]), replace(CLOTHING, rows=10**6))
    assert heads_of(plan.whole) == ["boosting"]


def test_a_budget_takes_the_cheapest_first_and_one_in_any_case():
    assert heads_of(plan_of(entries(), LARGE, seconds=1e-6).whole) == ["centroid"]
    some = plan_of(entries(), LARGE, seconds=13)
    assert heads_of(some.whole) == ["centroid", "ridge", "lda", "knn"]
    assert set(some.left_out) == set(HEADS) - {"centroid", "ridge", "lda", "knn"}
    assert plan_of(entries(), LARGE, seconds=1e9) == everything(entries())


def test_costs_are_in_proportion_to_rows_width_and_logits():
    cost = Cost(100, seconds_besides=1, a_logit=True)
    assert cost.seconds(Sizes(1000, 2, 1000)) == pytest.approx(1.1)
    assert cost.seconds(Sizes(1000, 5, 1000)) == pytest.approx(5.5)
    assert replace(cost, a_logit=False).seconds(Sizes(1000, 5, 2000)) == pytest.approx(1.2)


@pytest.fixture(scope="module")
def features():
    drawn = drawn_features(rows=600, classes=3, groups=tuple(f"g{row // 2 % 150}" for row in range(600)))
    splits = np.array([(0, 0, 0, 1, 2)[row // 2 % 150 // 30] for row in range(600)], np.int8)
    noise = np.random.default_rng(7).normal(0, 2, drawn.X.shape)
    return replace(drawn, X=(drawn.X + noise).astype(np.float32), splits=splits)


@pytest.mark.parametrize("cv", [0, 3])
def test_rows_of_rungs_lie_one_in_the_other_with_classes_even_and_groups_whole(features, cv):
    division = division_of(features, cv)
    for number, (learn, judge) in enumerate(division.parts):
        parts = [division.part(number, pieces) for pieces in (1, 3, ALL)]
        first, second, last = (set(part.learn.tolist()) for part in parts)
        assert first < second < last == set(learn)
        assert len(first) == pytest.approx(len(learn) / 9, abs=6)
        assert len(second) == pytest.approx(len(learn) / 3, abs=6)
        assert np.ptp(np.bincount(division.y[parts[1].learn])) <= 6
        groups = [{division.groups[row] for row in rows} for rows in (first, last - first)]
        assert not groups[0] & groups[1]
        assert all((part.judge == judge).all() for part in parts)


HALVED = Plan(
    tuple(entries(["centroid"])),
    tuple(Entry("knn", {"k": k}) for k in (1, 2, 3, 4, 5, 8, 12, 16, 20)),
    {},
)


@pytest.mark.parametrize("cv", [0, 3])
def test_of_dear_heads_the_best_on_few_rows_go_on(features, cv):
    """Which stopped where follows from their figures on the same rows, and nothing else."""
    division, options = division_of(features, cv), replace(ONE, cv=cv)
    with working(division, options, "features") as workers:
        board = workers.carry_out(HALVED)
    assert len(board.compared) == 2
    assert board.notes == (*HALVED.notes, "--exhaustive trains everything on all rows")
    assert [each.stopped for each in board] == [False] * 2 + [True] * 8
    by_rows = {}
    for each in board:
        by_rows.setdefault(each.learned, []).append(each)
    whole, third, ninth = (by_rows[rows] for rows in sorted(by_rows, reverse=True))
    assert (len(whole), len(third), len(ninth)) == (2, 2, 6)
    on_ninth = {entry.params["k"]: alone(division, entry, 1) for entry in HALVED.halved}
    best = sorted(on_ninth, key=on_ninth.get)[:3]
    assert {each.params["k"] for each in [*whole, *third] if each.head == "knn"} == set(best)
    on_third = {entry.params["k"]: alone(division, entry, 3) for entry in HALVED.halved}
    winner = min(best, key=on_third.get)
    assert [each.params["k"] for each in whole if each.head == "knn"] == [winner]
    for each in third:
        assert each.log_loss == pytest.approx(on_third[each.params["k"]], rel=1e-6)


def alone(division, entry: Entry, pieces: int) -> float:
    """Return the log loss of a head that learned so many ninths."""
    loss = 0.0
    for number in range(len(division.parts)):
        part = division.part(number, pieces)
        X, y = part.judged
        proba = make_head(entry.head, **entry.params).fit(*part.learned).predict_proba(X)
        loss -= np.log(np.clip(proba[np.arange(len(y)), y], 1e-15, None)).sum()
    return loss / division.rows


def test_what_was_stopped_is_not_chosen_however_good(features):
    division = division_of(features, 0)
    with working(division, ONE, "features") as workers:
        board = workers.carry_out(HALVED)
    better = [replace(each, log_loss=0.0, mean=1.0) if each.stopped else each for each in board]
    assert not replace(board, results=tuple(better)).choose(list(HALVED.whole + HALVED.halved)).stopped
    assert not workers.ranked(better).choose().stopped


def test_an_interrupted_halving_goes_on(features, tmp_path):
    division, journal = division_of(features, 3), tmp_path / "journal"
    with working(division, replace(ONE, cv=3), "features", journal) as workers:
        whole = workers.carry_out(HALVED)
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 3 * (1 + 9 + 3 + 1)
    journal.write_text("".join(lines[:20]))
    with working(division, replace(ONE, cv=3), "features", journal) as workers:
        again = workers.carry_out(HALVED)
    assert [figures(each) for each in again] == [figures(each) for each in whole]
    assert len(journal.read_text().splitlines()) == len(lines)


def figures(result: Result) -> tuple:
    return result.head, result.params, result.log_loss, result.mean, result.stopped, result.learned


def test_processes_and_repeats_give_the_same_choice(features):
    chosen = [*HALVED.whole, *HALVED.halved]
    found = [sweep(features, chosen, replace(ONE, jobs=jobs)) for jobs in (1, 2, 2)]
    assert [figures(each) for each in found[0]] == [figures(each) for each in found[1]]
    assert [figures(each) for each in found[1]] == [figures(each) for each in found[2]]


def test_a_budget_is_told_and_one_that_is_too_small_refused(features, patch_ours):
    board = sweep(features, entries(["centroid", "knn"]), replace(ONE, budget=10))
    assert "the choice depends on the machine" in board.notes[-1]
    assert len(board.compared) == 9
    with pytest.raises(HeadstartError, match="budget"):
        sweep(features, entries(["centroid"]), replace(ONE, budget=1e-9))


def test_what_no_time_was_left_for_is_named(features):
    """The clock stands at the end of the budget after the first head."""
    division, options = division_of(features, 0), replace(ONE, budget=1.0)
    with working(division, options, "features") as workers:
        workers.carry_out(everything(entries(["centroid"])))
        workers._started -= 60
        board = workers.carry_out(everything(entries(["centroid", "knn"])))
    assert [each.head for each in board] == ["centroid"]
    assert board.notes[-1].startswith("no time was left for knn")


def test_an_exhaustive_sweep_has_no_budget():
    with pytest.raises(UsageError, match="exhaustive"):
        SweepOptions(exhaustive=True, budget=1)
