"""Recorded attempts and the grasps that were executed in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from moss_perception.core.errors import CandidateError
from moss_perception.core.frames import Candidates, to_candidates
from moss_perception.data.bags.reader import ExecutedGrasp, Recording
from moss_perception.data.bags.topics import stamp_of
from moss_perception.data.labels.clock import clock_of
from moss_perception.data.outcomes import Outcome
import numpy as np

# Some CSV files give only the start of a grasp, which is then also the time of the decision. The
# decision was based on the images just before it.
LOOK_BACK_NS = 1_000_000_000

Place = Callable[[Candidates], Candidates]
"""Brings grasps into the images' frame; the same object if it is not known where they are."""


@dataclass(frozen=True)
class Attempt:
    """
    A recorded grasp attempt and the grasp that was executed.

    :ivar outcome: recorded outcome.
    :ivar position: shape ``(3,)``, metres, or ``None`` if the executed grasp is unknown.
    :ivar yaw: closing direction of the gripper, radians about the optical axis; NaN if the
        recorded orientation is no rotation.
    :ivar frame_id: frame of position and yaw.
    :ivar stamp_ns: stamp of the image by which the grasp was selected, nanoseconds.
    :ivar candidates_stamp_ns: stamp of the newest recorded PoseArray then, which has the
        candidate that the outcome names; 0 if the outcome names none, or it is not recorded.
    :ivar expected: whether the recording has candidates, or poses that may be executed grasps. If
        so, the gripper did not close at the default grasp point.
    :ivar unknown: why the executed grasp is unknown, in words; empty if it is known.
    :ivar named: whether no pose was recorded, and the executed grasp is known by the candidate
        that the outcome names.
    """

    outcome: Outcome
    position: np.ndarray | None = None
    yaw: float = 0.0
    frame_id: str = ''
    stamp_ns: int = 0
    candidates_stamp_ns: int = 0
    expected: bool = False
    unknown: str = ''
    named: bool = False

    @property
    def begin_ns(self) -> int:
        """Stamp from which on images belong to the attempt, nanoseconds."""
        early = self.outcome.decision_ns == self.outcome.start_ns
        return self.outcome.start_ns - LOOK_BACK_NS * early


def executed_grasps(recording: Recording, outcomes: Sequence[Outcome], *, image_topic: str,
                    topic: str | None = None, candidates_topic: str | None = None,
                    place: Place = lambda one: one) -> list[Attempt]:
    """
    Find the grasp that was executed in each attempt.

    This is the recorded selection within the attempt that is nearest to the decision. Without a
    selection, it is the candidate that the outcome names, among the newest candidates at the
    decision. An attempt may have no executed grasp.

    :param outcomes: the attempts.
    :param image_topic: topic of the images. Candidates that were recorded after the image of the
        decision were not known then. Empty if no images were recorded: the stamps alone decide.
    :param topic: topic of the executed grasps; see
        :meth:`moss_perception.data.bags.reader.Recording.executed_topic`.
    :param candidates_topic: topic of the candidates; ``None`` or empty for none.
    :param place: brings grasps into the images' frame.
    :raises BagError: if a given topic is missing, or a message can't be read.
    """
    poses = [] if topic == '' else recording.pose_topics()
    topic = recording.executed_topic(topic)
    grasps = recording.executed(topic) if topic else []
    expected = bool(topic or candidates_topic or poses)
    unknown = _unknown(topic, poses)
    # Only without a stamp does the recorder's clock matter.
    lag_ns = clock_of(recording, image_topic).lag_ns if image_topic and not all(
        x.stamp_ns for x in grasps) else 0
    timed = [(x.time_ns(lag_ns), x) for x in grasps]
    attempts = [_attempt(one, timed, expected, unknown, place) for one in outcomes]
    return _with_named_candidates(recording, attempts, candidates_topic, image_topic, place)


def _unknown(topic: str | None, poses: Sequence[str]) -> str:
    """Return why an attempt without a recorded pose has no known executed grasp."""
    if topic:
        return f'no pose on {topic} is stamped within the attempt'
    if poses:
        return (f'no topic of executed grasps was named; the recording has poses on '
                f'{", ".join(poses)}: name one with --executed-topic')
    return 'the recording has no executed grasps'


def _attempt(outcome: Outcome, grasps: Sequence[tuple[int, ExecutedGrasp]], expected: bool,
             unknown: str, place: Place) -> Attempt:
    """Find the selection that belongs to an attempt, among those with their times."""
    attempt = Attempt(outcome, stamp_ns=outcome.decision_ns, expected=(
        expected or outcome.candidate is not None), unknown=unknown)
    if not (grasps and outcome.executed):
        return attempt
    within = [x for x in grasps if attempt.begin_ns <= x[0] <= outcome.end_ns]
    stamp_ns, grasp = min(within or grasps, key=lambda x: abs(x[0] - outcome.decision_ns))
    if not within:
        gap_s = (stamp_ns - outcome.decision_ns) / 1e9
        return replace(attempt, unknown=f'{unknown}; the nearest is {abs(gap_s):.3f} s '
                                        f'{"after" if gap_s > 0 else "before"} its decision')
    # The same rule as for candidates tells a rotation from an unset orientation.
    pose = place(Candidates(max(stamp_ns, 1), grasp.frame_id, grasp.position[None],
                            grasp.quaternion[None]))
    yaw = float(pose.yaws[0]) if pose.valid[0] else float('nan')
    return replace(attempt, position=pose.positions[0], yaw=yaw, frame_id=pose.frame_id,
                   stamp_ns=stamp_ns, unknown='')


def _with_named_candidates(recording: Recording, attempts: list[Attempt], topic: str | None,
                           image_topic: str, place: Place) -> list[Attempt]:
    """Find the candidates that outcomes name; they are executed grasps without a selection."""
    naming = [n for n, x in enumerate(attempts) if x.outcome.candidate is not None]
    newest: dict[int, tuple[int, str, bytes]] = {}
    topics = [x for x in (topic, image_topic) if x] if naming and topic else []
    for name, kind, _, raw in recording.messages(topics) if topics else ():
        stamp_ns = stamp_of(raw)
        if name == image_topic:
            naming = [n for n in naming if stamp_ns < attempts[n].stamp_ns]
            continue
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
    except CandidateError as error:
        return replace(attempt, unknown=str(error))
    index = attempt.outcome.candidate
    if index is None or index >= len(listed.positions):
        return replace(attempt, unknown=f'its outcome names candidate {index} of '
                                        f'{len(listed.positions)}')
    return replace(attempt, position=listed.positions[index], yaw=float(listed.yaws[index]),
                   frame_id=listed.frame_id, unknown='', named=True)
