"""Several checkpoints: what they are ranked by, and what is compared attempt by attempt."""

from moss_perception.evaluation.report import checkpoints
from moss_perception.evaluation.report.files import figures_of
from moss_perception.evaluation.report.summary import summarise
from moss_perception.evaluation.thresholds import check
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


def test_a_requirement_holds_the_first_checkpoint_against_the_one_it_gains_the_least_on(made_up):
    good, fair, poor = (summarise(made_up.make_evaluation(
        made_up.make_bag('real', skill=skill), model=f'{skill}'), 'sim', 0.5)
        for skill in (2.5, 1.5, 0.2))
    needs = ['auroc_gain_low@real>=0']
    assert check(needs, figures_of([good, poor]), 'sim').met
    assert not check(needs, figures_of([poor, good]), 'sim').met
    both, one = (figures_of([good, *others])['real'] for others in ((poor, fair), (fair,)))
    assert both['auroc_gain'] == one['auroc_gain']
    auroc = [x.domains[0].measures['auroc'].value for x in (good, fair)]
    assert one['auroc_gain'][0] == pytest.approx(auroc[0] - auroc[1])


def test_a_gain_without_the_same_attempts_is_undefined_and_meets_no_requirement(made_up):
    first, other = (summarise(made_up.make_evaluation(
        made_up.make_bag('real', seed=seed), model=f'{seed}'), 'sim', 0.5) for seed in (0, 1))
    elsewhere = summarise(made_up.make_evaluation(made_up.make_bag('lab')), 'sim', 0.5)
    for others, why in (([], 'there is no other checkpoint'), ([other], 'not the same attempts'),
                        ([elsewhere], 'was not evaluated on this domain')):
        verdict = check(['auroc_gain_low>=-1'], figures_of([first, *others]), 'sim')
        assert not verdict.met and why in verdict.rows[0].reason
