"""Many configurations and activations, and the tests that inject faults."""

import subprocess
import sys
import time
from typing import Any

from moss_perception.ros.predictor.node import GraspPredictor
import rclpy
from rclpy.parameter import Parameter

from reliability_parts.common import Held, ROOT

TESTS = ('test/ros/test_faults.py', 'test/ros/test_faults_inside.py', 'test/test_read_only.py',
         'test/evaluation/test_report_page.py', 'test/ros/test_attempt_recorder.py',
         'test/data/test_attempts.py', 'test/ros/test_heartbeat.py', 'test/ros/test_deafness.py',
         'test/ros/test_spinning.py', 'test/ros/test_start.py',
         'test/ros/test_grasp_predictor_malformed.py', 'test/ros/test_sources.py',
         'test/core/test_files.py', 'test/models/test_checkpoint.py', 'test/cli/test_run.py')
# By then ONNX Runtime and the allocator hold what they keep.
_WARM_UP = 10


def run(model: str, count: int, with_tests: bool) -> dict[str, Any]:
    """
    Configure and activate a predictor many times, and run the tests.

    :param count: number of cycles.
    :param with_tests: whether to run the tests too.
    """
    return {'cycles': cycles(model, count), **({'tests': tests()} if with_tests else {})}


def cycles(model: str, count: int) -> dict[str, Any]:
    """Configure, activate, deactivate and clean up, and compare what is held."""
    rclpy.init(args=['--ros-args', '--log-level', 'error'])
    node = GraspPredictor(parameter_overrides=[Parameter('model_path', value=model)])
    held, began_s = Held.by(), time.monotonic()
    for number in range(count + _WARM_UP):
        for transition in ('configure', 'activate', 'deactivate', 'cleanup'):
            done = getattr(node, f'trigger_{transition}')()
            assert done.name == 'SUCCESS', f'cycle {number}: {transition}: {node.failure}'
        if number == _WARM_UP - 1:
            held, began_s = Held.by(), time.monotonic()
    found = {'count': count, 'seconds_each': round((time.monotonic() - began_s) / count, 3),
             **held.growth(Held.by())}
    node.destroy_node()
    rclpy.shutdown()
    return found


def tests() -> dict[str, Any]:
    """Run the tests that inject faults."""
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '--timeout', '300', *TESTS], cwd=ROOT,
        capture_output=True, text=True)
    return {'files': list(TESTS), 'status': done.returncode,
            'summary': done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ''}
