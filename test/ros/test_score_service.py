"""The service ~/score of grasp_predictor, over the real middleware."""

import json
import time

from frames import frame
from moss_perception.ros.predictor.score_service import ScoreService
from node_bench import Bench
import pytest
from std_srvs.srv import SetBool, Trigger

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def bench(tiny_checkpoint, ros_domain):
    made = Bench(tiny_checkpoint)
    made.client = made.peer.create_client(Trigger, 'grasp_predictor/score')
    yield made
    made.close()


def call(bench):
    """Send a request and return its future, once the node has it."""
    bench.spin_until(bench.client.service_is_ready)
    return bench.client.call_async(Trigger.Request())


def answer(bench, future):
    bench.spin_until(future.done)
    return future.result().success, future.result().message


def test_a_call_is_answered_with_the_scores_of_the_candidates_on_the_topic(bench):
    bench.activate()
    future, k = None, 0
    while future is None or not future.done():
        if k == 15:
            bench.propose(k, [[0, 0, 0.5], [0.02, 0, 0.5], [0, 0, -1]])
            future = call(bench)
        scores = bench.send(k)
        k += 1
    success, text = answer(bench, future)
    told = json.loads(text)
    assert success and told['frame_id'] == 'camera'
    assert told['candidates_stamp_ns'] == frame(15).stamp_ns <= told['stamp_ns']
    assert [one['reason'] for one in told['grasps']] == ['scored', 'scored', 'behind_camera']
    assert told['grasps'][2]['score'] is None and told['default']['candidate'] == -1
    if told['stamp_ns'] == frame(k - 1).stamp_ns:
        published = scores.candidates['score'][:2].tolist()
        assert [one['score'] for one in told['grasps'][:2]] == pytest.approx(published, abs=1e-4)
    best = max(told['grasps'][:2], key=lambda one: one['score'])
    assert told['best'] == best['candidate']


def test_a_call_without_candidates_says_what_the_node_does(bench, monkeypatch):
    monkeypatch.setattr('moss_perception.ros.predictor.score_service.ANSWER_S', 0.2)
    bench.activate()
    bench.send(0)
    success, text = answer(bench, call(bench))
    assert not success
    assert text.startswith('no candidates were scored within 0.2 s: '), text
    assert 'expected candidates with the stamp of an image' in text


def test_who_waits_in_vain_is_answered_by_a_timer_of_the_service(node, monkeypatch):
    monkeypatch.setattr('moss_perception.ros.predictor.score_service.ANSWER_S', 0.2)
    service = ScoreService(node)
    service.refuse('')
    client = node.create_client(Trigger, '~/score')
    until = time.monotonic() + 20
    while not client.service_is_ready():
        node.spin()
    future = client.call_async(Trigger.Request())
    while not future.done() and time.monotonic() < until:
        node.spin()
    assert future.result().message == ('no candidates were scored within 0.2 s: active; expected '
                                       'candidates with the stamp of an image')


def test_a_node_that_scores_nothing_refuses_at_once_and_ends_those_who_wait(bench):
    assert answer(bench, call(bench)) == (False, 'the node is unconfigured: expected active')
    bench.activate(hears_planner=False)
    enable = bench.peer.create_client(SetBool, 'grasp_predictor/enable')
    bench.spin_until(enable.service_is_ready)
    waiting = call(bench)
    bench.spin_until(lambda: bench.node._score_service._waiting)
    bench.spin_until(enable.call_async(SetBool.Request(data=False)).done)
    assert answer(bench, waiting) == (False, 'paused by ~/enable')
    assert answer(bench, call(bench)) == (False, 'paused by ~/enable')
    bench.spin_until(enable.call_async(SetBool.Request(data=True)).done)
    assert bench.node.trigger_deactivate().name == 'SUCCESS'
    assert answer(bench, call(bench)) == (False, 'the node is not active: expected active')
