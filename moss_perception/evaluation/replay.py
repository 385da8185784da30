"""A recording through the very predictor that the node drives: fast, in order, without ROS."""

from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
import logging
from pathlib import Path
import time
from typing import Any

from moss_perception.core.errors import CandidateError, ConfigError, FrameError
from moss_perception.core.frames import Candidates, Frame, Prediction
from moss_perception.core.image_messages import CompressedImage
from moss_perception.core.images import decode
from moss_perception.core.messages import to_camera, to_candidates
from moss_perception.data.attempts_csv import read_attempts
from moss_perception.data.bags.headers import stamp_of
from moss_perception.data.bags.reader import Recording
from moss_perception.data.outcomes import domains_of
from moss_perception.evaluation import findings
from moss_perception.evaluation.ahead import Arrival, read_ahead
from moss_perception.evaluation.live import LIVE
from moss_perception.evaluation.matching import (
    Attempt,
    executed_grasps,
    Matcher,
    ScoredSample,
)
from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.shares import Share
from moss_perception.runtime.predictor import Counters, Predictor, Sample
import numpy as np

_LOG = logging.getLogger(__name__)
_NO_PLACES = np.zeros((0, 3))
_WHOLE = Share(0, 0, 2**62)


def replay(path: Path | str, predictor: Predictor, *, domain: str = '',
           image_topic: str | None = None, camera_info_topic: str | None = None,
           candidates_topic: str | None = None, outcome_topic: str | None = None,
           executed_topic: str | None = None,
           attempts_csv: Path | str | None = None, watch: bool = True,
           progress: Callable[[int, int], None] | None = None,
           arrived: Mapping[int, str] | None = None,
           on_prediction: Callable[[Prediction], None] | None = None,
           share: Share | None = None) -> BagRecord:
    """
    Score a recording, and hold the scores against its outcomes.

    Messages are fed in the order of recording, as the node hears them in lock step; only frames
    that become samples are decoded.

    :param path: a rosbag2 folder, or an ``.mcap`` or ``.db3`` file; of a damaged one, what is
        there.
    :param predictor: its engine, gap and wanted orders are used; it is itself left alone.
    :param domain: what to call the recording; empty to take it from the outcomes.
    :param image_topic: with or without ``/compressed``; ``None`` for the only one in colour.
    :param camera_info_topic: ``None`` for the one beside the images, or the only one.
    :param candidates_topic: ``None`` for ``/grasp_candidates``, or else the only one of its type;
        empty for none.
    :param outcome_topic: ``None`` for ``/grasp_outcome``, if it is there.
    :param executed_topic: ``None`` for ``/selected_grasp``, if it is there.
    :param attempts_csv: outcomes from there, and not from ``outcome_topic``; see
        :func:`moss_perception.data.attempts_csv.read_attempts`.
    :param watch: whether to score, once an attempt is decided and no candidates hold, the
        executed grasp.
    :param progress: called with the images done and all of them.
    :param arrived: where the recording was played in time: what became of each image that
        reached the node, by header stamp; the others are left out, and what the node dropped is
        dropped. ``None`` for all images.
    :param on_prediction: called with each prediction.
    :param share: score these images only, for others score the rest; see
        :func:`moss_perception.evaluation.shares.join`. ``None`` for all.
    :raises BagError: if the recording can't be read, or lacks a topic that was named.
    """
    with Recording(path, salvage=True) as recording:
        image = recording.image_topic(image_topic)
        camera_topic = recording.camera_info_topic(image.name, camera_info_topic)
        grasps_topic = recording.candidates_topic(candidates_topic)
        outcomes = (recording.outcomes(outcome_topic) if attempts_csv is None
                    else read_attempts(attempts_csv))
        run = _Run(predictor, executed_grasps(recording, outcomes, executed_topic), watch,
                   arrived, on_prediction, share or _WHOLE)
        run.expect(grasps_topic, camera_topic, recording.camera_info_topics(image.name))
        wanted = {x for x in (camera_topic, grasps_topic) if x}
        started = time.perf_counter()
        with closing(read_ahead(recording, {image.name, *wanted}, image.name,
                                predictor.config, arrived, share)) as arrivals:
            for arrival in arrivals:
                if arrival.topic == image.name:
                    run.image(arrival)
                    if progress is not None:
                        progress(run.images, image.count)
                elif arrival.topic == camera_topic:
                    run.camera(arrival)
                else:
                    run.candidates(arrival)
        elapsed_s = time.perf_counter() - started
        return run.record(
            path=str(path), domain=domain or domains_of(outcomes), image_topic=image.name,
            duration_s=(recording.end_ns - recording.start_ns) / 1e9, elapsed_s=elapsed_s,
            lost_share=recording.lost_share, damage=recording.damage)


def recorded_images(record: BagRecord, stamps: Collection[int]) -> dict[int, np.ndarray]:
    """
    Find images of what a record is of: those that were kept, else those of its recording.

    :param stamps: their header stamps, nanoseconds.
    :returns: uint8, RGB, shape ``(H, W, 3)``, by stamp; none where there is no recording any more.
    """
    kept = {stamp: decode(CompressedImage(record.pictures[stamp]))
            for stamp in stamps if stamp in record.pictures}
    # Whatever may be called so where the report is made: a run without a recording has none.
    if kept or record.path == record.pace == LIVE or not Path(record.path).exists():
        return kept
    return read_images(record.path, record.image_topic, stamps)


def read_images(path: Path | str, topic: str, stamps: Collection[int]) -> dict[int, np.ndarray]:
    """
    Read chosen images of a recording; those that can't be decoded are left out.

    :param topic: as recorded.
    :param stamps: their header stamps, nanoseconds.
    :returns: uint8, RGB, shape ``(H, W, 3)``, by stamp.
    """
    left, images = set(stamps), {}
    with Recording(path, salvage=True) as recording:
        for _, kind, _, raw in recording.messages([topic]) if left else ():
            stamp_ns = stamp_of(raw)
            if stamp_ns in left:
                left.remove(stamp_ns)
                try:
                    images[stamp_ns] = decode(recording.deserialize(raw, kind))
                except FrameError as error:
                    _LOG.warning('%s: the image stamped %d: %s', path, stamp_ns, error)
            if not left:
                break
    return images


class _Run:
    """One recording on its way through a predictor of its own."""

    def __init__(self, predictor: Predictor, attempts: Sequence[Attempt], watch: bool,
                 arrived: Mapping[int, str] | None,
                 on_prediction: Callable[[Prediction], None] | None, share: Share):
        self._share = share
        self._before, self._after = Counters(), None
        self._predictor = Predictor(predictor.engine, predictor.max_gap_ns / 1e9)
        self._predictor.set_level(predictor.target_level)
        self._matcher = Matcher(attempts, predictor.max_gap_ns)
        self._watch = watch
        self._camera: Any = None
        self._camera_refused = ''
        self._arrived = arrived
        self._tell = on_prediction
        self._decode_ms, self._inference_ms = array('d'), array('d')
        self._seen = findings.Seen()
        self.images = self._not_arrived = 0

    def expect(self, candidates_topic: str | None, camera_topic: str | None,
               calibrations: Sequence[str]) -> None:
        self._seen.candidates_topic = candidates_topic or ''
        self._seen.calibrations = None if camera_topic else calibrations

    def camera(self, arrival: Arrival) -> None:
        if arrival.message is not self._camera:
            self._camera, self._camera_refused = arrival.message, ''
            try:
                self._predictor.set_camera(to_camera(arrival.message))
            except ConfigError as error:
                self._predictor.set_camera(None)
                self._camera_refused = str(error)
        if self._camera_refused:
            self._seen.camera_refused(self._camera_refused)

    def candidates(self, arrival: Arrival) -> None:
        self._seen.candidates += 1
        self._seen.candidates_frame = arrival.message.header.frame_id
        try:
            candidates = to_candidates(arrival.message)
        except CandidateError as error:
            self._predictor.forget_candidates()
            self._seen.candidates_refused(str(error))
            return
        if problem := candidates.problem():
            self._seen.candidates_refused(problem)
        self._predictor.set_candidates(candidates)

    def image(self, arrival: Arrival) -> None:
        image, self.images = self.images, self.images + 1
        mine = self._share.owns(image)
        if image == self._share.first:
            self._before = self._predictor.counters.copy()
        if image == self._share.end:
            self._after = self._predictor.counters.copy()
        if arrival.frame is None:
            self._not_arrived += mine
            return
        self._seen.image(arrival.frame, arrival.stamp_ns)
        self._matcher.see(arrival.frame.stamp_ns)
        prediction = self._take(arrival.frame, self._share.steps(image))
        if mine and prediction is not None:
            self._scored(prediction, arrival.decode_s)

    def _take(self, frame: Frame, step: bool) -> Prediction | None:
        admitted = self._predictor.admit(frame)
        if not isinstance(admitted, Sample) or not step:
            return None
        if self._arrived is not None and self._arrived[frame.stamp_ns] == 'skipped':
            self._predictor.drop(admitted)
            return None
        self._predictor.watch(self._executed(frame.stamp_ns, frame.frame_id))
        return self._predictor.advance(admitted).prediction

    def _executed(self, stamp_ns: int, frame_id: str) -> Candidates | None:
        """Return the grasps that are being executed, unless a decision is still to come."""
        during = self._matcher.during(stamp_ns) if self._watch else []
        # Beside other grasps a score may round otherwise, and then it would not be the topics'.
        if any(stamp_ns <= x.outcome.decision_ns for x in during):
            return None
        known = [x for x in during if x.position is not None and x.frame_id == frame_id]
        return Candidates.from_yaws(
            stamp_ns, frame_id, np.stack([x.position for x in known]),
            np.array([x.yaw for x in known])) if known else None

    def _scored(self, prediction: Prediction, decode_s: float) -> None:
        self._decode_ms.append(1e3 * (prediction.decode_s + decode_s))
        self._inference_ms.append(1e3 * prediction.inference_s)
        self._matcher.take(ScoredSample(
            prediction.stamp_ns, prediction.points if len(prediction.points) else _NO_PLACES,
            prediction.scores, _as_published(prediction.uncertainties), prediction.score,
            float(_as_published(prediction.uncertainty)), prediction.novelty))
        if self._tell is not None:
            self._tell(prediction)

    def _counted(self) -> Counters:
        """Return what became of the images that count."""
        counted = Counters()
        if self.images > self._share.first:
            counted.add(self._after or self._predictor.counters, self._before)
        return counted

    def record(self, *, lost_share: float, damage: str, **values) -> BagRecord:
        """Say what was found."""
        counters, attempts = self._counted(), self._matcher.records()
        return BagRecord(
            **values, frames=counters.frames + self._not_arrived,
            fates={'scored': counters.scored, 'stored': counters.stored,
                   'skipped': counters.skipped, 'refused': sum(counters.refused.values())},
            refused=dict(counters.refused), missing=counters.missing,
            resets=dict(counters.resets), decode_ms=np.array(self._decode_ms),
            inference_ms=np.array(self._inference_ms), attempts=attempts,
            unmatched=findings.unmatched(self._matcher, self._seen),
            notes=(*findings.notes(self._matcher, self._seen, damage),
                   *findings.of_scores(attempts)),
            lost_share=lost_share, not_arrived=self._not_arrived)


def _as_published(values):
    """Round as the topic does, so that both ways give the same number."""
    return np.float32(values).astype(float) if isinstance(values, np.ndarray) else np.float32(
        values)
