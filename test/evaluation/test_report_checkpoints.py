"""Several checkpoints: what they are ranked by, and what is compared attempt by attempt."""

from moss_perception.evaluation.report import checkpoints
from moss_perception.evaluation.report.summary import summarise
import pytest

for needed in ('scipy', 'sklearn'):
    pytest.importorskip(needed)


def test_checkpoints_with_attempts_of_their_own_are_not_paired_but_ranked_by_success(made_up):
    own = [summarise(made_up.make_evaluation(
        made_up.make_bag('sim', 9, seed, outcomes=[n < held for n in range(9)],
                         closed_loop=True),
        made_up.make_bag('real', 9, seed, outcomes=[n < held // 2 for n in range(9)],
                         closed_loop=True)),
        repeats=20) for seed, held in ((1, 4), (2, 6), (3, 8))]
    assert checkpoints.difference(own[0].domains[0], own[1].domains[0]).why == (
        'not the same attempts')
    success = next(one for one in checkpoints.rankings(own) if one.measure == 'success')
    assert success.real.tolist() == pytest.approx([2 / 9, 3 / 9, 4 / 9])
    assert success.agreement.pearson == pytest.approx(1)
    assert success.agreement.mmrv == 0


def test_success_on_recorded_attempts_ranks_no_checkpoints(made_up):
    # Others selected these grasps, even where each checkpoint met other recordings.
    recorded = [summarise(made_up.make_evaluation(
        made_up.make_bag('sim', 9, seed), made_up.make_bag('real', 9, seed)), repeats=20)
        for seed in (1, 2, 3)]
    assert [one.measure for one in checkpoints.rankings(recorded)] == ['auroc']
