"""Replay a recording through the same predictor as in the node, in order and without ROS."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
import time

from moss_perception.core.cameras import CameraSetup
from moss_perception.core.frames import Candidates, Frame
from moss_perception.core.lead_times import executed_lead_time
from moss_perception.core.scores import Prediction
from moss_perception.data.bags.clocks import other_cameras
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.transforms import RecordedTransforms
from moss_perception.data.labels.outcomes import outcomes_of
from moss_perception.data.outcomes import domains_of
from moss_perception.evaluation import findings
from moss_perception.evaluation.attempts import Attempt, executed_grasps
from moss_perception.evaluation.grasp_drawing import finger_points
from moss_perception.evaluation.matching import (
    DEFAULT,
    EXECUTED,
    foreign_frame,
    GraspScore,
    Matcher,
    NO_PLACE,
    why_not,
)
from moss_perception.evaluation.parts import Part, prefetch, Received, WHOLE
from moss_perception.evaluation.records import BagRecord
from moss_perception.runtime.candidate_frames import CandidateFrames
from moss_perception.runtime.frame_status import FrameStatus
from moss_perception.runtime.predictor import Counters, Predictor, Sample
import numpy as np

OnExecuted = Callable[[int, Attempt, int, float | None], None]
"""
Called with a frame's stamp, an attempt, the network's row of its executed grasp, and the measured
or planned lead time of this grasp, seconds; ``None`` if it has none, or the network takes no time.
"""


def replay(path: Path | str, predictor: Predictor, *, domain: str = '',
           image_topic: str | None = None, camera_info_topic: str | None = None,
           candidates_topic: str | None = None, lead_times_topic: str | None = None,
           outcome_topic: str | None = None, executed_topic: str | None = None,
           setup: CameraSetup | None = None, executed_setup: CameraSetup | None = None,
           attempts_csv: Path | str | None = None,
           with_attempts: bool = True,
           progress: Callable[[int, int], None] | None = None,
           received: Mapping[int, str] | None = None,
           on_prediction: Callable[[Prediction], None] | None = None,
           on_executed: OnExecuted | None = None, part: Part = WHOLE) -> BagRecord:
    """
    Score a recording, and compare the scores with its outcomes.

    Messages are processed in the order of recording, as in lock step; only frames that become
    samples are decoded. During an attempt its executed grasp is scored in addition to the
    candidates, so that it need not be found among them; for a checkpoint with time inputs at its
    measured lead time, where the outcome has one.

    :param path: a rosbag2 folder, or an ``.mcap`` or ``.db3`` file; if it is damaged, the
        readable part is used.
    :param predictor: its engine, gap, target level and lead time are used; the predictor itself
        does not change.
    :param domain: domain of the recording; empty to take it from the outcomes.
    :param image_topic: with or without ``/compressed``; ``None`` for the only colour images.
    :param camera_info_topic: ``None`` for the one beside the images, or the only one.
    :param candidates_topic: ``None`` for ``/grasp_candidates``, or else the only one of its type;
        empty for none.
    :param lead_times_topic: ``None`` for ``/grasp_lead_times``, if recorded; empty for none.
    :param outcome_topic: ``None`` for ``/grasp_outcome``, if recorded.
    :param executed_topic: ``None`` for ``/selected_grasp``, or else the only poses of executed
        grasps by their name; empty for none.
    :param setup: whether the images are rectified, where the candidates' frame is, and perhaps
        the calibration; ``None`` to take all from the recording.
    :param executed_setup: as ``setup``, to find out where the executed grasps are; ``None`` for
        the same.
    :param attempts_csv: table of outcomes to use instead of ``outcome_topic``; see
        :func:`moss_perception.data.labels.matching.read_labels`.
    :param with_attempts: whether to read outcomes and score executed grasps.
    :param progress: called with the number of processed images and of all images.
    :param received: status of each image that the node received when the recording was played
        in real time, by header stamp. Other images are left out, and images that the node
        skipped are skipped. ``None`` for all images.
    :param on_prediction: called with each prediction.
    :param on_executed: called with each score of an executed grasp.
    :param part: score these images only; see :func:`moss_perception.evaluation.parts.merge`.
    :raises BagError: if the recording can't be read, or lacks a given topic.
    """
    with Recording(path, salvage=True) as recording:
        image = recording.image_topic(image_topic)
        camera_topic = None if setup is not None and setup.calibration else (
            recording.camera_info_topic(image.name, camera_info_topic))
        grasps_topic = recording.candidates_topic(candidates_topic)
        times_topic = recording.lead_times_topic(lead_times_topic)
        outcomes = [] if not with_attempts else outcomes_of(
            recording, attempts_csv, image_topic=image.name, outcome_topic=outcome_topic,
            executed_topic=executed_topic, candidates_topic=grasps_topic)
        frames = CandidateFrames(setup, transforms := RecordedTransforms(path))
        executed_frames = CandidateFrames(executed_setup or setup, transforms)
        attempts = executed_grasps(
            recording, outcomes, image_topic=image.name, topic=executed_topic,
            candidates_topic=grasps_topic, place=partial(
                executed_frames.place, camera_frame=recording.frame_of(image.name)))
        seen = findings.Seen(
            image_topic=image.name, placing=frames, candidates_topic=grasps_topic or '',
            executed_topic=(recording.executed_topic(executed_topic) or '') if attempts else '',
            calibrations=None if camera_topic or frames.setup.calibration else (
                recording.camera_info_topics(image.name)),
            cameras=other_cameras(recording, image.name))
        run = _Run(predictor, attempts, seen, received, on_prediction, on_executed, part)
        topics = {image.name} | {x for x in (camera_topic, grasps_topic, times_topic) if x}
        started = time.perf_counter()
        with closing(prefetch(recording, topics, image.name, predictor.config, received,
                              part)) as messages:
            for message in messages:
                if message.topic == image.name:
                    run.image(message)
                    if progress is not None:
                        progress(run.images, image.count)
                elif message.topic == camera_topic:
                    run.camera(message)
                elif message.topic == times_topic:
                    run.lead_times(message)
                else:
                    run.candidates(message)
        elapsed_s = time.perf_counter() - started
        return run.record(
            path=str(path), domain=domain or domains_of(outcomes), image_topic=image.name,
            duration_s=(recording.end_ns - recording.start_ns) / 1e9, elapsed_s=elapsed_s,
            lost_share=recording.lost_share, damage=recording.damage)


class _Run:
    """The replay of one recording through a new predictor."""

    def __init__(self, predictor: Predictor, attempts: Sequence[Attempt], seen: findings.Seen,
                 received: Mapping[int, str] | None,
                 on_prediction: Callable[[Prediction], None] | None,
                 on_executed: OnExecuted | None, part: Part):
        self._part = part
        self._before, self._after = Counters(), None
        self._predictor = Predictor(predictor.engine, predictor.max_gap_ns / 1e9,
                                    predictor.stream_lead_time_s)
        self._predictor.set_level(predictor.target_level)
        self._predictor.frames = seen.placing
        if (calibration := seen.placing.setup.calibration) is not None:
            self._predictor.set_camera(seen.camera(calibration))
        self._matcher = Matcher(attempts, predictor.max_gap_ns)
        self._watched: list[Attempt] = []
        self._placed: set[int] = set()
        self._received = received
        self._on_prediction, self._on_executed = on_prediction, on_executed
        self._decode_ms, self._inference_ms = array('d'), array('d')
        self._seen = seen
        self._lead_times_s: dict[int, float] = {}
        asked, used = predictor.stream_lead_time_s, predictor.lead_time_s
        self._stream_lead_time_s = (
            predictor.config.default_lead_time_s if asked is None else asked)
        if asked not in (None, used):
            seen.say(f'the lead time {asked:g} s is clamped to {used:g} s: the checkpoint was not '
                     'trained for it')
        self.images = self._not_received = 0

    def camera(self, one: Received) -> None:
        self._predictor.set_camera(self._seen.camera(one.message))

    def candidates(self, one: Received) -> None:
        candidates = self._seen.grasps(one.message)
        if candidates is None:
            self._predictor.forget_candidates()
        else:
            self._predictor.set_candidates(candidates)
            self._note_problems()

    def lead_times(self, one: Received) -> None:
        lead_times = self._seen.times(one.message, self._predictor.config)
        if lead_times is not None:
            self._predictor.set_lead_times(lead_times)
            self._note_problems()

    def _note_problems(self) -> None:
        for problem in self._predictor.take_problems():
            self._seen.refuse('lead times', problem)

    def image(self, one: Received) -> None:
        image, self.images = self.images, self.images + 1
        mine = self._part.owns(image)
        if image == self._part.first:
            self._before = self._predictor.counters.copy()
        if image == self._part.end:
            self._after = self._predictor.counters.copy()
        if one.frame is None:
            self._not_received += mine
            return
        self._seen.image(one.frame, one.stamp_ns)
        self._matcher.see(one.frame.stamp_ns)
        prediction = self._take(one.frame, self._part.steps(image))
        if mine and prediction is not None:
            self._scored(prediction, one.decode_s)

    def _take(self, frame: Frame, step: bool) -> Prediction | None:
        admitted = self._predictor.admit(frame)
        self._note_problems()
        if not isinstance(admitted, Sample):
            return None
        self._watch(frame.stamp_ns, frame.frame_id)
        if not step:
            return None
        if self._received is not None and self._received[frame.stamp_ns] == FrameStatus.SKIPPED:
            self._predictor.drop(admitted)
            return None
        return self._predictor.advance(admitted).prediction

    def _watch(self, stamp_ns: int, frame_id: str) -> None:
        """Make the predictor score the executed grasps of the attempts in progress."""
        placed = [(x, x.position) for x in self._matcher.during(stamp_ns)
                  if x.position is not None and x.frame_id == frame_id]
        watched = [x for x, _ in placed]
        changed = list(map(id, watched)) != list(map(id, self._watched))
        self._watched = watched
        for attempt, position in placed:
            changed |= self._note_lead_time(attempt, position, stamp_ns)
        if changed:
            self._predictor.watch(Candidates.from_yaws(
                stamp_ns, frame_id, np.stack([position for _, position in placed]),
                np.array([x.yaw for x in watched]),
                self._lead_times(watched)) if placed else None,
                np.array([x.outcome.decision_ns for x in watched]))

    def _lead_times(self, watched: Sequence[Attempt]) -> np.ndarray:
        """Return the lead times of executed grasps at the decision: measured, planned or usual."""
        measured = np.array([x.outcome.lead_time_s for x in watched
                             if x.outcome.lead_time_s is not None])
        low, high = self._predictor.config.lead_times_s
        if self._predictor.config.time_inputs and (
                (measured < low) | (measured > high)).any():
            self._seen.say(f'some measured lead times are outside {low:g} to {high:g} s, for '
                           'which the checkpoint was trained, and were clamped')
        return np.array([self._lead_times_s.get(id(x), self._stream_lead_time_s) for x in watched])

    def _note_lead_time(self, attempt: Attempt, position: np.ndarray, stamp_ns: int) -> bool:
        """Note the lead time of an executed grasp, if it is known; tell if it has changed."""
        measured_s = attempt.outcome.lead_time_s
        # After the decision the planner may propose other grasps there.
        if not self._predictor.config.time_inputs or (
                measured_s is None and stamp_ns > attempt.outcome.decision_ns):
            return False
        listed = self._predictor.candidates_at(stamp_ns, attempt.frame_id)
        before = self._lead_times_s.copy()
        # Where the grasp is executed counts, not what was proposed elsewhere before.
        self._lead_times_s.pop(id(attempt), None)
        known_s = executed_lead_time(measured_s, listed, position, attempt.yaw)
        if known_s is not None:
            self._lead_times_s[id(attempt)] = known_s
        return self._lead_times_s != before

    def _scored(self, prediction: Prediction, decode_s: float) -> None:
        self._decode_ms.append(1e3 * (prediction.decode_s + decode_s))
        self._inference_ms.append(1e3 * prediction.inference_s)
        default = _as_published(prediction.score, prediction.uncertainty, DEFAULT)
        self._matcher.take(prediction.stamp_ns, default, self._executed(prediction, default),
                           prediction.ood_score)
        if self._on_prediction is not None:
            self._on_prediction(prediction)

    def _executed(self, prediction: Prediction,
                  default: GraspScore) -> list[tuple[Attempt, GraspScore]]:
        """Return each attempt in progress with the score of its executed grasp, or the default."""
        found, watched = [], prediction.watched
        rows = {id(x): n for n, x in enumerate(self._watched)} if watched is not None else {}
        for attempt in self._matcher.during(prediction.stamp_ns):
            index = rows.get(id(attempt))
            if watched is None or index is None:
                found.append((attempt, default if attempt.position is None else replace(
                    default, why=foreign_frame(attempt, prediction.frame_id))))
                continue
            reason = int(watched.reasons[index])
            if reason in NO_PLACE:
                found.append((attempt, replace(default, why=why_not(reason))))
                continue
            found.append((attempt, replace(_as_published(
                watched.scores[index], watched.uncertainties[index],
                proposed=bool(watched.listed[index])), why=why_not(reason))))
            self._place(attempt, prediction.size)
            if self._on_executed is not None:
                self._on_executed(prediction.stamp_ns, attempt, int(watched.rows[index]),
                                  self._lead_times_s.get(id(attempt)))
        return found

    def _place(self, attempt: Attempt, size: tuple[int, int]) -> None:
        """Record where the camera sees the executed grasp, once, for the pictures."""
        camera = self._predictor.camera
        if id(attempt) not in self._placed and camera is not None:
            self._placed.add(id(attempt))
            self._matcher.place(attempt, finger_points(
                attempt, camera.at_size(size[1], size[0]),
                self._predictor.config.gripper_half_width_m))

    def record(self, *, lost_share: float, damage: str, **values) -> BagRecord:
        """Return the results."""
        counters, attempts = Counters(), self._matcher.records()
        if self.images > self._part.first:
            counters.add(self._after or self._predictor.counters, self._before)
        return BagRecord(
            **values, frames=counters.frames + self._not_received,
            by_status=counters.by_status(),
            refused=dict(counters.refused), missing=counters.missing,
            resets=dict(counters.resets), doubtful=dict(counters.doubtful),
            decode_ms=np.array(self._decode_ms),
            inference_ms=np.array(self._inference_ms), attempts=attempts,
            unmatched=findings.unmatched(self._matcher, self._seen),
            warnings=(*filter(None, (damage,)),
                      *findings.warnings(self._matcher, self._seen)),
            notes=findings.notes(self._matcher, self._seen, attempts),
            lost_share=lost_share, not_arrived=self._not_received)


def _as_published(score: float, uncertainty: float, source: str = EXECUTED,
                  proposed: bool = True) -> GraspScore:
    """Round to float32 as on the topic, so that recorded and replayed scores are equal."""
    return GraspScore(float(np.float32(score)), float(np.float32(uncertainty)), source, proposed)
