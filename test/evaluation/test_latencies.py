"""Success by latency: counts, paired differences, and lead times that must have arrived."""

from dataclasses import replace

from moss_perception.core.errors import MossError
from moss_perception.evaluation.latencies import rows, summarise
import numpy as np
import pytest

COUNT = 40


@pytest.fixture
def part(made_up):
    """Return a function that draws a part; the lead time is the one that was scored at."""
    def draw(way, latency_s, outcomes, executed=None, used_s=None, **conditions):
        lead_time_s = {'told': 0.675 + latency_s, 'default': 0.7}.get(way)
        bag = made_up.make_bag(f'sim_{way}', count=COUNT, outcomes=outcomes)
        used_s = lead_time_s if used_s is None else used_s
        attempts = tuple(replace(
            one, attempt=n + 1, executed=executed is None or bool(executed[n]),
            lead_time_s=float('nan') if used_s is None else used_s)
            for n, one in enumerate(bag.attempts))
        return replace(bag, attempts=attempts[::-1], conditions={
            'latency_s': latency_s, 'way': way, 'lead_time_s': lead_time_s, 'domain': 'sim',
            'cell': '', 'seed': 5, 'attempts': COUNT, 'lock_step': 'true', 'params': '',
            **conditions})
    return draw


def outcomes(share):
    return [bool(n < share * COUNT) for n in range(COUNT)]


def test_what_the_lead_times_are_worth_is_a_paired_difference(part, made_up):
    executed = np.arange(COUNT) >= 4
    found = summarise([made_up.make_evaluation(
        part('default', 0.12, outcomes(0.5), executed), part('told', 0.12, outcomes(0.75)),
        part('told', 0.0, outcomes(0.75)), part('default', 0.0, outcomes(0.75)))])
    late = found['domains']['sim']['latencies'][1]
    assert [one['latency_s'] for one in found['domains']['sim']['latencies']] == [0.0, 0.12]
    told, default = late['ways']['told'], late['ways']['default']
    assert (told['succeeded'], told['not_executed'], told['success']) == (30, 0, 0.75)
    # The first four would have succeeded, but no grasp was selected.
    assert (default['succeeded'], default['executed'], default['not_executed']) == (16, 36, 4)
    assert default['success'] == 0.4 and default['outcomes'][:6] == [None] * 4 + [1, 1]
    gap = late['differences']['told_minus_default']
    assert gap['difference'] == pytest.approx(0.35) and 0 < gap['low'] < 0.35 < gap['high']
    both = found['domains']['sim']['differences']['told_minus_default']
    assert both['difference'] == pytest.approx(0.175)
    assert rows(found)[2][:4] == ['sim', '120 ms', 'told', '30 of 40']
    assert rows(found)[2][6].startswith('+35.0 [')


def test_a_checkpoint_without_time_inputs_has_one_way(part, made_up):
    found = summarise([made_up.make_evaluation(
        part('default', 0.06, outcomes(0.5), used_s=float('nan'), lead_time_s=None))])
    one, = found['domains']['sim']['latencies']
    assert list(one['ways']) == ['default'] and one['differences'] == {}


@pytest.mark.parametrize('make, line', [
    (lambda part: [part('told', 0.06, outcomes(0.5), used_s=0.7)],
     'sim_told: the grasp of attempt 40 was scored at a lead time of 0.7 s: expected 0.735 s, '
     "since each candidate's lead time is published"),
    (lambda part: [part('told', 0.06, outcomes(0.5), used_s=float('nan'))],
     'at a lead time of nan s'),
    (lambda part: [part('told', 0.06, outcomes(0.5)),
                   part('default', 0.06, outcomes(0.5), seed=6)], 'differ in their scenes'),
    (lambda part: [part('told', 0.06, outcomes(0.5), attempts=41)],
     '40 attempts were recorded: expected 41'),
    (lambda part: [replace(part('told', 0.06, outcomes(0.5)), conditions={})],
     'samples/sim_told_40: no latency is stored'),
])
def test_what_does_not_compare_is_refused(part, made_up, make, line):
    with pytest.raises(MossError, match=line):
        summarise([made_up.make_evaluation(*make(part))])


def test_two_checkpoints_are_refused(part, made_up):
    one = made_up.make_evaluation(part('told', 0.06, outcomes(0.5)))
    with pytest.raises(MossError, match='of 2 checkpoints: expected those of one'):
        summarise([one, replace(one, sha256='0')])
