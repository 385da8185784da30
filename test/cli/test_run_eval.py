"""The command ``moss run eval`` over real topics: its report and its exit status."""

import json
import re
import shlex
import signal
import subprocess
import sys

from calibrations import write_calibration
import cv2
from diagnostic_msgs.msg import DiagnosticArray
from moss_perception.core.errors import SimulationError
from moss_perception.core.resources import model_path
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import stamp_of
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.data.outcomes import outcome_of
from moss_perception.evaluation.pictures import recorded_images, stamps_shown
from moss_perception.evaluation.record_files import read_evaluation
from moss_perception.evaluation.replay import replay
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.ros.system.evaluation import evaluation_runs
from moss_perception.ros.system.supervisor import Supervisor
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from tiny import tiny_network

pytestmark = pytest.mark.timeout(115)

PERIOD_NS = 100_000_000
FRAMES, DECISION = 22, 19
START_NS = 1_700_000_000_000_000_000
MATRIX = np.array([[40.0, 0, 20], [0, 40.0, 20], [0, 0, 1]])
NODES = ('grasp_predictor', 'grasp_gate', 'moss', 'sim_cell', 'bag_player', 'run_recorder')
OWN = """\
/**/grasp_predictor:
  ros__parameters: {threads: 1}
/**/grasp_gate:
  ros__parameters: {min_score: 0.0, release_score: 0.0, max_uncertainty: 0.5, hold_time: 0.0}
/**/sim_cell:
  ros__parameters: {rate: 10.0, timeout: 6.0, start_delay: 60.0}
"""


def record(path, domain, seed, storage='mcap', calibrated=True):
    """Write two attempts, one held and one dropped, a second and a half apart."""
    rng = np.random.default_rng(seed)
    with RecordingWriter(path, storage=storage) as writer:
        for attempt in range(2):
            start_ns = START_NS + attempt * 4 * 10**9
            for index in range(FRAMES):
                stamp_ns = start_ns + index * PERIOD_NS
                grasps = np.array([[0.01, 0.002 * index, 0.5, 0.3],
                                   [-0.05, 0.001 * index, 0.6, 1.2]])
                if calibrated:
                    writer.camera_info(stamp_ns, 40, 40, MATRIX)
                writer.candidates(stamp_ns, grasps)
                image = cv2.imencode('.jpg', rng.integers(0, 256, (40, 40, 3), np.uint8))[1]
                writer.image(stamp_ns, image.tobytes())
                if index == DECISION:
                    writer.selected(stamp_ns, grasps[attempt])
            writer.outcome('over', attempt=attempt + 1, start_ns=start_ns,
                           decision_ns=start_ns + DECISION * PERIOD_NS, end_ns=stamp_ns,
                           success=bool(attempt), domain=domain, motion='', object='',
                           candidate=attempt)
    return path


@pytest.fixture
def start(programs, tmp_path):
    """Return a function that starts the runner from the test's folder."""
    environment = programs.with_executables(tmp_path, *NODES)
    (tmp_path / 'own.yaml').write_text(OWN)
    started = []

    def start(*words):
        started.append(subprocess.Popen(
            [*programs.command('moss'), 'run', 'eval', 'params_file:=own.yaml', *words],
            cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT))
        return started[-1]
    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def run(start, *words, timeout_s=110):
    process = start(*words)
    output, _ = process.communicate(timeout=timeout_s)
    return process.returncode, output


def test_two_recordings_become_one_report(start, tiny_checkpoint, tmp_path):
    sim, real = (record(tmp_path / x, x, n) for n, x in enumerate(('sim', 'real')))
    status, output = run(start, f'sim_bag:={sim}', f'real_bag:={real}', 'out:=out',
                         f'model:={tiny_checkpoint}', 'require:=attempts>=2; attempts@real>=2')
    assert status == 0, output
    assert {x.name for x in (tmp_path / 'out' / 'report').iterdir()} == {
        'report.html', 'report.json', 'attempts.csv'}
    assert json.loads((tmp_path / 'out' / 'report' / 'report.json').read_text())
    for name, domain in (('1_sim', 'sim'), ('2_real', 'real')):
        bag, = read_evaluation(tmp_path / 'out' / 'records' / f'{name}.json').bags
        assert (bag.domain, bag.pace, bag.not_arrived) == (domain, 'lock step', 0)
        assert [x.source for x in bag.attempts] == ['executed', 'executed']
        assert 'bit for bit' in bag.verified, bag
    # Frames of the film strips are read from the recordings: two attempts each, six frames.
    page = (tmp_path / 'out' / 'report' / 'report.html').read_text()
    assert page.count('image/jpeg') == 24 and 'frame not available' not in page
    assert 'Traceback' not in output, output


def test_played_in_time_the_report_says_what_arrived_and_how_late_it_was_scored(
        start, tiny_checkpoint, tmp_path):
    bag = record(tmp_path / 'real', 'real', 2)
    status, output = run(start, 'sim_bag:=none', f'real_bag:={bag}', 'out:=out',
                         'lock_step:=false', 'bag_rate:=2', f'model:={tiny_checkpoint}')
    assert status == 0, output
    found, = read_evaluation(tmp_path / 'out' / 'records' / '1_real.json').bags
    assert (found.pace, found.frames) == ('2x', 2 * FRAMES)
    assert sum(found.by_status.values()) + found.not_arrived == found.frames
    # Of each attempt 16 samples fill the window; what arrived is scored as offline.
    assert len(found.latency_ms) == found.by_status['scored'] > 0 and found.latency_ms.min() > 0
    assert 'the received frames, bit for bit' in found.verified, found
    assert [x.source for x in found.attempts] == ['executed', 'executed']
    assert (tmp_path / 'out' / 'report' / 'report.html').is_file()
    assert 'Traceback' not in output, output


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_of_a_damaged_recording_the_report_says_what_is_missing_as_offline(
        start, tiny_checkpoint, tmp_path, storage):
    bag = record(tmp_path / 'real', 'real', 3, storage)
    file = next(x for x in bag.iterdir() if x.suffix in ('.mcap', '.db3'))
    file.write_bytes(file.read_bytes()[:round(0.8 * file.stat().st_size)])
    offline = replay(bag, Predictor.load(str(tiny_checkpoint), threads=1))
    status, output = run(start, 'sim_bag:=none', f'real_bag:={bag}', 'out:=out', 'verify:=false',
                         f'model:={tiny_checkpoint}')
    assert status == 0, output
    found, = read_evaluation(tmp_path / 'out' / 'records' / '1_real.json').bags
    assert FRAMES < found.frames == offline.frames < 2 * FRAMES and found.not_arrived == 0
    assert found.by_status == offline.by_status
    assert 0 < found.lost_share == offline.lost_share
    assert 'are missing' in found.warnings[0] == offline.warnings[0]
    assert [x.score for x in found.attempts] == [x.score for x in offline.attempts]
    page = (tmp_path / 'out' / 'report' / 'report.html').read_text()
    assert f'{found.lost_share:.1%} are missing' in page
    assert 'the readable part is played' in output and 'Traceback' not in output, output


def test_a_calibration_in_a_file_scores_as_that_of_a_topic(start, tiny_checkpoint, tmp_path):
    record(tmp_path / 'with', 'real', 2)
    record(tmp_path / 'without', 'real', 2, calibrated=False)
    path = write_calibration(tmp_path / 'cal.yaml', (40, 40), 40.0, ())
    offline = replay(tmp_path / 'with', Predictor.load(str(tiny_checkpoint), threads=1))
    status, output = run(start, 'sim_bag:=none', f'real_bag:={tmp_path / "without"}', 'out:=out',
                         f'real_topics:=calibration:={path},camera_info:=/camera/info',
                         f'model:={tiny_checkpoint}')
    assert status == 0, output
    found, = read_evaluation(tmp_path / 'out' / 'records' / '1_real.json').bags
    assert [(x.source, x.score) for x in found.attempts] == [
        ('executed', x.score) for x in offline.attempts]
    assert 'bit for bit' in found.verified, found


def test_outcomes_that_are_missing_fail_in_one_line(start, tiny_checkpoint, tmp_path):
    with RecordingWriter(tmp_path / 'bag') as writer:
        image = cv2.imencode('.jpg', np.zeros((40, 40, 3), np.uint8))[1].tobytes()
        for index in range(3):
            writer.image(START_NS + index * PERIOD_NS, image)
    status, output = run(start, 'sim_bag:=none', f'real_bag:={tmp_path / "bag"}', 'out:=out',
                         f'model:={tiny_checkpoint}')
    assert status == 1, output
    assert 'no outcomes to compare the scores with' in output
    assert 'images played' not in output and 'Traceback' not in output
    assert not (tmp_path / 'out' / 'report').exists()


def test_an_interruption_is_130(start, tiny_checkpoint, tmp_path):
    real = record(tmp_path / 'real', 'real', 3)
    process = start('sim_bag:=none', f'real_bag:={real}', 'lock_step:=false', 'bag_rate:=0.1',
                    f'model:={tiny_checkpoint}', 'out:=out')
    lines = []
    for line in process.stdout:
        lines.append(line)
        if 'activate done' in line:
            process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130, ''.join(lines)
    assert 'Traceback' not in ''.join(lines), ''.join(lines)
    assert not (tmp_path / 'out' / 'report').exists()


def test_in_closed_loop_what_was_executed_is_counted(start, tmp_path):
    try:
        from moss_perception.simulation.renderer import Renderer
        Renderer().close()
    except SimulationError as error:
        pytest.skip(str(error))
    status, output = run(start, 'closed_loop:=true', 'real_bag:=none', 'attempts:=2',
                         'sim_seed:=6000005', 'out:=out')
    assert status == 0, output
    found = re.search(r'2 attempts: (\d) succeeded, (\d) failed', output)
    assert found, output
    bag, = read_evaluation(tmp_path / 'out' / 'records' / '1_sim.json').bags
    assert bag.closed_loop and bag.pace == 'live' and bag.domain == 'sim'
    assert sum(x.success for x in bag.attempts) == int(found[1])
    assert sum(x.executed for x in bag.attempts) == int(found[1]) + int(found[2])
    assert all(x.source == 'executed' for x in bag.attempts if x.executed)
    assert f'{found[1]} of 2 executed grasps succeeded' in output, output
    shown = {stamp for x in bag.attempts if x.executed for stamp in stamps_shown(x)}
    assert len(shown) == 12 and recorded_images(bag, shown).keys() == shown
    again = replay(tmp_path / 'out' / 'recordings' / '1_sim',
                   Predictor.load(str(model_path('')), threads=1))
    assert [(x.executed, x.source) for x in again.attempts] == [
        (x.executed, x.source) for x in bag.attempts]
    page = (tmp_path / 'out' / 'report' / 'report.html').read_text()
    assert page.count('image/jpeg') == len(shown) and 'frame not available' not in page


@pytest.mark.timeout(245)
def test_each_latency_is_run_with_and_without_lead_times(start, tmp_path):
    try:
        from moss_perception.simulation.renderer import Renderer
        Renderer().close()
    except SimulationError as error:
        pytest.skip(str(error))
    save_checkpoint(tmp_path / 'timed.safetensors', tiny_network(
        time_inputs=True, lead_times_s=(0.5, 1.0), default_lead_time_s=0.6))
    (tmp_path / 'own.yaml').write_text(OWN.replace('threads: 1', 'threads: 1, engine: torch'))
    # Each part is evaluated from the lead times in its recording: other ones end with an error.
    status, output = run(start, 'closed_loop:=true', 'real_bag:=none', 'attempts:=1',
                         'sim_seed:=6000005', 'latencies:=0.06', 'model:=timed.safetensors',
                         'out:=out', timeout_s=240)
    assert status == 0, output
    found = json.loads((tmp_path / 'out' / 'latencies.json').read_text())
    ways = found['domains']['sim']['latencies'][0]['ways']
    assert {way: of['lead_time_s'] for way, of in ways.items()} == {
        'told': pytest.approx(0.735), 'stream': pytest.approx(0.735), 'default': 0.6}
    assert all(of['executed'] == 1 for of in ways.values())
    # In lock step, the same lead times give the same grasps, however they are told.
    assert ways['told']['outcomes'] == ways['stream']['outcomes']
    scores = {}
    for way in ways:
        bag, = read_evaluation(
            tmp_path / 'out' / 'records' / f'1_sim_60ms_{way}.json').bags
        scores[way] = [(x.score, x.decision_ns - x.start_ns) for x in bag.attempts]
    assert scores['told'] == scores['stream'] != scores['default']
    assert found['domains']['sim']['seed'] == 6000005 and found['machine']['cores'] > 0


def test_a_recorder_that_starts_after_the_cell_misses_nothing(start, programs, tmp_path):
    try:
        from moss_perception.simulation.renderer import Renderer
        Renderer().close()
    except SimulationError as error:
        pytest.skip(str(error))
    # The runner finds these instead of the executables themselves.
    late = {'sim_cell': 'touch cell_started', 'run_recorder':
            'until [ -e cell_started ]; do sleep 0.1; done; sleep 2'}

    def find(name):
        path = tmp_path / name
        words = shlex.join(programs.command(name))
        path.write_text(f'#!/bin/sh\ncd {tmp_path}\n{late.get(name, ":")}\nexec {words} "$@"\n')
        path.chmod(0o755)
        return path
    nodes, *_ = evaluation_runs({
        'closed_loop': 'true', 'real_bag': 'none', 'attempts': '1', 'sim_seed': '6000005',
        'out': str(tmp_path / 'out'), 'params_file': str(tmp_path / 'own.yaml')})
    lines = []
    supervisor = Supervisor(nodes, lambda name, line: lines.append(f'{name}: {line}'),
                            programs.environment(), find).start()
    try:
        assert supervisor.wait(100) == 0, '\n'.join(lines)
    finally:
        supervisor.stop()
    stamps = {}
    with Recording(tmp_path / 'out' / 'recordings' / '1_sim') as recording:
        for topic, _, _, raw in recording.messages(['/image/compressed', '/camera_info']):
            stamps.setdefault(topic, []).append(stamp_of(raw))
        (*_, raw), = recording.messages(['/grasp_outcome'])
        outcome = outcome_of(deserialize_message(raw, DiagnosticArray).status[0])
        frames = recording.topics['/grasp_predictor/processed'].count
    images = stamps['/image/compressed']
    assert images[0] == outcome.start_ns
    assert stamps['/camera_info'] == images and len(images) >= frames
    assert set(np.diff(images)) == {PERIOD_NS}


def test_under_load_each_attempt_has_the_score_of_its_executed_grasp(
        start, tiny_checkpoint, tmp_path):
    bag = record(tmp_path / 'real', 'real', 4)
    offline = replay(bag, Predictor.load(str(tiny_checkpoint), threads=1))
    busy = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(2)]
    try:
        status, output = run(start, 'sim_bag:=none', f'real_bag:={bag}', 'out:=out',
                             f'model:={tiny_checkpoint}')
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert status == 0, output
    found, = read_evaluation(tmp_path / 'out' / 'records' / '1_real.json').bags
    assert [(x.source, x.score) for x in found.attempts] == [
        ('executed', x.score) for x in offline.attempts]
    assert 'bit for bit' in found.verified


def test_attempts_of_a_cell_without_an_executed_grasp_are_counted_apart_by_both_paths(
        start, tmp_path):
    try:
        from moss_perception.simulation.renderer import Renderer
        Renderer().close()
    except SimulationError as error:
        pytest.skip(str(error))
    # A scene ends before the window is full, so the gate can select nothing in it.
    (tmp_path / 'own.yaml').write_text(OWN.replace('timeout: 6.0', 'timeout: 1.0'))
    status, output = run(start, 'closed_loop:=true', 'real_bag:=none', 'attempts:=2',
                         'sim_seed:=6000005', 'out:=out')
    assert status == 0, output
    assert 'not_executed: in 2 of 2 attempts no grasp was executed' in output
    recorded, = read_evaluation(tmp_path / 'out' / 'records' / '1_sim.json').bags
    replayed = replay(tmp_path / 'out' / 'recordings' / '1_sim',
                      Predictor.load(str(model_path('')), threads=1))
    for bag in (recorded, replayed):
        assert [(x.executed, x.success, x.source) for x in bag.attempts] == [
            (False, False, 'none')] * 2
        assert any(note.startswith('not_executed: in 2 of 2') for note in bag.notes)
    values, = json.loads((tmp_path / 'out' / 'report' / 'report.json').read_text())['checkpoints']
    assert values['domains']['sim']['not_executed'] == 2
