"""Evaluate the published scores in a recording, without running a predictor."""

from collections import Counter
from collections.abc import Mapping, Sequence
import csv
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
import time

from moss_perception.core.cameras import CameraSetup
from moss_perception.core.errors import BagError, MossError
from moss_perception.core.scores import ScoreReason
from moss_perception.data.bags.clocks import ClockCheck, other_cameras
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import CANDIDATES_TOPIC
from moss_perception.data.bags.transforms import RecordedTransforms
from moss_perception.data.labels.outcomes import outcomes_of
from moss_perception.data.outcomes import domains_of
from moss_perception.evaluation import findings
from moss_perception.evaluation.attempts import Attempt, executed_grasps
from moss_perception.evaluation.grasp_drawing import finger_points
from moss_perception.evaluation.matching import Matcher, take_recorded
from moss_perception.evaluation.outputs import NodeOutputs, read_outputs, summarise_diagnostics
from moss_perception.evaluation.records import BagRecord, LIVE
from moss_perception.evaluation.verification import Verification
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.candidate_frames import CandidateFrames
from moss_perception.runtime.frame_status import FrameStatus, STATUSES
from moss_perception.runtime.predictor import MAX_GAP_S
import numpy as np


@dataclass(frozen=True)
class _Inputs:
    """
    The inputs of a run.

    :ivar received: stamps of the images that the predictor received, in order.
    :ivar lost_share: share of the input recording that can't be read, in [0, 1].
    :ivar damage: damage of the input recording; empty for none.
    """

    path: Path
    image_topic: str
    attempts: Sequence[Attempt]
    check: findings.InputCheck
    received: Sequence[int]
    duration_s: float
    lost_share: float
    damage: str


def evaluate_recorded(path: Path | str, *, domain: str = '', scores_topic: str | None = None,
                      attempts_csv: Path | str | None = None, outputs: NodeOutputs | None = None,
                      verification: Verification | None = None,
                      setup: CameraSetup | None = None, **topics: str | None) -> BagRecord:
    """
    Compare recorded scores with the outcomes of the attempts.

    :param path: the recording of the outputs. If run_recorder has stored the path of a played
        recording in it, the inputs and outcomes are read from there.
    :param domain: domain of the recording; empty to take it from the outcomes.
    :param attempts_csv: file of outcomes to use instead of the recorded ones.
    :param scores_topic: ``None`` for the only one with a name that ends with ``/grasp_scores``.
    :param outputs: the outputs in ``path``, if already read.
    :param verification: the result of a replay; see
        :func:`moss_perception.evaluation.verification.verify`.
    :param setup: as of :func:`moss_perception.evaluation.replay.replay`, for the executed grasps;
        ``None`` for that of the node.
    :param topics: the topics of :func:`moss_perception.evaluation.replay.replay`, by parameter.
    :raises MossError: if a recording can't be used, or scores are missing.
    """
    started = time.perf_counter()
    outputs = outputs or read_outputs(path, scores_topic)
    if outputs.run.complete and (lacking := _lacking(outputs)):
        raise MossError(f'{lacking}: expected all; the machine may be too busy')
    inputs = _read_inputs(Path(outputs.run.played or path), outputs, attempts_csv,
                          setup=outputs.executed_setup(setup), **topics)
    verification = verification or Verification()
    matcher = match(outputs, inputs.attempts, verification.ood_scores)
    matcher.complete(verification.attempts)
    if (camera := inputs.check.seen.newest_camera) is not None:
        half_width_m = float(outputs.newest.get(
            'gripper_half_width', ModelConfig.gripper_half_width_m))
        for attempt in inputs.attempts:
            if attempt.frame_id not in inputs.check.seen.frames:
                continue
            matcher.place(attempt, finger_points(attempt, camera.at_size(*camera.image_size),
                                                 half_width_m))
    return _record(outputs, inputs, matcher, verification, domain,
                   time.perf_counter() - started)


def match(outputs: NodeOutputs, attempts: Sequence[Attempt],
          ood_scores: Mapping[int, float] | None = None) -> Matcher:
    """Match all recorded scores with the attempts."""
    gap_s = float(outputs.newest.get('max_gap', MAX_GAP_S))
    matcher = Matcher(attempts, round(gap_s * 1e9))
    for stamp_ns, _ in outputs.statuses or ():
        matcher.see(stamp_ns)
    take_recorded(matcher, outputs.scores, ood_scores or {})
    return matcher


def _lacking(outputs: NodeOutputs) -> str:
    """Return how many published scores are missing, in words; empty if none."""
    scored = Counter(stamp for stamp, status in outputs.statuses or ()
                     if status == FrameStatus.SCORED)
    stamps = [frame.stamp_ns for frame in outputs.scores]
    missing = scored - Counter(stamps)
    if outputs.run.pace == LIVE:
        # A camera continues after the recording has ended, so the newest scores may be missing.
        missing = Counter({x: n for x, n in missing.items() if x <= max(stamps, default=0)})
    if not outputs.run.complete:
        # Late subscribers receive earlier statuses, but not earlier scores.
        missing = Counter({x: n for x, n in missing.items() if x >= min(stamps, default=0)})
    return (f'{sum(missing.values())} of {sum(scored.values())} scores were not recorded'
            if missing else '')


def _read_inputs(path: Path, outputs: NodeOutputs, attempts_csv: Path | str | None,
                 image_topic: str | None = None, camera_info_topic: str | None = None,
                 candidates_topic: str | None = None, lead_times_topic: str | None = None,
                 outcome_topic: str | None = None, executed_topic: str | None = None,
                 setup: CameraSetup | None = None) -> _Inputs:
    with Recording(path, salvage=True) as recording:
        # The run may have been recorded without images.
        images = (recording.image_topic(image_topic or outputs.newest.get('topic')).name
                  if recording.image_topics() else '')
        calibration = setup.calibration if setup is not None else None
        camera = '' if calibration else (
            recording.camera_info_topic(images, camera_info_topic) or '')
        grasps = _candidates_topic(recording, candidates_topic, bool(outputs.run.played))
        # The scores have been made with them: only a wrong name matters.
        recording.lead_times_topic(lead_times_topic)
        outcomes = outcomes_of(
            recording, attempts_csv, image_topic=images, outcome_topic=outcome_topic,
            executed_topic=executed_topic, candidates_topic=grasps)
        frames = CandidateFrames(setup, RecordedTransforms(path))
        # Without images, the scores say in which frame they were.
        camera_frame = (images and recording.frame_of(images)) or next(
            (x.frame_id for x in outputs.scores), '')
        attempts = executed_grasps(
            recording, outcomes, image_topic=images, topic=executed_topic,
            candidates_topic=grasps, place=partial(frames.place, camera_frame=camera_frame))
        of_frames = [frame.stamp_ns for frame in outputs.scores]
        received = of_frames if outputs.statuses is None else [x for x, _ in outputs.statuses]
        check = findings.InputCheck(recording, images, grasps, camera, set(received), frames)
        # Scored candidates had a calibration and candidates, even if these were not recorded.
        scored = any((x.scores.candidates['reason'] == ScoreReason.SCORED).any()
                     for x in outputs.scores)
        # So the gripper did not close at the default grasp point.
        attempts = [replace(x, expected=x.expected or scored) for x in attempts]
        check.seen.executed_topic = recording.executed_topic(executed_topic) or ''
        if scored and not grasps:
            check.seen.candidates_topic = None
        if not (camera or scored or calibration):
            check.seen.calibrations = recording.camera_info_topics(images)
        # Only reading the whole file finds damage inside it.
        doubtful = recording.damage or (
            images and len(received) < recording.topics[images].count)
        check.run(None if doubtful else [x for x in (images, grasps, camera) if x])
        check.seen.cameras = other_cameras(recording, images)
        if not check.stamps:
            known = [x for x in received if x > 0]
            check.seen.first_ns, check.seen.last_ns = min(known, default=0), max(known, default=0)
        if outputs.run.simulated:
            check.seen.lag_ns, check.seen.clock = None, ClockCheck()
        return _Inputs(path, images, attempts, check, received,
                       (recording.end_ns - recording.start_ns) / 1e9, recording.lost_share,
                       recording.damage)


def _candidates_topic(recording: Recording, name: str | None, played: bool) -> str:
    """Find the topic of the scored candidates; empty if there is none or it is not clear."""
    if name:
        return recording.candidates_topic(name) or ''
    found = recording.candidates_topics()
    # The predictor does not receive candidates played under a different name.
    clear = len(found) == 1 and (found[0] == CANDIDATES_TOPIC or not played)
    return found[0] if clear else ''


def _record(outputs: NodeOutputs, inputs: _Inputs, matcher: Matcher, verification: Verification,
            domain: str, elapsed_s: float) -> BagRecord:
    values, run, check = outputs.newest, outputs.run, inputs.check
    statuses = Counter(status for _, status in outputs.statuses or ())
    if outputs.statuses is None:
        statuses[FrameStatus.SCORED.value] = len(outputs.scores)
        for stamp_ns in check.stamps:
            matcher.see(stamp_ns)
    frames = max(len(check.stamps), len(inputs.received))
    attempts, not_received = matcher.records(), frames - len(inputs.received)
    return BagRecord(
        path=str(inputs.path), domain=domain or domains_of(x.outcome for x in inputs.attempts),
        image_topic=inputs.image_topic, duration_s=inputs.duration_s, frames=frames,
        by_status={status: statuses[status] for status in STATUSES},
        refused=_counts(values, 'refused/'), missing=int(values.get('missing', 0)),
        resets=_counts(values, 'resets/'), doubtful=_counts(values, 'doubtful/'),
        elapsed_s=elapsed_s, decode_ms=np.zeros(0), inference_ms=np.zeros(0), attempts=attempts,
        notes=(*([] if verification.agrees else [verification.line]),
               *_notes(outputs, not_received, frames),
               *findings.notes(matcher, check.seen, attempts)),
        warnings=(*filter(None, (inputs.damage,)), *findings.warnings(matcher, check.seen)),
        unmatched=findings.unmatched(matcher, check.seen), verified=verification.line,
        not_arrived=not_received, pace=run.pace, closed_loop=run.closed_loop,
        lost_share=inputs.lost_share,
        diagnostics=summarise_diagnostics(outputs.diagnostics, aged=not run.played),
        latency_ms=_latency_ms(outputs))


def _counts(values: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): int(value) for name, value in values.items()
            if name.startswith(prefix)}


def _latency_ms(outputs: NodeOutputs) -> np.ndarray:
    published = read_timing(outputs.run.timing_log) if outputs.run.timing_log else {}
    return np.array([(frame.received_ns - published[frame.stamp_ns]) / 1e6
                     for frame in outputs.scores if frame.stamp_ns in published])


def read_timing(path: Path | str) -> dict[int, int]:
    """
    Read the publication time of each image by stamp from a timing log; empty without one.

    :raises BagError: if it is another file, which a recording may name.
    """
    if not Path(path).is_file():
        return {}
    try:
        with Path(path).open(newline='') as file:
            return {int(row['stamp_ns']): int(row['publish_monotonic_ns'])
                    for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise BagError(f'{path} is no timing log of the player: expected the columns stamp_ns and '
                       'publish_monotonic_ns') from error


def _notes(outputs: NodeOutputs, not_received: int, frames: int) -> list[str]:
    notes, values = [], outputs.newest
    if outputs.statuses is None and not_received:
        notes.append(f'{not_received} of {frames} images have no scores, and the recording has no '
                     '~/processed with their status')
    elif not_received:
        notes.append(f'played at {outputs.run.pace}: {not_received} of {frames} frames did not '
                     'arrive')
    if not outputs.run.complete and (lacking := _lacking(outputs)):
        notes.append(lacking)
    if not outputs.diagnostics:
        notes.append('the recording has no diagnostics of the predictor: durations, missing '
                     'samples and resets are not known')
    if dropped := int(values.get('dropped', 0)):
        notes.append(f'{dropped} frames were dropped: they arrived faster than they could be '
                     'scored')
    if failures := int(values.get('failures', 0)):
        notes.append(f'the predictor had {failures} internal errors: see its log')
    return notes
