"""The service ``~/score``: scores of the newest candidates, for who has no subscription."""

import json
import math
import threading
import time
from typing import Any

from moss_perception.core.scores import Prediction, rows_of, ScoreReason
from moss_perception.ros.common.guard import answering
from moss_perception.ros.common.spinning import create_steady_timer
import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

ANSWER_S = 2.0
"""So long a call waits for a frame that scores candidates, seconds."""
_CHECK_S = 0.1


def as_text(prediction: Prediction) -> str:
    """
    Write the scores of one frame as JSON: the rows of ``~/grasp_scores`` without the poses.

    :returns: an object with ``stamp_ns`` and ``frame_id`` of the frame, ``candidates_stamp_ns``
        of the PoseArray, ``best`` (index of the highest score, or null), ``default``, and
        ``grasps``: a list in the order of the PoseArray. A number that does not exist is null.
    """
    *grasps, default = (_entry(row) for row in rows_of(prediction))
    scored = [one for one in grasps if one['score'] is not None]
    best = max(scored, key=lambda one: one['score'], default=None)
    return json.dumps({
        'stamp_ns': prediction.stamp_ns, 'frame_id': prediction.frame_id,
        'candidates_stamp_ns': prediction.candidates_stamp_ns,
        'best': None if best is None else best['candidate'],
        'grasps': grasps, 'default': default})


def _entry(row: np.void) -> dict[str, Any]:
    numbers = {name: float(row[name]) for name in ('score', 'uncertainty', 'lead_time')}
    return {'candidate': int(row['candidate']), **{
        name: round(value, 4) if math.isfinite(value) else None
        for name, value in numbers.items()},
        'reason': ScoreReason(int(row['reason'])).name.lower()}


class ScoreService:
    """
    Answers a std_srvs/Trigger with the scores of the first frame after the call.

    No standard service carries poses, and a package of Python alone cannot define one. So the
    candidates come on their topic, as for the stream, and the answer names their stamp.

    :param node: the predictor's node; its executor serves the calls.
    """

    def __init__(self, node: Node):
        self._node, self._lock = node, threading.Lock()
        self._waiting: list[tuple[Future, float]] = []
        self.refusal = 'the node is unconfigured: expected active'
        """Why a call is refused at once; empty while frames are scored."""
        self.state = 'active'
        """What the node does, in words, for who waited in vain."""
        create_steady_timer(node, _CHECK_S, self._expire)
        # A call that waits holds its callback group, in which no image would be received.
        node.create_service(Trigger, '~/score', answering(node, self._on_call),
                            callback_group=ReentrantCallbackGroup())

    async def _on_call(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = self.refusal
        if not self.refusal:
            future = Future(executor=self._node.executor)
            # A future with a callback wakes the executor, which is asleep until the next message.
            future.add_done_callback(lambda _: None)
            with self._lock:
                self._waiting.append((future, time.monotonic() + ANSWER_S))
            answer: Any = await future
            response.success, response.message = answer
        return response

    def scored(self, prediction: Prediction) -> None:
        """Answer all that wait, if candidates were scored; any thread may call it."""
        if self._waiting and len(prediction.points):
            self._answer(math.inf, True, as_text(prediction))

    def _expire(self) -> None:
        """Answer those that have waited too long."""
        self._answer(time.monotonic(), False, f'no candidates were scored within {ANSWER_S:g} s: '
                     f'{self.state}; expected candidates with the stamp of an image')

    def refuse(self, why: str) -> None:
        """Refuse all calls, also those that wait; ``''`` ends it."""
        self.refusal, self.state = why, 'active'
        if why:
            self._answer(math.inf, False, why)

    def _answer(self, until_s: float, success: bool, message: str) -> None:
        with self._lock:
            due = [future for future, limit_s in self._waiting if limit_s <= until_s]
            self._waiting = [one for one in self._waiting if one[1] > until_s]
        for future in due:
            future.set_result((success, message))
