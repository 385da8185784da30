"""Generated messages over DDS to a predictor in a process of its own."""

import sys
import time
from typing import Any

from geometry_msgs.msg import PoseArray
from moss_perception.models.manifest import read_header
from moss_perception.ros.common.spinning import acknowledged
import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from reliability_parts import generated
from reliability_parts.common import Held, ROOT
from reliability_parts.messages import expected_scores, probe, PROBE_NS
from reliability_parts.nodes import folder

PROBE_EVERY = 250
_PAUSE_S = 0.002
_TOPICS = {Image: '/image', CameraInfo: '/camera_info', PoseArray: '/grasp_candidates',
           PointCloud2: '/grasp_lead_times'}
_SHARES = [0.6, 0.1, 0.2, 0.1]


def run(model: str, count: int, seed: int) -> dict[str, Any]:
    """
    Publish messages, and now and then a window of valid images.

    :param count: number of generated messages.
    """
    sys.path.insert(0, str(ROOT / 'test'))
    import ros_harness as harness
    peer = harness.Peer('fuzzer')
    try:
        with folder() as at:
            bench = harness.PredictorBench(
                peer, at, '-p', f'model_path:={model}', '-p', 'qos_depth:=100', '-p',
                'threads:=1', '-p', 'latency_budget:=10.0', '--log-level', 'error')
            return _fuzz(bench, model, count, seed)
    finally:
        peer.close()


def _fuzz(bench: Any, model: str, count: int, seed: int) -> dict[str, Any]:
    bench.fresh()
    config, _ = read_header(model)
    publishers = {kind: bench.publisher(kind, topic) for kind, topic in _TOPICS.items()}
    expected, wrong, windows, held = expected_scores(model, Image), [], 0, None
    pid = bench.process.process.pid
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        kind = list(_TOPICS)[int(rng.choice(len(_TOPICS), p=_SHARES))]
        publishers[kind].publish(generated.generated(kind, rng, number))
        time.sleep(_PAUSE_S)
        if number % PROBE_EVERY == PROBE_EVERY - 1:
            if not bench.process.alive():
                break
            windows += 1
            scores = _window(bench, publishers, config, PROBE_NS + number * 10**10)
            if scores.shape != expected.shape or not np.allclose(
                    scores, expected, atol=1e-5, equal_nan=True):
                wrong.append(f'message {number}: {scores}')
            held = held or Held.by(pid)
    growth = held.growth(Held.by(pid)) if held and bench.process.alive() else {}
    alive = bench.process.alive()
    status = bench.process.stop()
    return {'messages': count, 'windows': windows, 'wrong_windows': len(wrong),
            'faults': wrong[:5], 'alive': alive, 'status': status,
            'tracebacks': bench.process.output().count('Traceback'), **growth}


def _window(bench: Any, publishers: dict[Any, Any], config: Any, start_ns: int) -> np.ndarray:
    """Send a window of valid images in lock step, and return its scores."""
    for publisher in publishers.values():
        acknowledged(publisher, 20.0)
    bench.peer.call(Trigger, f'{bench.name}/reset', Trigger.Request())
    for kind, message in ((CameraInfo, generated.camera_info(0, start_ns)),
                          (PoseArray, generated.candidates(3, start_ns))):
        publishers[kind].publish(message)
        acknowledged(publishers[kind], 20.0)
    seen = len(bench.scores)
    for message in probe(Image, config, start_ns):
        bench.send(message, publishers[Image], 20.0)
    bench.wait_for(lambda: len(bench.scores) > seen, 20.0, 'scores')
    return generated.read_scores(bench.scores[-1])
