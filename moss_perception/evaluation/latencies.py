"""What knowing the latency is worth: success in a closed loop, by latency and lead time."""

from collections.abc import Mapping, Sequence
import math
from typing import Any

from moss_perception.core.errors import MossError
from moss_perception.core.tables import lay_out
from moss_perception.evaluation.intervals import paired_test, wilson
from moss_perception.evaluation.records import BagRecord, Evaluation
import numpy as np

FORMAT = 'moss_perception.latencies/1'
TOLD, STREAM, DEFAULT = 'told', 'stream', 'default'
WAYS = {TOLD: "each candidate's lead time is published",
        STREAM: 'the parameter lead_time has the true lead time',
        DEFAULT: "the predictor uses the checkpoint's default lead time"}
"""How the predictor learns the lead time, in words."""

# Lead times of a topic are float32.
_CLOSE_S = 1e-3
_SHARED = ('domain', 'cell', 'seed', 'attempts', 'lock_step', 'params')


def summarise(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """
    Summarise the parts of a closed loop of one checkpoint, of which each is one recording.

    :param evaluations: of recordings with the conditions that ``moss run eval`` gives them.
    :returns: values for JSON: for each domain and latency the success of each way, and paired
        differences over the scenes. An attempt without an executed grasp is no success.
    :raises MossError: if a recording has no conditions, the checkpoints or scenes differ, or
        grasps were scored at another lead time than their conditions say.
    """
    if len(evaluations) != 1:
        raise MossError(f'the records are of {len(evaluations)} checkpoints: expected those of '
                        'one, to compare latencies')
    of, = evaluations
    domains: dict[str, list[BagRecord]] = {}
    for bag in of.bags:
        if 'latency_s' not in bag.conditions:
            raise MossError(f'{bag.path}: no latency is stored with its results: expected records '
                            "of moss run eval with the argument 'latencies'")
        _check_lead_times(bag)
        domains.setdefault(bag.conditions['domain'], []).append(bag)
    return {
        'format': FORMAT, 'model': of.model, 'sha256': of.sha256, 'model_type': of.model_type,
        'engine': of.engine, 'threads': of.threads, 'ways': WAYS,
        'duration_s': sum(bag.duration_s for bag in of.bags),
        'domains': {name: _domain(bags) for name, bags in domains.items()}}


def _check_lead_times(bag: BagRecord) -> None:
    """Check that lead times have reached the network."""
    expected = bag.conditions['lead_time_s']
    for one in bag.attempts:
        if not one.executed or (expected is None and math.isnan(one.lead_time_s)):
            continue
        if expected is None or not abs(one.lead_time_s - expected) <= _CLOSE_S:
            raise MossError(
                f'{bag.domain}: the grasp of attempt {one.attempt} was scored at a lead time of '
                f'{one.lead_time_s:g} s: expected '
                + ('none' if expected is None else f'{expected:g} s')
                + f', since {WAYS[bag.conditions["way"]]}')


def _domain(bags: Sequence[BagRecord]) -> dict[str, Any]:
    shared = [{name: bag.conditions[name] for name in _SHARED} for bag in bags]
    if any(one != shared[0] for one in shared):
        raise MossError(f'the recordings of {shared[0]["domain"]} differ in their scenes: '
                        f'{shared}: expected the same, to compare them in pairs')
    latencies: dict[float, dict[str, BagRecord]] = {}
    for bag in bags:
        latencies.setdefault(bag.conditions['latency_s'], {})[bag.conditions['way']] = bag
    found = [_latency(latency_s, ways) for latency_s, ways in sorted(latencies.items())]
    differences = {}
    for name in found[0]['differences']:
        pair = [np.array([one['ways'][way]['outcomes'] for one in found], float)
                for way in name.split('_minus_')]
        # Nan for no grasp: no success. The latencies of a scene are one draw.
        differences[name] = paired_test(*(np.nan_to_num(one) for one in pair))
    return {**shared[0], 'latencies': found, 'differences': differences}


def _latency(latency_s: float, ways: Mapping[str, BagRecord]) -> dict[str, Any]:
    found = {way: _way(ways[way]) for way in WAYS if way in ways}
    success = {way: np.nan_to_num(np.array(one['outcomes'], float)) for way, one in found.items()}
    pairs = [pair for pair in ((TOLD, DEFAULT), (STREAM, DEFAULT), (TOLD, STREAM))
             if set(pair) <= set(found)]
    return {'latency_s': latency_s, 'ways': found, 'differences': {
        f'{ours}_minus_{theirs}': paired_test(success[ours], success[theirs])
        for ours, theirs in pairs}}


def _way(bag: BagRecord) -> dict[str, Any]:
    count = bag.conditions['attempts']
    if sorted(one.attempt for one in bag.attempts) != list(range(1, count + 1)):
        raise MossError(f'{bag.domain}: {len(bag.attempts)} attempts were recorded: expected '
                        f'{count}')
    attempts = sorted(bag.attempts, key=lambda one: one.attempt)
    executed = sum(one.executed for one in attempts)
    held = sum(one.executed and one.success for one in attempts)
    of_all, of_executed = wilson(held, count), wilson(held, executed)
    delays = [-one.times_s.min() for one in attempts if one.executed and len(one.times_s)]
    return {
        'executed': executed, 'not_executed': count - executed, 'succeeded': held,
        'success': of_all.value, 'success_low': of_all.low, 'success_high': of_all.high,
        'success_of_executed': of_executed.value,
        'lead_time_s': bag.conditions['lead_time_s'],
        'scored_before_s': float(np.median(delays)) if delays else math.nan,
        'frames': bag.frames, 'duration_s': bag.duration_s,
        # By seed, ascending: 1, 0, or null without an executed grasp.
        'outcomes': [int(one.success) if one.executed else None for one in attempts]}


def table(summary: Mapping[str, Any]) -> str:
    """Lay out the success by latency and way for a terminal."""
    return lay_out(rows(summary), HEAD)


HEAD = ('domain', 'latency', 'lead times', 'succeeded', 'of all [95 %]', 'without a grasp',
        'minus default, points [95 %]')


def rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of the table, in the columns of ``HEAD``."""
    found = []
    for domain, values in summary['domains'].items():
        for one in values['latencies']:
            found += [_row(domain, one, way) for way in one['ways']]
        if gap := values['differences'].get(f'{TOLD}_minus_{DEFAULT}'):
            found.append([domain, 'all', TOLD, '', '', '', _points(gap)])
    return found


def _row(domain: str, one: Mapping[str, Any], way: str) -> list[str]:
    of = one['ways'][way]
    gap = one['differences'].get(f'{way}_minus_{DEFAULT}')
    return [domain, f'{1000 * one["latency_s"]:.0f} ms', way,
            f'{of["succeeded"]} of {len(of["outcomes"])}',
            f'{of["success"]:.1%} [{of["success_low"]:.1%}, {of["success_high"]:.1%}]',
            str(of['not_executed']), _points(gap) if gap else '']


def _points(gap: Mapping[str, float]) -> str:
    return (f'{100 * gap["difference"]:+.1f} [{100 * gap["low"]:+.1f}, '
            f'{100 * gap["high"]:+.1f}]')
