"""What the report says of recordings that came over topics, and of executed grasps."""

from dataclasses import replace

from moss_perception.evaluation.outputs import summarise_diagnostics
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.evaluation.report.page import fill
from moss_perception.evaluation.report.recordings import (
    closed_loop,
    costs,
    count_executed,
    over_topics,
    played_values,
)
import numpy as np
import pytest


@pytest.fixture
def bag():
    """Return a recording of four attempts; in one of them nothing was selected."""
    outcomes = [(True, True), (True, True), (False, True), (False, False)]
    attempts = tuple(AttemptRecord(n, n, n, n, held, executed=done)
                     for n, (held, done) in enumerate(outcomes))
    return BagRecord('a bag', 'shifted', '/image', 9.0, 90, {}, {}, 0, {}, 9.0, np.zeros(0),
                     np.zeros(0), attempts, not_arrived=7, pace='1x', verified='bit for bit',
                     latency_ms=np.array([10.0, 20.0, 30.0]))


def test_nothing_is_said_of_what_was_read_offline(bag):
    assert over_topics([replace(bag, pace='offline')]) == {}


def test_what_did_not_arrive_is_told_with_latency_and_comparison(bag):
    text = fill('played', over_topics([bag]))
    for word in ('1x', '>90<', '>7<', '>20.0<', '>29.0<', 'bit for bit'):
        assert word in text, word
    assert closed_loop([bag]) == {}


def test_what_the_node_told_of_itself_is_shown_and_kept(bag):
    assert 'diagnostics' not in fill('played', over_topics([bag]))
    assert played_values(bag)['diagnostics'] is None
    diagnostics = summarise_diagnostics([{
        'scored': '9', 'ood_score': '0.5', 'out_of_distribution': 'no', 'decode_p50_ms': '1.25',
        'inference_p50_ms': '4.50', 'inference_p95_ms': '7.5', 'age_p95_ms': '31.5'}])
    live = replace(bag, pace='live', diagnostics=diagnostics, latency_ms=np.zeros(0))
    text = fill('played', over_topics([live]))
    for word in ('the node’s diagnostics', '>4.5<', '>7.5<', '>31.5<', '>0 %<', 'age p95'):
        assert word in text, word
    assert played_values(live)['diagnostics']['out_of_distribution_share'] == 0
    # The same names as offline, so that a requirement may ask for them.
    assert costs([live])['inference_p95_ms'] == 7.5
    slower = replace(live, diagnostics=diagnostics | {'inference_p95_ms': 9.0})
    assert costs([live, slower])['inference_p95_ms'] == 9.0
    assert np.isnan(costs([live])['decode_p95_ms'])


def test_success_is_of_what_was_count_executed(bag):
    found = count_executed(bag)
    assert (found['attempts'], found['executed'], found['succeeded']) == (4, 3, 2)
    assert found['success'] == pytest.approx(2 / 3)
    # Wilson's interval for 2 of 3, by its formula.
    z = 1.959964
    centre, half = (2 / 3 + z * z / 6) / (1 + z * z / 3), z / (1 + z * z / 3) * np.sqrt(
        2 / 27 + z * z / 36)
    assert found['success_low'] == pytest.approx(centre - half, abs=1e-5)
    assert found['success_high'] == pytest.approx(centre + half, abs=1e-5)


def test_a_closed_loop_has_a_table_of_its_own(bag):
    live = replace(bag, pace='live', closed_loop=True, latency_ms=np.zeros(0), verified='')
    text = fill('closed_loop', closed_loop([live])) + fill('played', over_topics([live]))
    assert 'id="closed-loop"' in text and '67 %' in text
    assert 'unknown' in text and '<li>' not in text
    assert played_values(live)['closed_loop']['executed'] == 3
    assert played_values(bag)['closed_loop'] is None
