"""Import recordings: shards of samples, one for so many attempts, made by several processes."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any

import cv2
from moss_perception.core.cameras import CameraSetup
from moss_perception.core.errors import BagError, FrameError
from moss_perception.core.image_messages import check
from moss_perception.core.images import decode, decode_for
from moss_perception.core.looks import ALTERNATING, doubt, Views
from moss_perception.data.bags.attempts import labels_of
from moss_perception.data.bags.clocks import other_cameras
from moss_perception.data.bags.reader import Recording
from moss_perception.data.imports.samples import (
    AttemptError,
    build,
    Execution,
    ImportSettings,
    NO_IMAGES,
    plan,
    Planned,
)
from moss_perception.data.imports.survey import describe, Place, Survey, survey
from moss_perception.data.outcomes import Outcome
from moss_perception.data.sample_shards import sample_path, write_samples
from moss_perception.data.schema import Sample
import numpy as np

SHARD = 25
"""Attempts for which a shard has samples."""
# Of images that no one has compressed yet.
_QUALITY = 95
# Side of the pictures that are looked at, pixels: a large JPEG is decoded with about as many.
_LOOKED_AT = 16

FindAttempts = Callable[[Recording, 'BagInput'], tuple[Sequence[Execution], Place]]
"""
Reads the attempts of a recording, with their executed grasps, and returns what brings grasps into
the images' frame too; can be pickled.
"""


@dataclass(frozen=True)
class BagInput:
    """
    A recording to import.

    :ivar name: for the samples' names and groups, different for each recording.
    :ivar domain: of its samples; empty to use that of the outcomes.
    :ivar outcomes: file of the outcomes; ``None`` to use those in the recording.
    :ivar shared: whether other recordings have the same outcomes, of which stamps tell whose each
        one is.
    :ivar topics: as :func:`moss_perception.data.imports.survey.survey` takes them, and those of
        the outcomes and the executed grasps.
    :ivar setup: whether the images are rectified, where the candidates' frame is, and perhaps
        the calibration.
    :ivar part: of the recording's shards, every ``parts``-th from this one on is made.
    """

    path: str
    name: str
    domain: str = ''
    outcomes: str | None = None
    shared: bool = False
    topics: Mapping[str, str] = field(default_factory=dict)
    setup: CameraSetup = field(default_factory=CameraSetup)
    part: int = 0
    parts: int = 1


@dataclass(frozen=True)
class LeftOut:
    """
    An attempt that was left out.

    :ivar reason: a short constant to count by.
    :ivar message: the reason in words.
    :ivar line: line of the table that it was read from; ``None`` if there is no table.
    """

    recording: str
    attempt: int
    reason: str
    message: str
    line: int | None = None


@dataclass
class Imported:
    """
    What was made of a recording, or of a part of it.

    :ivar attempts: how many attempts it has.
    :ivar groups: group labels of each sample.
    :ivar successes: whether each sample's executed grasp succeeded.
    :ivar left_out: each attempt that was left out.
    :ivar lines: the lines of the table that its attempts were read from.
    :ivar where: where stamps lie, in words, if no attempt has images.
    :ivar cameras: the calibrations in words.
    :ivar damage: of the recording; empty if none is known.
    :ivar duration_s: of the recording.
    :ivar doubts: what is wrong with its stamps, in words.
    :ivar doubtful: number of images that may show nothing, by
        :data:`moss_perception.core.looks.LOOKS`.
    """

    name: str
    attempts: int = 0
    groups: list[dict[str, str]] = field(default_factory=list)
    successes: list[bool] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    lines: set[int | None] = field(default_factory=set)
    where: str = ''
    cameras: Counter = field(default_factory=Counter)
    damage: str = ''
    duration_s: float = 0.0
    doubts: list[str] = field(default_factory=list)
    doubtful: Counter = field(default_factory=Counter)

    def leave_out(self, outcome: Outcome, error: AttemptError) -> None:
        """Note why an attempt is left out."""
        self.left_out.append(LeftOut(self.name, outcome.attempt, error.reason, str(error),
                                     outcome.line))


def import_bag(one: BagInput, first_shard: int, folder: Path, find: FindAttempts,
               settings: ImportSettings, progress: Callable[[int], Any] = int) -> Imported:
    """
    Write the samples of a recording, or of a part of it, as shards.

    :param first_shard: number of the recording's first shard.
    :param folder: that of the shards.
    :param progress: called with the number of attempts that are done, each time.
    :raises BagError: if the recording can't be used.
    :raises DataError: if it has no calibration or one of another size, or can't be written.
    """
    with Recording(one.path, salvage=True) as recording:
        attempts, place = find(recording, one)
        attempts = sorted(attempts, key=lambda x: x.outcome.decision_ns)
        _check_attempts(one, attempts)
        found = survey(recording, one.topics, place, one.setup)
        # In the order in which their images come, which is another one if stamps jump back.
        attempts = sorted(attempts, key=lambda x: found.image_at(x.outcome.decision_ns))
        done = Imported(one.name, 0 if one.part else len(attempts),
                        duration_s=(recording.end_ns - recording.start_ns) / 1e9,
                        lines={x.outcome.line for x in attempts})
        if not one.part:
            done.doubts = [*found.stamps.lines(), *found.clock.lines(),
                           *found.clock.outcomes(x.outcome for x in attempts),
                           *found.calibration_check.lines(),
                           *other_cameras(recording, found.image_topic)]
        plans = {}
        for n, attempt in enumerate(attempts):
            if n // SHARD % one.parts == one.part:
                try:
                    plans[n] = plan(attempt, found, settings)
                except AttemptError as error:
                    done.leave_out(attempt.outcome, error)
                    progress(1)
        if not plans and all(x.reason == NO_IMAGES for x in done.left_out):
            done.where = found.where(np.array([x.outcome.decision_ns for x in attempts]))
        labels = labels_of(recording, [x.outcome for x in attempts])
        samples = _Samples(recording, found, plans, labels, one, done, settings, progress)
        for shard, group in groupby(samples, lambda pair: pair[0] // SHARD):
            write_samples(sample_path(folder, first_shard + shard), [x for _, x in group])
        done.damage = recording.damage
    return done


def _check_attempts(one: BagInput, attempts: Sequence[Execution]) -> None:
    """
    Check that a recording has attempts, one after another.

    :param attempts: in the order of their decisions.
    :raises BagError: if it has none, or two overlap.
    """
    if not attempts:
        raise BagError(f'{one.path}: no outcomes of attempts: expected some on /grasp_outcome '
                       '(--outcome-topic), or a file of them (--outcomes)')
    for before, after in pairwise(x for x in attempts if not x.outcome.apart):
        first, second = before.outcome, after.outcome
        if second.start_ns < first.end_ns:
            raise BagError(
                f'{one.path}: attempt {second.attempt} begins at {second.start_ns / 1e9:.3f} s, '
                f'before attempt {first.attempt} ends at {first.end_ns / 1e9:.3f} s: expected '
                'one attempt after another; correct the outcomes')


@dataclass
class _Samples:
    """Reads the images of planned attempts, and yields each sample with the attempt's index."""

    recording: Recording
    found: Survey
    plans: Mapping[int, Planned]
    labels: Sequence[Mapping[str, str]]
    bag: BagInput
    done: Imported
    settings: ImportSettings
    progress: Callable[[int], Any]

    def __iter__(self) -> Iterator[tuple[int, Sample]]:
        left, views = list(self.plans), Views()
        wanted = {index for x in self.plans.values() for index in (*x.before, *x.after)}
        # A later attempt can begin with an earlier image than those before it.
        kept = list(accumulate((self.plans[n].before[0] for n in reversed(left)), min))
        topic, images = self.found.image_topic, {}
        messages = self.recording.messages([topic]) if left else ()
        for index, (_, kind, _, raw) in enumerate(messages):
            if index in wanted:
                jpeg, size, problem, pixels = _image(self.recording.deserialize(raw, kind))
                images[index] = jpeg, size, problem
                if pixels is not None and (look := doubt(pixels) or (
                        ALTERNATING if views.alternate(pixels) else '')):
                    self.done.doubtful[look] += 1
            while left and index >= max(self.plans[left[0]].before + self.plans[left[0]].after):
                n = left.pop(0)
                if sample := self._sample(n, images):
                    yield n, sample
                kept.pop()
                first = kept[-1] if kept else index + 1
                images = {key: image for key, image in images.items() if key >= first}

    def _sample(self, n: int, images: Mapping[int, tuple]) -> Sample | None:
        """Build a sample, or note why the attempt is left out."""
        planned = self.plans[n]
        outcome = planned.attempt.outcome
        used = [images[index] for index in (*planned.before, *planned.after)]
        try:
            for _, _, problem in used:
                if problem:
                    raise AttemptError('damaged image', f'one of its images is refused: {problem}')
            sizes = {size for _, size, _ in used}
            if len(sizes) != 1:
                raise AttemptError('image sizes', f'its images have the sizes {sorted(sizes)}: '
                                   'expected one size')
            sample = build(planned, self.found, lambda index: images[index][0],
                           sizes.pop(), self.bag.name, self.settings, self.labels[n])
        except AttemptError as error:
            self.done.leave_out(outcome, error)
            return None
        finally:
            self.progress(1)
        self.done.groups.append(dict(sample.groups))
        self.done.successes.append(outcome.success)
        self.done.cameras[describe(sample.camera)] += 1
        return replace(sample, domain=self.bag.domain or sample.domain or 'real')


def _image(message: Any) -> tuple[bytes, tuple[int, int], str, np.ndarray | None]:
    """
    Compress an image, or keep its bytes if they are a JPEG already.

    :param message: with the fields of sensor_msgs/Image or CompressedImage.
    :returns: the JPEG; its width and height, pixels; why it is refused, or nothing; and the
        picture, RGB, maybe reduced.
    """
    try:
        checked = check(message)
        # A mosaic, or the other order of channels, is told only by the message's format.
        if checked.is_jpeg and not checked.bayer and 'compressed rgb' not in message.format:
            return (bytes(message.data), (checked.width, checked.height), '',
                    decode_for(checked, _LOOKED_AT)[0])
        image = decode(checked)
        _, data = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                               [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        return data.tobytes(), (image.shape[1], image.shape[0]), '', image
    except FrameError as error:
        return b'', (0, 0), str(error), None
