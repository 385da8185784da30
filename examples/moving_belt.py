"""
Grasps on a moving belt: propose points ahead of the object, each with its lead time.

An object at ``p`` that moves with the velocity ``v`` is at ``p + v t`` after the time ``t``. So
the planner proposes this point for several lead times ``t``. The predictor scores how likely a
grasp succeeds if the fingers close there at that time.
"""

from dataclasses import dataclass
import threading

from geometry_msgs.msg import Point, Pose, PoseArray
from moss_perception.client import GraspScorer, ScoredGrasps
from moss_perception.core.frames import stamp_to_ns
from work_cell import CANDIDATES, Planner, spinning, WorkCell

LEAD_TIMES_S = (0.65, 0.7, 0.75, 0.8, 0.9)
"""From the image until the fingers close: this cell's gripper needs 0.675 s and its latency."""


@dataclass(frozen=True)
class Seen:
    """An object where it was in an image, with its stamp in nanoseconds."""

    stamp_ns: int
    pose: Pose


def ahead(before: Seen, now: Seen, lead_s: float) -> Pose:
    """Return the pose at which the object will be, by its velocity between two images."""
    factor = lead_s / ((now.stamp_ns - before.stamp_ns) / 1e9)
    a, b = before.pose.position, now.pose.position
    return Pose(orientation=now.pose.orientation, position=Point(
        x=b.x + factor * (b.x - a.x), y=b.y + factor * (b.y - a.y), z=b.z))


class BeltPlanner:
    """
    Proposes with each image, and decides with each message of scores.

    :param node: the planner's node.
    """

    def __init__(self, node: Planner):
        self._node = node
        self._before: Seen | None = None
        self._busy, self.done = False, threading.Event()
        self._count = 0
        self._cell = WorkCell(node, self._on_detections)
        self._scorer = GraspScorer(
            node, self._on_scores, candidates=CANDIDATES, max_age_s=node.max_age_s)
        node.create_timer(0.05, self._on_timer)

    def _on_detections(self, message: PoseArray) -> None:
        now = Seen(stamp_to_ns(message.header.stamp), message.poses[0])
        before, self._before = self._before, now
        # Between two objects, or in a new recording, there is no velocity.
        if before is None or not 0 < now.stamp_ns - before.stamp_ns < 500_000_000:
            return
        self._scorer.propose(
            PoseArray(header=message.header,
                      poses=[ahead(before, now, lead_s) for lead_s in LEAD_TIMES_S]),
            LEAD_TIMES_S)

    def _on_scores(self, scores: ScoredGrasps) -> None:
        best = scores.best(self._node.min_score, self._node.max_uncertainty)
        if self._busy or best is None or not self._scorer.is_fresh(scores):
            return
        self._busy = True
        self._cell.execute(scores.target(best))
        print(f'grasp where the object is in {LEAD_TIMES_S[best.index]:.2f} s: score '
              f'{best.score:.2f}', flush=True)

    def _on_timer(self) -> None:
        outcome = self._cell.outcome()
        if outcome is None or not self._busy:
            return
        self._busy, self._before = False, None
        self._count += 1
        print(f'attempt {self._count}: {outcome}', flush=True)
        if self._count >= self._node.attempts:
            self.done.set()


def main() -> None:
    """Execute grasps until enough attempts are done."""
    with spinning('moving_belt', BeltPlanner) as planner:
        planner.done.wait()


if __name__ == '__main__':
    main()
