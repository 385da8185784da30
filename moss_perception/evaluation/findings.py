"""Findings about a recording that the reader of a report should know."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from moss_perception.core.cameras import CalibrationCheck, to_camera
from moss_perception.core.errors import CandidateError, ConfigError, FrameUnknownError
from moss_perception.core.frames import (
    Camera,
    Candidates,
    Frame,
    MOST_CANDIDATES,
    stamp_to_ns,
    to_candidates,
)
from moss_perception.core.lead_times import LeadTimes, to_lead_times
from moss_perception.core.stamps import StampCheck
from moss_perception.data.bags.clocks import ClockCheck
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import (
    CANDIDATES_TOPIC,
    EXECUTED_TOPIC,
    header_of,
    STAMP_END,
)
from moss_perception.data.outcomes import LOST
from moss_perception.evaluation.matching import Matcher
from moss_perception.evaluation.records import AttemptRecord, UnmatchedOutcome
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.candidate_frames import CandidateFrames

# Longer than a camera's exposure, its driver and a recorder's queue can explain.
_LAG_NS = 1_000_000_000


@dataclass
class Seen:
    """
    Properties of a recording's messages, collected while reading it.

    :ivar image_topic: topic of the images; its name may say that they are rectified.
    :ivar placing: brings candidates into the images' frame.
    :ivar candidates_topic: topic as recorded; empty if there is none, ``None`` if unknown.
    :ivar candidates: number of messages on it.
    :ivar executed_topic: topic of the executed grasps, as recorded; empty if there is none.
    :ivar calibrations: the topics of calibrations if none of them is used, else ``None``.
    :ivar candidates_frame: frame of the newest candidates.
    :ivar frames: number of images by frame.
    :ivar first_ns: stamp of the first image, nanoseconds; 0 without images.
    :ivar last_ns: stamp of the last image, nanoseconds.
    :ivar lag_ns: the smallest time from an image's stamp to its recording, nanoseconds.
    :ivar refused: number of messages that can't be used and the last reason, by contents.
    :ivar foreign: number of images in whose frame it is not known where the candidates are, by
        both frames.
    :ivar unplaced: why not, in words.
    :ivar candidates_ns: stamp of the newest candidates, nanoseconds.
    :ivar lead_times: what the reader should know of the lead times, each line once.
    :ivar stamps: compares the stamps of images and candidates.
    :ivar clock: compares the clock of the stamps with the recorder's.
    :ivar cameras: what is wrong with the clocks of other cameras, in words.
    :ivar calibration_check: follows how the calibration changes.
    """

    image_topic: str = ''
    placing: CandidateFrames = field(default_factory=CandidateFrames)
    candidates_topic: str | None = None
    candidates: int = 0
    executed_topic: str = ''
    calibrations: Sequence[str] | None = None
    candidates_frame: str = ''
    candidates_ns: int = 0
    frames: Counter = field(default_factory=Counter)
    first_ns: int = 0
    last_ns: int = 0
    lag_ns: int | None = None
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    foreign: Counter = field(default_factory=Counter)
    unplaced: str = ''
    lead_times: list[str] = field(default_factory=list)
    stamps: StampCheck = field(default_factory=StampCheck)
    clock: ClockCheck = field(default_factory=ClockCheck)
    cameras: Sequence[str] = ()
    calibration_check: CalibrationCheck = field(default_factory=CalibrationCheck)
    _calibration: tuple[Any, Camera | None, str] = field(
        default=(None, None, ''), init=False, repr=False)

    def image(self, frame: Frame, recorded_ns: int) -> None:
        """Record the properties of an image."""
        self.stamps.image(frame.stamp_ns)
        self.clock.image(frame.stamp_ns, recorded_ns)
        self.frames[frame.frame_id] += 1
        if frame.stamp_ns > 0:
            self.first_ns = min(self.first_ns or frame.stamp_ns, frame.stamp_ns)
            self.last_ns = max(self.last_ns, frame.stamp_ns)
            lag_ns = recorded_ns - frame.stamp_ns
            # Keep the smallest lag: a recorder is late only now and then, a wrong clock always.
            if self.lag_ns is None or abs(lag_ns) < abs(self.lag_ns):
                self.lag_ns = lag_ns
        if self.candidates_frame not in ('', frame.frame_id):
            try:
                self.placing.pose(self.candidates_frame, frame.frame_id, self.candidates_ns)
            except FrameUnknownError as error:
                self.foreign[self.candidates_frame, frame.frame_id] += 1
                self.unplaced = str(error)

    def grasps(self, message: Any) -> Candidates | None:
        """Convert candidates, and record why they can't be used."""
        self.candidates += 1
        self.stamps.candidates(stamp_to_ns(message.header.stamp))
        self.candidates_frame = message.header.frame_id
        self.candidates_ns = stamp_to_ns(message.header.stamp)
        try:
            candidates = to_candidates(message, MOST_CANDIDATES)
        except CandidateError as error:
            self.refuse('candidates', str(error))
            return None
        if problem := candidates.problem():
            self.refuse('candidates', problem)
        return candidates

    def times(self, message: Any, config: ModelConfig) -> LeadTimes | None:
        """
        Convert lead times, and record why they can't be used as they are.

        :param config: the checkpoint's configuration.
        """
        if not config.time_inputs:
            self.say(f'the recorded lead times are not used: the checkpoint of model '
                      f'{config.model!r} has no time inputs')
            return None
        try:
            lead_times = to_lead_times(message)
        except CandidateError as error:
            self.refuse('lead times', str(error))
            return None
        low, high = config.lead_times_s
        # On the topic they are float32.
        if ((lead_times.values < low - 1e-6) | (lead_times.values > high + 1e-6)).any():
            self.say(f'some recorded lead times are outside {low:g} to {high:g} s, for which the '
                      'checkpoint was trained, and were clamped')
        return lead_times

    def say(self, line: str) -> None:
        """Record a line about lead times, once."""
        if line not in self.lead_times:
            self.lead_times.append(line)

    @property
    def newest_camera(self) -> Camera | None:
        """Return the newest calibration; ``None`` without a usable one."""
        return self._calibration[1]

    def camera(self, message: Any) -> Camera | None:
        """Convert a calibration, and record why it can't be used."""
        # Calibrations that differ only in their stamps are the same object.
        if message is not self._calibration[0]:
            try:
                self._calibration = message, to_camera(
                    message, self.image_topic, self.placing.setup.rectified), ''
            except ConfigError as error:
                self._calibration = message, None, str(error)
            self.calibration_check.take(self._calibration[1])
        _, camera, problem = self._calibration
        if problem:
            self.refuse('camera_info', problem)
        return camera

    def refuse(self, contents: str, why: str) -> None:
        """Record that a message of some contents can't be used."""
        self.refused[contents] = (self.refused.get(contents, (0, ''))[0] + 1, why)


class InputCheck:
    """
    Checks the inputs of a recording without scoring them, in the order of recording.

    :param recording: an open recording.
    :param images: topic of the images; empty for none.
    :param candidates: topic of the candidates; empty for none.
    :param camera: topic of the calibration; empty for none.
    :param received: header stamps of the images that the predictor received.
    :param placing: brings candidates into the images' frame.
    :ivar seen: the same findings as of an offline evaluation of these images.
    :ivar stamps: stamps of all images, in order, nanoseconds.
    """

    def __init__(self, recording: Recording, images: str, candidates: str, camera: str,
                 received: Container[int], placing: CandidateFrames):
        self.seen = Seen(image_topic=images, placing=placing, candidates_topic=candidates)
        self.stamps: list[int] = []
        self._recording, self._received = recording, received
        self._handlers = {images: self._image, candidates: self._candidates, camera: self._camera}
        self._newest: tuple[bytes, Any] = (b'', None)
        if (calibration := placing.setup.calibration) is not None:
            self.seen.camera(calibration)

    def run(self, topics: Iterable[str] | None) -> None:
        """
        Read the recording.

        :param topics: topics to read; ``None`` for all, which finds all damage.
        """
        for topic, kind, recorded_ns, raw in self._recording.messages(topics):
            if topic in self._handlers:
                self._handlers[topic](kind, recorded_ns, raw)

    def _image(self, _: str, recorded_ns: int, raw: bytes) -> None:
        stamp_ns, frame_id = header_of(raw)
        self.stamps.append(stamp_ns)
        if stamp_ns in self._received:
            self.seen.image(Frame(stamp_ns, frame_id, None), recorded_ns)

    def _candidates(self, kind: str, _: int, raw: bytes) -> None:
        self.seen.grasps(self._recording.deserialize(raw, kind))

    def _camera(self, kind: str, _: int, raw: bytes) -> None:
        # Each image has a calibration message, and usually only the stamps differ.
        if raw[STAMP_END:] != self._newest[0]:
            self._newest = raw[STAMP_END:], self._recording.deserialize(raw, kind)
        self.seen.camera(self._newest[1])


def unmatched(matcher: Matcher, seen: Seen) -> tuple[UnmatchedOutcome, ...]:
    """List the attempts without images, with the reason."""
    found = []
    for attempt in matcher.unmet():
        start_ns, end_ns = attempt.outcome.start_ns, attempt.outcome.end_ns
        why = 'no image is stamped within it'
        if attempt.outcome.apart == LOST:
            why = LOST
        elif end_ns < seen.first_ns:
            why = f'it ends {(seen.first_ns - end_ns) / 1e9:.3f} s before the first image'
        elif start_ns > seen.last_ns:
            why = f'it begins {(start_ns - seen.last_ns) / 1e9:.3f} s after the last image'
        found.append(UnmatchedOutcome(attempt.outcome.attempt, why, attempt.outcome.executed,
                                      attempt.outcome.line))
    return tuple(found)


def warnings(matcher: Matcher, seen: Seen) -> tuple[str, ...]:
    """List the findings that may make scores wrong or leave nothing to score."""
    found, unmet = [], matcher.unmet()
    if unmet and not matcher.records():
        found.append(f'none of the {len(unmet)} outcomes overlaps the images in time: '
                     f'{_apart(matcher, seen)}; expected stamps of the same clock')
    else:
        found += seen.clock.outcomes(matcher.outcomes)
    if seen.lag_ns is not None and abs(seen.lag_ns) > _LAG_NS:
        way = 'behind' if seen.lag_ns > 0 else 'ahead of'
        found.append(f'the header stamps of the images are {abs(seen.lag_ns) / 1e9:.3f} s {way} '
                     "the recorder's clock: outcomes need stamps of the images' clock")
    return (*found, *seen.stamps.lines(), *seen.clock.lines(), *seen.calibration_check.lines(),
            *seen.cameras)


def _apart(matcher: Matcher, seen: Seen) -> str:
    first = min(x.outcome.start_ns for x in matcher.unmet())
    gap_s = (first - seen.first_ns) / 1e9
    return (f'the first outcome begins {abs(gap_s):.3f} s {"after" if gap_s > 0 else "before"} '
            'the first image')


def notes(matcher: Matcher, seen: Seen, attempts: Sequence[AttemptRecord]) -> tuple[str, ...]:
    """
    List all other findings about a recording.

    :param attempts: the records of ``matcher``.
    """
    found, overlaps = [], matcher.overlaps()
    if not attempts and not matcher.unmet():
        found.append('no outcomes were recorded, so the scores cannot be compared with any')
    if overlaps:
        found.append('attempts overlap in time; each is scored separately: ' + _first_of(
            [f'{first} and {second}' for first, second in overlaps], ' more pairs'))
    return (*found, *_of_inputs(seen), *of_attempts(attempts))


def _of_inputs(seen: Seen) -> list[str]:
    found = [f'{count} images are in frame {images!r} and their candidates in {candidates!r}: '
             f'these candidates are not scored; {seen.unplaced}'
             for (candidates, images), count in seen.foreign.items()]
    if len(seen.frames) > 1:
        found.append('the images are in several frames, and each change resets the window: '
                     + ', '.join(f'{name!r} ({count})' for name, count in seen.frames.items()))
    if seen.candidates_topic is not None and not seen.candidates:
        found.append(f'no grasp candidates on {seen.candidates_topic or CANDIDATES_TOPIC}: if the '
                     'executed grasp is unknown, the default grasp point is scored; record the '
                     'candidates or the executed grasps, or name their topics')
    elif seen.candidates_topic not in (None, CANDIDATES_TOPIC):
        found.append(f'the grasp candidates are read from {seen.candidates_topic}')
    if seen.executed_topic not in ('', EXECUTED_TOPIC):
        # It may have been chosen by a word of its name, and have other poses.
        found.append(f'the executed grasps are read from {seen.executed_topic}')
    if seen.calibrations:
        found.append(f'camera calibrations are on {", ".join(seen.calibrations)}, but none is in '
                     'the namespace of the images, and no topic was given: only the default grasp '
                     'point can be scored')
    elif seen.calibrations is not None and seen.candidates:
        found.append('there is no camera calibration: only the default grasp point can be scored')
    return [*found, *seen.lead_times, *getattr(seen.placing.transforms, 'problems', ()), *(
        f'{count} messages of {contents} were refused fully or partly: {why}'
        for contents, (count, why) in seen.refused.items())]


def of_attempts(attempts: Sequence[AttemptRecord]) -> tuple[str, ...]:
    """List the findings about the attempts' scores."""
    found, total = [], len(attempts)
    if count := sum(not x.executed for x in attempts):
        found.append(f'not_executed: in {count} of {total} attempts no grasp was executed; they '
                     'have no score and are not failures')
    if count := sum(x.source == 'nearest' for x in attempts):
        found.append(f'{count} attempts have the score of the candidate nearest to the executed '
                     'grasp: their outcomes do not say which candidate was executed')
    ages_s = {x.attempt: -x.times_s[x.times_s <= 0].max() for x in attempts
              if x.executed and x.scored_ns is None and (x.times_s <= 0).any()}
    if ages_s:
        found.append(f'{len(ages_s)} attempts have no score, because the newest score before '
                     "their decision was older than the model's max gap: " + _first_of(
                         [f'{number} ({age_s:.3f} s)' for number, age_s in ages_s.items()]))
    if elsewhere := [x for x in attempts if x.scored_elsewhere]:
        found.append(
            f'{len(elsewhere)} of {total} attempts are scored at the default grasp point, '
            f'although another grasp was executed: {causes(elsewhere)}. The gripper may have '
            'closed somewhere else, so these scores may not fit the outcomes, and scored_share '
            'does not count them')
    if without := [x for x in attempts if x.executed and x.source == 'executed'
                   and not x.scored_executed]:
        found.append(f'{len(without)} of {total} executed grasps have no score: '
                     f'{causes(without)}')
    return tuple(found)


def causes(attempts: Iterable[AttemptRecord]) -> str:
    """Group attempts by why their executed grasps have no score, in words."""
    found: dict[str, list[str]] = {}
    for one in attempts:
        found.setdefault(one.why or 'it is not known why', []).append(str(one.attempt))
    return '; '.join(f'{why} ({_first_of(names)})' for why, names in found.items())


def _first_of(names: Sequence[str], more: str = ' more') -> str:
    return ', '.join(names[:5]) + (f' and {len(names) - 5}{more}' if len(names) > 5 else '')
