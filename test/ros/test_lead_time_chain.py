"""Lead times from a recording through player, node, recorder and verification, bit for bit."""

from frames import frame, WINDOW
from geometry_msgs.msg import PoseStamped
from moss_perception.cli.main import main as moss
from moss_perception.core.scores import GraspScores, read_scores
from moss_perception.data.bags.reader import Recording
from moss_perception.evaluation.outputs import read_outputs
from moss_perception.ros.common import conversions
from moss_perception.runtime.predictor import Predictor
from node_bench import Bench, PLACES
import numpy as np
import pytest
from timed import (
    DECISION,
    FRAMES,
    lead_times,
    LOST,
    replayed,
    timed_checkpoint,
    write_recording,
)

pytestmark = pytest.mark.timeout(180)


def test_the_gate_selects_the_candidate_that_is_best_at_its_own_lead_time(harness, tmp_path):
    bench, selected = Bench(timed_checkpoint(tmp_path / 'timed.safetensors')), {}
    bench.peer.create_subscription(PoseStamped, '/selected_grasp', lambda one: selected.update({
        conversions.stamp_to_ns(one.header.stamp): one.pose.position.x}), 10)
    # The stamps are those of a recording: by a clock that stands still, none is too old.
    gate = harness.NodeProcess(tmp_path, 'grasp_gate', ros_args=[word for pair in (
        ('-r', 'grasp_scores:=/grasp_predictor/grasp_scores'), ('-p', 'use_sim_time:=true'),
        ('-p', 'max_age:=60.0'), ('-p', 'hold_time:=0.0'), ('-p', 'switch_margin:=0.0'))
        for word in pair])
    try:
        bench.activate()
        frames = iter(range(1000))
        bench.spin_until(lambda: bench.peer.count_publishers('/selected_grasp'), 60.0)

        def scored(lead_times):
            # The places stay the same: only the lead times tell the candidates apart.
            k = next(frames)
            bench.propose(k, lead_times=lead_times)
            bench.send(k)
            return frame(k).stamp_ns

        # The gate and its topics are discovered after the first scores, or before.
        bench.spin_until(lambda: scored([0.5, 0.5]) and selected, 60.0)

        def choice(lead_times):
            stamp_ns = scored(lead_times)
            bench.spin_until(lambda: stamp_ns in selected, 20.0)
            return selected[stamp_ns]
        chosen = [choice(times) for times in (
            [0.25, 0.75], [0.25, 0.75], [0.75, 0.25], [0.25, 0.75])]
    finally:
        gate.stop()
        bench.close()
    expected = [PLACES[index][0] for index in (1, 1, 0, 1)]
    assert chosen == pytest.approx(expected, abs=1e-6), gate.output()


def assert_same(rows, expected):
    for name in rows.dtype.names:
        np.testing.assert_array_equal(rows[name], expected[name])


def test_node_player_recorder_and_verification_agree_with_the_replay(
        harness, tmp_path, capsys):
    checkpoint = timed_checkpoint(tmp_path / 'timed.safetensors')
    recording = write_recording(tmp_path / 'bag')
    bench = Bench(checkpoint, image_transport='compressed', lead_time=0.625)
    out, started = tmp_path / 'recorded', []

    def start(name, **parameters):
        words = [word for key, value in parameters.items() for word in ('-p', f'{key}:={value}')]
        started.append(harness.NodeProcess(tmp_path, name, ros_args=tuple(words)))
        return started[-1]
    try:
        bench.activate(hears_planner=False)
        recorder = start('run_recorder', out=out, attempts=1, qos_reliability='reliable',
                         pace='"lock step"')
        player = start('bag_player', bag=recording, lock_step='true', rate='100.0',
                       wait_for_nodes='["/grasp_predictor=/image/compressed", '
                                      '"/run_recorder=/grasp_outcome"]', start_delay='60.0')
        bench.spin_until(lambda: not recorder.alive(), 90.0)
        assert (player.wait(), recorder.wait()) == (0, 0), player.output() + recorder.output()
        live = [(one.header, read_scores(one)) for one in bench.scores]
    finally:
        for process in started:
            process.stop()
        bench.close()
    predictor = Predictor.load(str(checkpoint), engine='torch', threads=1, lead_time_s=0.625)
    _, found = replayed(recording, predictor)
    assert len(live) == len(found) == FRAMES - WINDOW
    for (_, rows), expected in zip(live, found.values(), strict=True):
        assert_same(rows, expected)
    with Recording(out) as recorded:
        assert recorded.topics['/grasp_lead_times'].count == sum(
            lead_times(k) is not None for k in range(DECISION + 1) if k != LOST)
    outputs = read_outputs(out)
    assert outputs.newest['lead_time'] == '0.625'
    for frame_, expected in zip(outputs.scores, found.values(), strict=True):
        assert_same(frame_.scores.candidates, GraspScores.of(expected).candidates)
    assert moss(['evaluate', str(out), '--scores', 'recorded', '--verify', '--model',
                 str(checkpoint)]) == 0
    assert 'equal those of an offline replay of the received frames, bit for bit' in (
        capsys.readouterr().out)
