"""The last layer's inputs for an attempt are those of its executed grasp, by row."""

import cv2
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.evaluation.batch import EvaluationInput
from moss_perception.evaluation.evidence import collect, Recorder
from moss_perception.evaluation.replay import replay
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.runtime.predictor import Predictor
from moss_perception.runtime.torch_engine import TorchEngine
import numpy as np
from robot_bag import Robot
import torch

START_NS, STEP_NS = 1_700_000_000_000_000_000, 100_000_000
GRASPS = np.array([[0.01, 0.0, 0.5, 0.3], [-0.05, 0.01, 0.6, 1.2], [0.05, 0.01, 0.6, 0.1]])
MATRIX = np.array([[40.0, 0, 20], [0, 40.0, 20], [0, 0, 1]])
FRAMES, DECISION, EXECUTED = 22, 18, 2


def network_without_a_say(**changes):
    """Return a network that gives every grasp one score, and hidden features of its own."""
    torch.manual_seed(0)
    network = MossGraspNetwork(MossGraspConfig(
        image_size=32, channels=(4, 4, 8), moss_window=(5, 3, 3), moss_channels=4,
        projection_channels=4, head_channels=4, ensemble=3, **changes)).eval()
    with torch.no_grad():
        network.head.members.others[-1].weight.zero_()
    return network


def write_attempt(path, lead_time_s=None):
    rng = np.random.default_rng(0)
    with RecordingWriter(path) as writer:
        for index in range(FRAMES):
            stamp_ns = START_NS + index * STEP_NS
            writer.camera_info(stamp_ns, 40, 40, MATRIX)
            writer.candidates(stamp_ns, GRASPS)
            image = cv2.imencode('.jpg', rng.integers(0, 256, (40, 40, 3), np.uint8))[1]
            writer.image(stamp_ns, image.tobytes())
            if index == DECISION:
                writer.selected(stamp_ns, GRASPS[EXECUTED])
        writer.outcome('held', attempt=1, start_ns=START_NS,
                       decision_ns=START_NS + DECISION * STEP_NS, end_ns=stamp_ns, success=True,
                       domain='sim', motion='', object='', lead_time_s=lead_time_s)


def test_attempts_without_a_lead_time_are_counted(tmp_path):
    network = network_without_a_say(time_inputs=True, lead_times_s=(0.5, 0.9),
                                    default_lead_time_s=0.7)
    bags = [tmp_path / name for name in ('without', 'measured')]
    write_attempt(bags[0])
    write_attempt(bags[1], 0.8)
    inputs = [EvaluationInput(str(bag)) for bag in bags]
    assert [collect(network, some, 1)[0].without_lead_time
            for some in (inputs[:1], inputs[1:], inputs)] == [1, 0, 1]


def test_rows_are_those_of_the_executed_grasp_where_all_scores_are_equal(tmp_path):
    write_attempt(tmp_path / 'bag')
    network = network_without_a_say()
    evidence, (record,) = collect(network, [EvaluationInput(str(tmp_path / 'bag'))], threads=1)
    recorder = Recorder(network)
    replay(tmp_path / 'bag', Predictor(TorchEngine(network, threads=1)),
           with_attempts=False, on_prediction=recorder.keep)
    recorder.close()
    rows = recorder.hidden[record.attempts[0].scored_ns]
    assert len(evidence) == 1 and len(rows) == 1 + len(GRASPS)
    # Row 0 is the default grasp's.
    torch.testing.assert_close(evidence.hidden[0], rows[1 + EXECUTED])
    assert not any(torch.allclose(evidence.hidden[0], row) for row in rows[:1 + EXECUTED])


def test_nothing_is_learnt_from_attempts_whose_executed_grasp_has_no_score(tmp_path):
    # Nothing says where base_link is, so only the default grasp point is scored.
    Robot(frame='base_link').write(tmp_path / 'bag')
    evidence, (record,) = collect(network_without_a_say(), [EvaluationInput(
        str(tmp_path / 'bag'), outcomes=str(tmp_path / 'bag.csv'))], threads=1)
    assert len(evidence) == 0 and len(record.attempts) == 3
    assert all(x.scored_elsewhere and x.source == 'default' for x in record.attempts)
