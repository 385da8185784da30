"""Checks of the inputs and outputs of a predictor, live or recorded."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from moss_perception.core.errors import FrameError, ScoresError
from moss_perception.core.frames import Frame
from moss_perception.core.geometry import project
from moss_perception.core.images import decode
from moss_perception.core.looks import ALTERNATING, doubt, LOOKS, Views
from moss_perception.core.scores import GraspScores, read_scores, reasons_in_words, ScoreReason
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.checks import Checks
from moss_perception.evaluation.findings import Seen
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.candidate_book import CandidateBook
from moss_perception.runtime.frame_status import Counters
from moss_perception.runtime.predictor import MAX_GAP_S
import numpy as np

# Lead times that differ by less give nearly the same scores.
_LEAD_TIME_S = 0.05
_RATE = 0.9
TOGETHER = 5
"""Images that should be decoded one after another, before some are left out."""
_LAG_S = 1.0


@dataclass
class Streams:
    """
    What was seen of the topics of one camera.

    :ivar config: of the checkpoint that reads them.
    :ivar seen: stamps, frames, calibration and refusals, as an evaluation collects them.
    :ivar stamps_ns: of the images, nanoseconds.
    :ivar lead_time_s: that of the predictor; ``None`` for the checkpoint's default.
    :ivar predicted: whether a predictor reads these topics, so that scores are expected.
    :ivar decoded: number of images that were decoded.
    """

    config: ModelConfig
    seen: Seen
    lead_time_s: float | None = None
    predicted: bool = False
    stamps_ns: list[int] = field(default_factory=list)
    decoded: int = 0
    sizes: Counter = field(default_factory=Counter)
    looks: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    refusal: str = ''
    with_candidates: int = 0
    placed: Counter = field(default_factory=Counter)
    scored: Counter = field(default_factory=Counter)
    score_messages: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    executed: int = 0
    _views: Views = field(default_factory=Views)
    _book: CandidateBook = field(default_factory=lambda: CandidateBook(Counters()))

    def image(self, stamp_ns: int, frame_id: str, recorded_ns: int, message: Any = None) -> None:
        """
        Take an image; only those with a message are decoded.

        Two cameras are noticed in some images that follow one another, see :data:`TOGETHER`.
        """
        self.stamps_ns.append(stamp_ns)
        self.seen.image(Frame(stamp_ns, frame_id, None), recorded_ns)
        held = self._book.holding(stamp_ns)
        self.with_candidates += held is not None
        if message is None:
            return
        self.decoded += 1
        try:
            pixels = decode(message)
        except FrameError as error:
            self.refused[error.reason] += 1
            self.refusal = str(error)
            return
        height, width, _ = pixels.shape
        self.sizes[width, height] += 1
        if look := doubt(pixels):
            self.looks[look] += 1
        elif self._views.alternate(pixels):
            self.looks[ALTERNATING] += 1
        camera = self.seen.newest_camera
        camera = camera and camera.at_size(width, height)
        if held is not None and camera is not None:
            placed = self.seen.placing.place(held, frame_id)
            if placed.frame_id == frame_id:
                self.placed.update(project(placed.positions, camera)[1].tolist())
            else:
                self.placed[int(ScoreReason.FRAME_UNKNOWN)] += len(held.positions)

    def camera(self, message: Any) -> None:
        """Take a calibration."""
        self.seen.camera(message)

    def candidates(self, message: Any) -> None:
        """Take grasp candidates."""
        if (candidates := self.seen.grasps(message)) is None:
            self._book.clear()
        else:
            self._book.add(candidates)

    def scores(self, message: Any) -> None:
        """Take scores of a predictor."""
        self.score_messages += 1
        try:
            self.scored.update(GraspScores.of(read_scores(message)).candidates['reason'].tolist())
        except ScoresError as error:
            self.seen.refuse('scores', str(error))

    # ---- what it means

    def check(self, area: str) -> Checks:
        """Judge what was seen."""
        checks = Checks(area)
        if not self.stamps_ns:
            checks.fail('there are no images' + (
                f' on {self.seen.image_topic}' if self.seen.image_topic else ''),
                'name the topic with --image-topic, and see that the camera runs')
            return checks
        self._check_rate(checks)
        self._check_pictures(checks)
        self._check_stamps(checks)
        self._check_calibration(checks)
        self._check_candidates(checks)
        self._check_scores(checks)
        self._check_attempts(checks)
        return checks

    def _check_rate(self, checks: Checks) -> None:
        steps = np.diff(np.array(self.stamps_ns)) / 1e9
        steps = steps[steps > 0]
        if not len(steps):
            checks.warn(f'{len(self.stamps_ns)} images, which is too few to measure a rate',
                        'check for longer: --seconds')
            return
        rate, wanted = 1 / float(np.median(steps)), self.config.frame_rate_hz
        checks.decide(
            f'{rate:.1f} images a second, and the checkpoint takes {wanted:g}: it repeats images'
            if rate < _RATE * wanted else '',
            f'{len(self.stamps_ns)} images on {self.seen.image_topic}, {rate:.1f} a second',
            f'raise the rate of the camera to {wanted:g} or more')
        if len(gaps := self._gaps_s()):
            checks.warn(f'{len(gaps)} gaps between images are longer than {MAX_GAP_S:g} s, up to '
                        f'{gaps.max():.2f} s: each resets the window',
                        'look for lost images (network, CPU load), or set max_gap')

    def _gaps_s(self) -> np.ndarray:
        """Return the gaps that reset the window; where attempts are known, those within one."""
        stamps = np.array(self.stamps_ns)
        gaps_s, ends = np.diff(stamps) / 1e9, stamps[1:]
        within = np.ones(len(ends), bool)
        if self.outcomes:
            within = np.any([(stamps[:-1] >= x.start_ns) & (ends <= x.end_ns)
                             for x in self.outcomes], axis=0)
        return gaps_s[within & (gaps_s > MAX_GAP_S)]

    def _check_pictures(self, checks: Checks) -> None:
        if self.refused:
            checks.fail(f'{self.refused.total()} of {self.decoded} images are refused: '
                        f'{self.refusal}', 'see "Damaged pictures" in docs/troubleshooting.md')
        for look, count in sorted(self.looks.items()):
            what, _, expected = LOOKS[look].partition(': expected ')
            checks.warn(f'{count} of {self.decoded} pictures are {what}', f'see to {expected}')
        if len(self.sizes) > 1:
            checks.warn('the images have several sizes: ' + ', '.join(
                f'{width} x {height}' for width, height in self.sizes),
                'publish one size; each change resets the window')
        if len(self.seen.frames) > 1:
            checks.warn(f'the images are in several frames: {", ".join(sorted(self.seen.frames))}',
                        'publish each camera on a topic of its own')

    def _check_stamps(self, checks: Checks) -> None:
        seen = self.seen
        lines = [*seen.stamps.lines(), *seen.clock.lines(), *seen.clock.outcomes(self.outcomes),
                 *seen.cameras]
        for line in lines:
            what, _, expected = line.partition(': expected ')
            checks.warn(what, f'publish {expected}' if expected else
                        'see that one camera publishes, with the stamps of its exposures')
        if not lines:
            checks.fine('the stamps of images, candidates and outcomes fit one another')
        lag_s = (self.seen.lag_ns or 0) / 1e9
        if abs(lag_s) > _LAG_S:
            checks.warn(f'the stamps of the images are {abs(lag_s):.3f} s '
                        f'{"behind" if lag_s > 0 else "ahead of"} the clock of the receiver',
                        'synchronise the clocks (chrony, PTP), or play with --clock and '
                        'use_sim_time')

    def _check_calibration(self, checks: Checks) -> None:
        for line in self.seen.calibration_check.lines():
            what, _, expected = line.partition(': expected ')
            checks.warn(what, f'publish {expected}')
        camera = self.seen.newest_camera
        size = self.sizes.most_common(1)[0][0] if self.sizes else None
        if 'camera_info' in self.seen.refused:
            checks.fail(f'the calibration is refused: {self.seen.refused["camera_info"][1]}',
                        'calibrate the camera, and publish the result on camera_info')
        elif camera is None:
            checks.warn('there is no calibration, so no candidate is scored',
                        'publish camera_info beside the images, or name --camera-info-topic')
        elif size and camera.at_size(*size) is None:
            checks.fail(
                f'the calibration is of {camera.image_size[0]} x {camera.image_size[1]} pixels, '
                f'the images have {size[0]} x {size[1]}',
                'calibrate at this size, or set binning and region of interest of camera_info')
        else:
            checks.fine(f'calibration of {camera.width} x {camera.height} pixels, '
                        f'{camera.model or "without distortion"}, fits the images')

    def _check_candidates(self, checks: Checks) -> None:
        seen, total = self.seen, len(self.stamps_ns)
        for contents in ('candidates', 'lead times'):
            if contents in seen.refused:
                count, why = seen.refused[contents]
                checks.warn(f'{count} messages of {contents} are refused: {why}',
                            'correct what the planner publishes')
        if not seen.candidates:
            checks.warn('there are no grasp candidates: only the default grasp point is scored',
                        'publish them on grasp_candidates, or name --candidates-topic')
            return
        if seen.foreign:
            checks.fail('candidates in {!r}, images in {!r}: {}'.format(
                *next(iter(seen.foreign)), seen.unplaced),
                'publish tf between them, or set candidates_transform')
        checks.decide(
            'no candidates hold for any image' if not self.with_candidates else '',
            f'{seen.candidates} sets of candidates, which hold for {self.with_candidates} of '
            f'{total} images', 'stamp them with the stamp of the image that they are made from')
        unseen = {reason: n for reason, n in self.placed.items() if reason}
        if unseen and not self.placed[0]:
            words = reasons_in_words(Counter(unseen).elements())
            checks.fail(f'no candidate of the decoded images can be scored: {words}',
                        'check the frame of the candidates and the calibration')

    def _check_scores(self, checks: Checks) -> None:
        if not self.score_messages:
            if self.predicted:
                checks.warn('no scores were published meanwhile',
                            'see the diagnostics of the predictor, or check for longer')
            return
        words = reasons_in_words(self.scored.elements()) if self.scored else 'no candidates'
        checks.decide(
            f'{self.score_messages} messages of scores, and no candidate was scored: {words}'
            if self.seen.candidates and not self.scored[0] else '',
            f'{self.score_messages} messages of scores: {words}',
            'see the reasons in docs/planner.md')

    def _check_attempts(self, checks: Checks) -> None:
        if self.outcomes:
            done = [x for x in self.outcomes if x.executed]
            checks.fine(f'{len(self.outcomes)} attempts, {len(done)} executed, '
                        f'{sum(x.success for x in done)} successful')
        measured = [x.lead_time_s for x in self.outcomes if x.lead_time_s is not None]
        if not measured:
            return
        middle = float(np.median(measured))
        used = self.config.default_lead_time_s if self.lead_time_s is None else self.lead_time_s
        what = (f'the fingers close {middle:.2f} s after the decision (median of '
                f'{len(measured)} attempts, {min(measured):.2f} to {max(measured):.2f} s)')
        low, high = self.config.lead_times_s
        if self.config.time_inputs and not low <= middle <= high:
            checks.warn(f'{what}; the checkpoint was trained for {low:g} to {high:g} s',
                        'train a checkpoint for this lead time, or close the fingers sooner')
        elif self.config.time_inputs and abs(middle - used) > _LEAD_TIME_S:
            checks.warn(f'{what}; the predictor assumes {used:.2f} s',
                        f'set lead_time:={middle:.2f}, or publish grasp_lead_times')
        else:
            checks.fine(what)
