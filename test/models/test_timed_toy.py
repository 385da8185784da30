"""A model with time inputs: each grasp of a replay has its lead time, each sample its interval."""

from frames import WINDOW
from moss_perception.cli.main import main as moss
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest
from timed import (
    DECISION,
    expected_score,
    FRAMES,
    lead_times,
    LOST,
    replayed,
    stamp_of,
    timed_checkpoint,
    write_recording,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return timed_checkpoint(tmp_path_factory.mktemp('timed') / 'timed.safetensors')


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    """Write one attempt whose frames jitter; one is lost."""
    return write_recording(tmp_path_factory.mktemp('recorded') / 'bag')


def test_a_replay_scores_each_candidate_at_its_lead_time_and_true_intervals(
        checkpoint, recording):
    predictor = Predictor.load(str(checkpoint), engine='torch', threads=1)
    record, found = replayed(recording, predictor)
    index = [k for k in range(FRAMES) if k != LOST]
    stamps = [stamp_of(k) for k in index]
    assert list(found) == stamps[WINDOW - 1:]
    for k, stamp_ns in zip(index, stamps, strict=True):
        if stamp_ns not in found or k > DECISION:
            continue
        rows, own = found[stamp_ns], lead_times(k)
        # The lost sample took a period.
        taken = [0.1 if one == LOST else (stamp_of(one) - stamp_of(one - 1)) / 1e9
                 if one != LOST + 1 else (stamp_of(one) - stamp_of(one - 2)) / 1e9 - 0.1
                 for one in (k - 1, k)]
        before_s, interval_s = taken
        asked = np.append(np.full(3, 0.5) if own is None else own, 0.5)
        np.testing.assert_allclose(rows['lead_time'], np.clip(asked, 0.25, 0.75), atol=1e-7)
        np.testing.assert_allclose(
            rows['score'], expected_score(rows['lead_time'], interval_s, before_s), atol=1e-5)
    attempt, = record.attempts
    assert attempt.score == pytest.approx(found[stamps[index.index(DECISION)]]['score'][2])
    assert any('outside 0.25 to 0.75 s, for which the checkpoint was trained' in note
               for note in record.notes)
    assert record.missing == 1


def test_without_the_topic_the_lead_time_is_that_of_the_predictor(checkpoint, recording):
    predictor = Predictor.load(str(checkpoint), engine='torch', threads=1, lead_time_s=0.625)
    _, found = replayed(recording, predictor, lead_times_topic='')
    assert {float(rows['lead_time'][0]) for rows in found.values()} == {0.625}
    _, found = replayed(recording, predictor)
    assert len({float(rows['lead_time'][1]) for rows in found.values()
                if len(rows) > 1}) > 2


def test_lead_times_that_do_not_fit_are_notes(checkpoint, tmp_path):
    def times(index):
        return {3: np.zeros(2), 4: np.array([0.5, -1, 0.5])}.get(index)
    predictor = Predictor.load(str(checkpoint), engine='torch', threads=1, lead_time_s=9.0)
    record, _ = replayed(write_recording(tmp_path / 'bag', times), predictor)
    assert ('the lead time 9 s is clamped to 0.75 s: the checkpoint was not trained for it'
            in record.notes)
    assert ('2 messages of lead times were refused fully or partly: lead time -1 s of candidate 1 '
            'is not allowed: expected a finite number of seconds, 0 or more') in record.notes


def evaluate(*words):
    return moss(['evaluate', *map(str, words)])


def test_the_command_takes_a_lead_time(checkpoint, recording, tmp_path, caplog):
    scores = []
    for value in ('0.3', '0.7'):
        table, plain = tmp_path / value / 'attempts.csv', tmp_path / f'bag{value}'
        write_recording(plain, lambda _: None)
        assert evaluate(plain, '--model', checkpoint, '--engine', 'torch', '--lead-time', value,
                        '--report', table.parent) == 0
        scores.append(table.read_text())
    assert scores[0] != scores[1]
    for words, reason in (
            (('--lead-time', '-1'), 'lead time -1 s is not allowed: expected a finite'),
            (('--lead-time', 'nan'), 'lead time nan s is not allowed'),
            (('--lead-times-topic', '/none'), 'no lead times on /none; expected one of')):
        assert evaluate(recording, '--model', checkpoint, '--engine', 'torch', *words) == 1
        assert reason in caplog.text


def test_a_checkpoint_without_time_inputs_takes_no_lead_time(recording, tiny_checkpoint, caplog):
    assert evaluate(recording, '--lead-time', '0.5', '--model', str(tiny_checkpoint)) == 1
    assert 'has no time inputs, expected no lead time' in caplog.text


def test_a_checkpoint_without_time_inputs_notes_that_lead_times_are_not_used(
        tiny_checkpoint, recording, tmp_path):
    predictor = Predictor.load(str(tiny_checkpoint), threads=1)
    record, found = replayed(recording, predictor)
    assert any(note.startswith('the recorded lead times are not used: the checkpoint of model '
                               "'moss_grasp' has no time inputs") for note in record.notes)
    plain, without = replayed(recording, predictor, lead_times_topic='')
    for stamp_ns, rows in found.items():
        for name in rows.dtype.names:
            np.testing.assert_array_equal(rows[name], without[stamp_ns][name])
    assert not any('lead times' in note for note in plain.notes)
