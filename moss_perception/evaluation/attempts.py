"""Recorded attempts and the grasps that were executed in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from moss_perception.core.errors import CandidateError
from moss_perception.core.frames import Candidates, to_candidates, yaws_from_orientations
from moss_perception.data.bags.reader import ExecutedGrasp, Recording
from moss_perception.data.bags.topics import stamp_of
from moss_perception.data.outcomes import Outcome
import numpy as np

Place = Callable[[Candidates], Candidates]
"""Brings grasps into the images' frame; the same object if it is not known where they are."""


@dataclass(frozen=True)
class Attempt:
    """
    A recorded grasp attempt and the grasp that was executed.

    :ivar outcome: recorded outcome.
    :ivar position: shape ``(3,)``, metres, or ``None`` if the executed grasp is unknown.
    :ivar yaw: closing direction of the gripper, radians about the optical axis.
    :ivar frame_id: frame of position and yaw.
    :ivar stamp_ns: stamp of the image by which the grasp was selected, nanoseconds.
    :ivar candidates_stamp_ns: stamp of the newest recorded PoseArray then, which has the
        candidate that the outcome names; 0 if the outcome names none, or it is not recorded.
    """

    outcome: Outcome
    position: np.ndarray | None = None
    yaw: float = 0.0
    frame_id: str = ''
    stamp_ns: int = 0
    candidates_stamp_ns: int = 0


def executed_grasps(recording: Recording, outcomes: Sequence[Outcome], topic: str | None = None,
                    candidates_topic: str | None = None,
                    place: Place = lambda one: one) -> list[Attempt]:
    """
    Find the grasp that was executed in each attempt.

    This is the recorded selection within the attempt that is nearest to the decision. Without a
    selection, it is the candidate that the outcome names, among the newest candidates at the
    decision. An attempt may have no executed grasp.

    :param outcomes: the attempts.
    :param topic: topic of the executed grasps; ``None`` for ``/selected_grasp``, if recorded.
    :param candidates_topic: topic of the candidates; ``None`` or empty for none.
    :param place: brings grasps into the images' frame.
    :raises BagError: if a given topic is missing, or a message can't be read.
    """
    grasps = [_placed(one, place) for one in recording.executed(topic)]
    attempts = []
    for outcome in outcomes:
        found = [g for g in grasps if outcome.start_ns <= g.stamp_ns <= outcome.end_ns]
        if not (found and outcome.executed):
            attempts.append(Attempt(outcome, stamp_ns=outcome.decision_ns))
            continue
        grasp = min(found, key=lambda g: abs(g.stamp_ns - outcome.decision_ns))
        yaw, = yaws_from_orientations(np.array([grasp.quaternion]))
        attempts.append(Attempt(outcome, grasp.position, float(yaw), grasp.frame_id,
                                grasp.stamp_ns))
    return _with_named_candidates(recording, attempts, candidates_topic, place)


def _placed(grasp: ExecutedGrasp, place: Place) -> ExecutedGrasp:
    """Bring an executed grasp into the images' frame."""
    pose = place(Candidates(max(grasp.stamp_ns, 1), grasp.frame_id, grasp.position[None],
                            grasp.quaternion[None]))
    return replace(grasp, frame_id=pose.frame_id, position=pose.positions[0],
                   quaternion=pose.orientations[0])


def _with_named_candidates(recording: Recording, attempts: list[Attempt], topic: str | None,
                           place: Place) -> list[Attempt]:
    """Find the candidates that outcomes name; they are executed grasps without a selection."""
    naming = [n for n, x in enumerate(attempts) if x.outcome.candidate is not None]
    newest: dict[int, tuple[int, str, bytes]] = {}
    for _, kind, _, raw in recording.messages([topic]) if naming and topic else ():
        stamp_ns = stamp_of(raw)
        for n in naming:
            if newest.get(n, (0,))[0] <= stamp_ns <= attempts[n].stamp_ns:
                newest[n] = stamp_ns, kind, raw
    for n, (stamp_ns, kind, raw) in newest.items():
        attempts[n] = replace(attempts[n], candidates_stamp_ns=stamp_ns)
        if attempts[n].position is None:
            attempts[n] = _at_named(attempts[n], recording.deserialize(raw, kind), place)
    return attempts


def _at_named(attempt: Attempt, message: Any, place: Place) -> Attempt:
    """Take over the pose of the named candidate, if there is one."""
    try:
        listed = place(to_candidates(message))
    except CandidateError:
        return attempt
    index = attempt.outcome.candidate
    if index is None or index >= len(listed.positions):
        return attempt
    return replace(attempt, position=listed.positions[index], yaw=float(listed.yaws[index]),
                   frame_id=listed.frame_id)
