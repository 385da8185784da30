"""A checkpoint with time inputs, its scores by their formula, and a recording for it."""

import importlib.util
from pathlib import Path
import sys

import cv2
from frames import PERIOD_NS, START_NS
from moss_perception.core.scores import rows_of
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.evaluation.replay import replay
from moss_perception.models.base import build
from moss_perception.models.checkpoint import save_checkpoint
import numpy as np
import torch

SIDE, FRAMES, DECISION, LOST = 32, 26, 21, 18
GRASPS = np.array([[0.01, 0.0, 0.5, 0.3], [-0.05, 0.0, 0.6, 1.2], [0.0, 0.02, 0.5, 0.0]])
LEAD_WEIGHT, INTERVAL_WEIGHT, BEFORE_WEIGHT = 4.0, 3.0, 2.0


def timed_toy():
    """Import the model, which registers it."""
    if 'timed_toy' not in sys.modules:
        path = Path(__file__).parent / 'models' / 'timed_toy.py'
        spec = importlib.util.spec_from_file_location('timed_toy', path)
        sys.modules['timed_toy'] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules['timed_toy'])
    return sys.modules['timed_toy']


def timed_network(**changes):
    """Build its network: scores rise with the lead time and the two newest intervals alone."""
    toy = timed_toy()
    network = build(toy.TimedConfig(**{**toy.TIMES, **changes})).eval()
    with torch.no_grad():
        network.members.weight.zero_()
        network.members.weight[:, 1] = INTERVAL_WEIGHT
        network.members.weight[:, 2] = BEFORE_WEIGHT
        network.members.weight[:, -1] = LEAD_WEIGHT
        network.members.bias.fill_(-2.0)
    return network


def timed_checkpoint(path: Path) -> Path:
    """Write it, without graphs: it runs in torch."""
    save_checkpoint(path, timed_network())
    return path


def expected_score(lead_time_s, interval_s=0.1, before_s=0.1):
    """Return what it scores at a lead time, after two intervals."""
    logit = (LEAD_WEIGHT * np.asarray(lead_time_s) + INTERVAL_WEIGHT * interval_s
             + BEFORE_WEIGHT * before_s - 2)
    return 1 / (1 + np.exp(-logit))


def lead_times(index):
    """Return the lead times of a frame's candidates; some frames have none."""
    return None if index % 5 == 0 else np.array([0.25, 0.5, 0.75]) - 0.01 * (index % 3)


def stamp_of(index):
    """Return the stamp of a frame, which jitters."""
    late_ns = np.random.default_rng(index).integers(0, PERIOD_NS // 4) if index else 0
    return START_NS + index * PERIOD_NS + int(late_ns)


def write_recording(path, times=lead_times, measured=None):
    """
    Write an attempt whose frames jitter and of which one is lost; return its path.

    :param measured: lead time of the outcome, seconds.
    """
    noise = np.random.default_rng(8)
    with RecordingWriter(path) as writer:
        for index in range(FRAMES):
            stamp_ns = stamp_of(index)
            image = noise.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            if index == LOST:
                continue
            writer.camera_info(stamp_ns, SIDE, SIDE, np.diag([40.0, 40, 1]) + [
                [0, 0, 15.5], [0, 0, 15.5], [0, 0, 0]])
            writer.candidates(stamp_ns, GRASPS if index <= DECISION else GRASPS[:0])
            if times(index) is not None and index <= DECISION:
                writer.lead_times(stamp_ns, times(index))
            writer.image(stamp_ns, cv2.imencode('.jpg', image)[1].tobytes())
            if index == DECISION:
                writer.selected(stamp_ns, GRASPS[2])
                decision_ns = stamp_ns
        writer.outcome('held', attempt=1, start_ns=START_NS, decision_ns=decision_ns,
                       end_ns=stamp_ns, success=True, domain='real', motion='steady',
                       object='box', candidate=2, lead_time_s=measured)
    return path


def replayed(path, predictor, **options):
    """Replay a recording; return its record, and the rows of each frame by stamp."""
    found = {}
    record = replay(path, predictor, on_prediction=lambda one: found.__setitem__(
        one.stamp_ns, rows_of(one)), **options)
    return record, found
