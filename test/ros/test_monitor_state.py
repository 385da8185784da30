"""The state of a system as the views show it, from what its nodes publish."""

import io
import json

from moss_perception.core.text import clean
from moss_perception.data.outcomes import Outcome
from moss_perception.ros.monitor.lines import line_of, LineLog
from moss_perception.ros.monitor.state import HISTORY_S, Shown, shown_row, SystemState
from moss_perception.ros.monitor.terminal import print_screen, screen, sparkline
import numpy as np
import pytest
from rich.console import Console

FINGERS = np.array([[0.4, 0.5], [0.6, 0.5]])
VALUES = {'state': 'active', 'window_fill': '16/16', 'frames': '100', 'rate_hz': '30.0',
          'inference_p50_ms': '12.0', 'inference_p95_ms': 'nan', 'out_of_distribution': 'no',
          'ood_score': '0.500', 'resets/gap': '1', 'budget_level': '1,2', 'budget_target': '1,2',
          'cost_ms/1,2': '9.0', 'model_sha256': 'ab' * 32, 'score_threshold': '0.500'}


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def state(clock):
    return SystemState('/arm/grasp_predictor', clock)


def shown(stamp_ns=1, scores=(0.3, 0.9), selected=None):
    rows = [shown_row(k, score, 0.05, '', FINGERS) for k, score in enumerate(scores)]
    return Shown(stamp_ns, rows, int(np.argmax(scores)) if scores else None, selected,
                 {'score': 0.2, 'uncertainty': 0.1})


def texts(state):
    return [one['text'] for one in state.snapshot()['events']]


def test_before_the_predictor_it_says_what_it_waits_for(state):
    state.wait_for('waits for /arm/grasp_predictor: expected it to publish')
    snapshot = state.snapshot()
    assert (snapshot['phase'], snapshot['level']) == ('waiting', 'stale')
    assert snapshot['message'].startswith('waits for /arm/grasp_predictor: expected')
    assert json.loads(json.dumps(snapshot, allow_nan=False)) == snapshot


def test_the_facts_are_those_of_the_diagnostics(state):
    state.diagnose(0, 'running', VALUES)
    snapshot = state.snapshot()
    assert (snapshot['phase'], snapshot['level'], snapshot['message']) == (
        'present', 'ok', 'running')
    assert snapshot['window'] == [16, 16] and snapshot['rate_hz'] == 30.0
    assert snapshot['latency_ms']['inference'] == [12.0, None]
    assert snapshot['budget'] == {'level': '1,2', 'target': '1,2', 'costs_ms': {'1,2': 9.0}}
    assert snapshot['ood'] == {'score': 0.5, 'out': False}
    assert snapshot['resets'] == {'gap': 1} and snapshot['threshold'] == 0.5
    json.dumps(snapshot, allow_nan=False)


def test_a_predictor_that_says_nothing_any_more_is_named(state, clock):
    state.diagnose(0, 'running', VALUES)
    clock.now_s += 5
    assert state.snapshot()['phase'] == 'silent'
    assert state.snapshot()['message'] == (
        '/arm/grasp_predictor has said nothing for 5 s: it has ended, or hangs')
    state.diagnose(0, 'running', VALUES)
    assert state.snapshot()['phase'] == 'present'


def test_resets_and_refusals_become_events_in_words(state):
    state.diagnose(0, 'running', VALUES)
    # What happened before somebody looked is no event.
    assert texts(state) == []
    state.diagnose(1, 'refused', {**VALUES, 'resets/gap': '3', 'refused/zero_stamp': '2',
                                  'last_refusal': 'zero_stamp: the stamp is 0'})
    assert texts(state) == ['window reset: no frame for longer than max_gap (2 times)',
                            'refused 2 frames without a stamp: the stamp is 0']


def test_a_new_start_and_ood_become_events(state):
    state.diagnose(0, 'running', VALUES)
    state.scores(shown())
    state.diagnose(1, 'ood', {**VALUES, 'out_of_distribution': 'yes'})
    state.diagnose(0, 'running', {**VALUES, 'frames': '2', 'resets/gap': '0'})
    assert texts(state) == ['the images are out of distribution: do not trust the scores',
                            'the predictor has started anew']
    assert state.history()['time'] == []
    # The scores were those of the earlier run.
    snapshot = state.snapshot()
    assert (snapshot['candidates'], snapshot['best'], snapshot['scored']) == ([], None, None)
    assert state.shown_stamp_ns == 0 and not snapshot['old']
    assert line_of(snapshot) == 'running'


def test_an_outcome_has_the_score_of_the_executed_grasp_at_its_decision(state, clock):
    state.scores(shown(stamp_ns=5))
    clock.now_s += 2
    state.scores(shown(stamp_ns=6, scores=(0.1, 0.2)))
    state.outcome(Outcome(1, 1, 5, 6, True, '', 'constant', 'mug', candidate=0), 'held')
    state.outcome(Outcome(2, 1, 5, 6, False, '', '', '', executed=False), 'none selected')
    state.outcome(Outcome(3, 1, 4, 2_000_000_004, False, '', '', ''), 'lost')
    attempts = state.snapshot()['attempts']
    assert [one['score'] for one in attempts['last']] == [0.3, None, None]
    # Of unknown scores, the time is that of the stamps.
    assert [one['time'] for one in attempts['last']] == [1000, 1000, 1000]
    assert (attempts['count'], attempts['executed'], attempts['succeeded']) == (3, 2, 1)


def test_the_history_is_a_minute(state, clock):
    state.scores(shown())
    clock.now_s += HISTORY_S + 1
    state.scores(shown(scores=()))
    assert state.history() == {'time': [1061.0], 'score': [0.2], 'uncertainty': [0.1],
                               'listed': [False]}


HOSTILE = '\x1b[31m<img src=x onerror=alert(1)>\u202egnp.exe\r' + 'x' * 500


def test_names_of_others_cannot_act(state):
    state.diagnose(0, HOSTILE, {**VALUES, 'topic': HOSTILE, f'resets/{HOSTILE}': '1'})
    state.outcome(Outcome(1, 1, 2, 3, True, '', HOSTILE, HOSTILE), HOSTILE)
    state.gate(HOSTILE)
    text = json.dumps(state.snapshot(), ensure_ascii=False)
    assert not {'\x1b', '\u202e', '\r'} & set(text) and 'x' * 300 not in text
    assert clean('a\tb\u00e9') == 'a b\u00e9'


def screen_of(state):
    import io
    file = io.StringIO()
    print_screen(state, file)
    return file.getvalue()


def test_the_terminal_view_fits_into_80_columns(state, clock):
    for number in range(40):
        clock.now_s += 1
        state.scores(shown(number, scores=tuple(np.linspace(0, 1, 12)), selected=3))
    state.diagnose(1, 'a warning ' * 30, {**VALUES, 'topic': '/t' * 90, 'model': 'm' * 90})
    state.outcome(Outcome(1, 1, 20, 30, True, '', 'constant', 'mug' * 40, candidate=3), 'held')
    state.event(HOSTILE, 'reset')
    text = screen_of(state)
    assert max(map(len, text.splitlines())) <= 80
    assert '\x1b' not in text and '▁' not in text.splitlines()[0] and '█' in text
    assert 'WARN  a warning' in text and '3 0.27 ±0.05' in text and 'selected' in text
    assert 'attempt 1: held, score 0.27' in text


def test_markup_in_texts_is_shown_as_it_is(state):
    state.diagnose(0, '[bold]running[/bold] [link=x]', VALUES)
    assert '[bold]running[/bold] [link=x]' in screen_of(state)


def test_the_terminal_view_without_a_predictor_says_what_is_missing(state):
    state.wait_for('waits for /arm/grasp_predictor: expected it to publish')
    text = screen_of(state)
    assert 'WAITING  waits for /arm/grasp_predictor' in text and 'candidates' not in text


def test_a_sparkline_shows_the_highest_of_each_column():
    assert sparkline([0.0, 10.0, 11.0, 59.0], [0.0, 1.0, 0.1, None], 60.0, 6) == '▁█    '


class Watched:
    """What a line log needs of a watcher."""

    def __init__(self, state):
        self.state, self.lines = state, []

    def log(self, line, warn=False):
        self.lines.append(('warn ' if warn else '') + line)


def test_the_console_says_something_when_something_changes(state, clock):
    watched = Watched(state)
    log = LineLog(watched, clock)
    state.diagnose(0, 'running', VALUES)
    for _ in range(5):
        state.scores(shown(5, selected=1))
        log.tick()
        clock.now_s += 1
        state.diagnose(0, 'running', VALUES)
    assert watched.lines == ['best 1: 0.90 ± 0.05 | selected 1']
    state.outcome(Outcome(1, 1, 5, 6, True, '', '', '', candidate=1), 'held')
    log.tick()
    assert watched.lines[1:] == [
        'attempt 1: held at 0.90 | 1 of 1 grasps held | best 1: 0.90 ± 0.05 | selected 1']
    state.diagnose(1, 'overloaded: dropped 3 of 30 frames', VALUES)
    log.tick()
    assert watched.lines[2].startswith('warn 1 of 1') and 'overloaded' in watched.lines[2]
    clock.now_s += 60
    log.tick()
    assert 'has said nothing for 6' in watched.lines[3]


def test_old_scores_are_not_said(state, clock):
    state.diagnose(0, 'running', VALUES)
    state.scores(shown(5, selected=1))
    clock.now_s += 2
    assert not state.snapshot()['old'] and 'best 1' in line_of(state.snapshot())
    clock.now_s += 298
    state.gate('stale')
    state.diagnose(3, 'no frame on /image for 300.0 s', VALUES)
    assert state.snapshot()['old']
    assert line_of(state.snapshot()) == (
        'no scores for 300 s | gate stale | no frame on /image for 300.0 s')
    text = screen_of(state)
    assert 'no scores for 300 s' in text and 'stale' in text
    assert '0.90' not in text and 'best,' not in text and 'selected' not in text
    # Why, is said also where nothing is wrong.
    state.diagnose(0, 'window filling: 3 of 16 samples', VALUES)
    assert line_of(state.snapshot()).endswith(' | window filling: 3 of 16 samples')
    state.scores(shown(6))
    assert 'best 1' in line_of(state.snapshot()) and '0.90' in screen_of(state)


def test_the_console_says_once_that_the_scores_are_old(state, clock):
    watched = Watched(state)
    log = LineLog(watched, clock)
    state.scores(shown(5, selected=1))
    for _ in range(6):
        state.diagnose(0, 'paused by ~/enable', {**VALUES, 'paused': 'yes'})
        log.tick()
        clock.now_s += 1
    assert watched.lines == ['best 1: 0.90 ± 0.05 | selected 1 | paused by ~/enable',
                             'no scores for 3 s | paused by ~/enable']


def test_ok_is_green_in_the_terminal_only_while_scores_come(state, clock):
    def colour():
        console = Console(width=80, force_terminal=True, color_system='standard', no_color=False)
        with console.capture() as shown_text:
            console.print(screen(state))
        line = next(x for x in shown_text.get().splitlines() if 'OK' in x)
        return line[:line.index('OK')].rpartition('\x1b[')[2]

    state.diagnose(0, 'running', VALUES)
    state.scores(shown())
    assert colour() == '32m'
    state.diagnose(0, 'paused by ~/enable', {**VALUES, 'paused': 'yes'})
    assert colour() == '90m'
    clock.now_s += 3
    state.diagnose(0, 'window filling: 3 of 16 samples', VALUES)
    assert colour() == '90m'


def test_a_line_says_ood_and_pause(state):
    state.diagnose(1, 'out', {**VALUES, 'out_of_distribution': 'yes', 'ood_score': '2.5'})
    assert line_of(state.snapshot()) == 'out of distribution, do not trust the scores'
    state.diagnose(0, 'paused by ~/enable', {**VALUES, 'paused': 'yes'})
    assert line_of(state.snapshot()) == 'paused by ~/enable'


def test_candidates_without_a_score_are_not_taken_for_none(state):
    nan = float('nan')
    rows = [shown_row(k, nan, nan, 'no calibration', FINGERS * nan) for k in range(3)]
    none = '3 candidates, none scored: 3 no calibration'
    state.scores(Shown(5, rows, None, None, {'score': 0.62, 'uncertainty': 0.1}, none))
    state.diagnose(0, 'running', VALUES)
    assert line_of(state.snapshot()) == none
    # The diagnostics say it too, once for both.
    state.diagnose(1, f'{none} [MOSS082]', VALUES)
    assert line_of(state.snapshot()) == f'{none} [MOSS082]'
    out = io.StringIO()
    print_screen(state, out)
    assert none in out.getvalue() and 'none of 3' in out.getvalue()
    assert 'default 0.62' not in out.getvalue()
    assert state.history()['score'] == [None]
    state.scores(shown(6, scores=()))
    state.diagnose(0, 'running', VALUES)
    assert line_of(state.snapshot()) == 'no candidates, default point 0.20'
