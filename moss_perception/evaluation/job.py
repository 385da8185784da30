"""What bag_evaluator makes of a run: a record, a file, a report, and whether it is good enough."""

from collections.abc import Callable, Collection, Mapping, Sequence
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moss_perception.core.errors import BagError, CheckpointError, MossError
from moss_perception.core.resources import model_path
from moss_perception.data.bags.topics import CANDIDATES_TOPIC
from moss_perception.evaluation.live import Heard, LIVE, Played, record_of
from moss_perception.evaluation.matching import Attempt, executed_grasps
from moss_perception.evaluation.noticed import Look
from moss_perception.evaluation.record_files import merge, read_evaluation, write_evaluation
from moss_perception.evaluation.records import BagRecord, Evaluation
from moss_perception.models.manifest import read_header, verify

_NO_OUTCOME = ('{}: no outcome to hold the scores against: expected some on /grasp_outcome, or a '
               'CSV file of them')


@dataclass(frozen=True)
class Told:
    """
    Attempts that were told on topics.

    :ivar attempts: in order.
    :ivar unexecuted: numbers of those in which no grasp was executed.
    """

    attempts: Sequence[Attempt]
    unexecuted: Collection[int] = ()


class EvaluationJob:
    """
    Knows before a run what it is held against, and afterwards what came of it.

    :param settings: the parameters of bag_evaluator.
    :param say: takes a line for the one who watches.
    :raises MossError: if something given can't be used.
    """

    def __init__(self, settings: Any, say: Callable[[str], None]):
        self._settings, self._say = settings, say
        self._model = model_path(settings.model)
        self._sha256 = verify(self._model)
        self._config, _ = read_header(self._model)
        self._others = [read_evaluation(Path(x)) for x in settings.others]
        self._requirements = _requirements(settings.require)
        _make_folders(settings.record, settings.report)
        self._recorded = Recorded(settings) if settings.bag else None

    def finish(self, heard: Heard, told: Told, elapsed_s: float,
               pictures: Mapping[int, bytes] | None = None) -> bool:
        """
        Put a run on record, and report it where asked.

        :param heard: of the predictor.
        :param told: attempts that came on topics; those of the recording go before them.
        :param elapsed_s: that the run took, seconds.
        :param pictures: kept of its frames, JPEG files by stamp.
        :returns: whether what was required holds.
        :raises MossError: if the run is not fit to be reported, or nothing can be written.
        """
        evaluation = self._evaluate(heard, told, elapsed_s, pictures or {})
        record = evaluation.bags[0]
        for line in describe(record):
            self._say(line)
        if self._settings.record:
            write_evaluation(Path(self._settings.record), evaluation)
        if not self._settings.report:
            return True
        return self._report(merge([*self._others, evaluation]))

    def _evaluate(self, heard: Heard, told: Told, elapsed_s: float,
                  pictures: Mapping[int, bytes]) -> Evaluation:
        settings, said = self._settings, heard.diagnostics
        if said.get('model_sha256', self._sha256) != self._sha256:
            raise CheckpointError(
                f'the predictor runs the checkpoint {said["model_sha256"][:12]}: expected '
                f'{self._sha256[:12]}, which is {self._model}')
        if self._recorded is not None:
            played, told = self._recorded.played(heard, settings), Told(self._recorded.attempts)
        else:
            played = self._live(heard, told)
        if not told.attempts:
            raise MossError(_NO_OUTCOME.format(played.path))
        verified, notes, novelties = self._verify(heard) if settings.verify else ('', [], {})
        record = record_of(heard, told.attempts, played, elapsed_s, verified, notes,
                           told.unexecuted, novelties, pictures)
        return Evaluation(
            model=self._model.name, sha256=self._sha256, temperature=self._config.temperature,
            engine=said.get('engine', ''), threads=int(said.get('threads', 0)),
            orders=len(said.get('orders', '1').split(',')), bags=(record,))

    def _live(self, heard: Heard, told: Told) -> Played:
        settings = self._settings
        if len(told.attempts) < settings.attempts:
            raise MossError(f'the camera has gone after {len(told.attempts)} outcomes: expected '
                            f'{settings.attempts}')
        stamps = [stamp_ns for stamp_ns, _ in heard.fates]
        return Played(
            LIVE, settings.domain, heard.diagnostics.get('topic', ''),
            (max(stamps) - min(stamps)) / 1e9 if stamps else 0.0, None, settings.pace,
            settings.closed_loop, published=_published(settings.timing_log))

    def _verify(self, heard: Heard) -> tuple[str, list[str], Mapping[int, float]]:
        from moss_perception.evaluation.arrived import compare_with_replay
        if not heard.scores:
            return 'nothing was scored', [], {}
        self._say('scoring the frames that arrived once more, without topics')
        settings = self._settings
        found = compare_with_replay(
            settings.bag, heard, self._model, camera_info_topic=settings.camera_info_topic or None,
            candidates_topic=settings.candidates_topic)
        self._say(found.line())
        return found.line(), [] if found.agrees else [found.line()], found.novelties

    def _report(self, evaluation: Evaluation) -> bool:
        from moss_perception.evaluation.replay import recorded_images
        from moss_perception.evaluation.report import write_report
        folder = Path(self._settings.report)
        verdict = write_report(
            [evaluation], folder, reference_domain=self._settings.reference,
            requirements=self._requirements, images=recorded_images,
            threshold=self._settings.threshold,
            success_definition=self._settings.success_definition)
        self._say(f'wrote {folder}')
        for line in verdict.table().splitlines() if verdict.rows else ():
            self._say(line)
        return verdict.met


def describe(record: BagRecord) -> list[str]:
    """Put a record in a few lines."""
    fates = ', '.join(f'{count} {kind}' for kind, count in record.fates.items())
    lines = [f'{record.domain or record.path}: {record.frames} frames ({fates}), '
             f'{len(record.attempts)} attempts, '
             f'{sum(x.score == x.score for x in record.attempts)} scored']
    if record.closed_loop:
        from moss_perception.evaluation.report.played import executed
        of = executed(record)
        share = (f': {of["success"]:.1%} ({of["success_low"]:.1%} to {of["success_high"]:.1%})'
                 if of['executed'] else '')
        lines.append(f'{record.domain}: {of["succeeded"]} of {of["executed"]} executed grasps '
                     f'succeeded{share}')
    return lines + list(record.notes)


class Recorded:
    """
    What is known of a recording before it is played; of a damaged one, of what is there.

    :ivar attempts: in order.
    :raises BagError: if nothing can be read of it, or it has no outcomes.
    """

    def __init__(self, settings: Any):
        from moss_perception.data.attempts_csv import read_attempts
        from moss_perception.data.bags.reader import Recording
        with Recording(Path(settings.bag), salvage=True) as recording:
            _require_named(recording, settings)
            self._images = {topic.name: topic.count for topic in recording.image_topics()}
            self._duration_s = (recording.end_ns - recording.start_ns) / 1e9
            outcomes = read_attempts(settings.outcomes) if settings.outcomes \
                else recording.outcomes()
            self.attempts = executed_grasps(recording, outcomes)
            self._lost_share, self._damage = recording.lost_share, recording.damage
        if not self.attempts:
            raise BagError(_NO_OUTCOME.format(settings.bag))

    def played(self, heard: Heard, settings: Any) -> Played:
        """Say what has been played: the images that the predictor listened to."""
        topic = heard.diagnostics.get('topic', '')
        frames, seen = self._images.get(topic), None
        if frames is not None:
            look = self._look(settings, topic, heard, self._damage or len(heard.fates) < frames)
            frames, seen = look.count, look.seen
        return Played(settings.bag, settings.domain, topic, self._duration_s, frames,
                      settings.pace, lost_share=self._lost_share, damage=self._damage, seen=seen,
                      published=_published(settings.timing_log))

    def _look(self, settings: Any, topic: str, heard: Heard, doubtful: bool) -> Look:
        from moss_perception.data.bags.reader import Recording
        with Recording(Path(settings.bag), salvage=True) as recording:
            camera = recording.camera_info_topic(topic, settings.camera_info_topic or None)
            name = settings.candidates_topic
            candidates = recording.candidates_topic(name if name in recording.topics else '') or ''
            look = Look(recording, topic, candidates, camera or '', {x for x, _ in heard.fates})
            look.seen.calibrations = None if camera else recording.camera_info_topics(topic)
            # Damage within a file shows only where all of it is read.
            look.through(None if doubtful else [x for x in (topic, candidates, camera) if x])
            self._lost_share, self._damage = recording.lost_share, recording.damage
        return look


def _require_named(recording: Any, settings: Any) -> None:
    """Refuse what was named and is not there, before anything is played."""
    if settings.candidates_topic != CANDIDATES_TOPIC:
        recording.candidates_topic(settings.candidates_topic)
    if settings.camera_info_topic:
        recording.camera_info_topic('', settings.camera_info_topic)


def _make_folders(*paths: str) -> None:
    for path in filter(None, paths):
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MossError(f"{path} can't be written: {error.strerror}") from error


def _published(path: str) -> dict[int, int]:
    if not path or not Path(path).is_file():
        return {}
    with Path(path).open(newline='') as file:
        return {int(row['stamp_ns']): int(row['publish_monotonic_ns'])
                for row in csv.DictReader(file)}


def _requirements(text: str) -> list[str]:
    words = [word.strip() for word in text.split(';') if word.strip()]
    if words:
        from moss_perception.evaluation.thresholds import parse
        for word in words:
            parse(word)
    return words
