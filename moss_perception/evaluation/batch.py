"""Replay several recordings with several checkpoints, in one process or in several."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
import functools
import math
from pathlib import Path
import platform
from typing import Any

from moss_perception.core.cameras import CameraSetup
from moss_perception.core.errors import MossError
from moss_perception.core.parallel import in_order, is_shared, PROCESSES
from moss_perception.data.remote import Cache, is_address, local
from moss_perception.evaluation.digests import code_digest, recording_digest
from moss_perception.evaluation.parts import merge, Part, split, WHOLE
from moss_perception.evaluation.records import BagRecord, Evaluation
from moss_perception.evaluation.replay import replay
from moss_perception.models.manifest import read_header, verify
from moss_perception.runtime.predictor import Predictor
from tqdm import tqdm


@dataclass(frozen=True)
class EvaluationInput:
    """
    A recording to evaluate.

    :ivar domain: its domain; empty to use that of the outcomes.
    :ivar outcomes: table of the outcomes, CSV or XLSX; ``None`` to use those in the recording.
    :ivar topics: the chosen topics, by the argument of
        :func:`moss_perception.evaluation.replay.replay`.
    :ivar setup: whether its images are rectified, where the candidates' frame is, and perhaps the
        calibration; ``None`` if nobody says so.
    """

    path: str
    domain: str = ''
    outcomes: str | None = None
    topics: Mapping[str, str] = field(default_factory=dict)
    setup: CameraSetup | None = None

    @property
    def table(self) -> str:
        """The path of its table, by which recordings share one; empty without a table."""
        return str(Path(self.outcomes)) if self.outcomes else ''


@dataclass(frozen=True)
class Work:
    """
    How recordings are evaluated.

    :ivar sha256: expected digest of the checkpoint; empty to read SHA256SUMS beside it.
    :ivar threads: threads of an engine; 0: the engine chooses, or 1 with several workers.
    :ivar workers: number of processes; if there are more than recordings, they share them.
    :ivar executor: what runs them: one of :data:`moss_perception.core.parallel.EXECUTORS`.
    :ivar lead_time_s: lead time of candidates without a recorded one, seconds; ``None`` for the
        default of each checkpoint.
    :ivar cache: where recordings at addresses are copied to; ``None`` if there are none.
    :ivar code: digest of the code that each worker must have; empty for any.
    """

    sha256: str = ''
    engine: str = 'onnxruntime'
    threads: int = 0
    workers: int = 1
    executor: str = PROCESSES
    lead_time_s: float | None = None
    cache: Cache | None = None
    code: str = ''

    @property
    def is_shared(self) -> bool:
        """Whether other processes do the work."""
        return is_shared(self.workers, self.executor)


@dataclass(frozen=True)
class Task:
    """
    A recording, or a part of it, and the checkpoint that scores it.

    :ivar digest: of the recording; empty if it is not known, and None if nobody asks for it.
    """

    recording: EvaluationInput
    model: str
    work: Work
    digest: str | None = None
    part: Part = WHOLE

    @property
    def name(self) -> str:
        """Return what messages call it."""
        return f'{Path(self.recording.path).name} by {Path(self.model).stem}'


@dataclass(frozen=True)
class Done:
    """
    What became of a task.

    :ivar record: of the recording; ``None`` if it can't be used.
    :ivar digest: of the recording; empty if nobody asked for it.
    :ivar why: why it can't be used, in a line; else empty.
    """

    record: BagRecord | None = None
    digest: str = ''
    why: str = ''


def tasks_of(recordings: Sequence[EvaluationInput], models: Sequence[Path],
             work: Work) -> list[Task]:
    """List a task for each recording and checkpoint, in the order of the recordings."""
    return [Task(one, str(model), work) for one in recordings for model in models]


def replay_all(recordings: Sequence[EvaluationInput], models: Sequence[Path],
               work: Work) -> list[Evaluation]:
    """
    Evaluate each checkpoint on all recordings; show the progress on a terminal.

    :raises MossError: if a recording or checkpoint can't be used.
    """
    work = replace(work, threads=work.threads or (1 if work.is_shared else 0),
                   code=code_digest() if work.is_shared else '')
    tasks = tasks_of(recordings, models, work)
    records: dict[str, list[BagRecord]] = {str(path): [] for path in models}
    with closing(run(tasks, work, evaluate_part)) as coming:
        for task, done in zip(tasks, coming, strict=True):
            assert done.record is not None  # else the error was raised
            records[task.model].append(done.record)
    return [evaluation_of(path, work, records[str(path)]) for path in models]


def evaluation_of(model: Path, work: Work, bags: Sequence[BagRecord]) -> Evaluation:
    """
    Combine the records of a checkpoint.

    :raises CheckpointError: if it can't be used.
    """
    config, _ = read_header(model)
    return Evaluation(
        model=model.name, sha256=verify(model, work.sha256), temperature=config.temperature,
        engine=work.engine, threads=work.threads, model_type=config.model,
        budget_level=config.levels[-1], bags=tuple(bags))


def run(tasks: Sequence[Task], work: Work,
        evaluate: Callable[..., Done]) -> Generator[Done, None, None]:
    """
    Do tasks here or in several processes, and yield what became of each in their order.

    :param evaluate: :func:`evaluate_part` or :func:`try_part`.
    :raises MossError: if ``evaluate`` raises it.
    """
    # disable=None: no progress bar unless a terminal is attached.
    if not work.is_shared:
        for task in tasks:
            with tqdm(desc=task.name, unit='image', leave=False, disable=None) as bar:
                yield evaluate(task, bar)
        return
    divided = [_divide(task, math.ceil(work.workers / len(tasks))) for task in tasks]
    every = [part for parts in divided for part in parts]
    with closing(in_order(evaluate, every, work.workers, lambda task: task.name,
                          work.executor)) as found, tqdm(
            total=len(every), unit='part', leave=False, disable=None) as bar:
        for parts in divided:
            of_task = []
            for _ in parts:
                of_task.append(next(found))
                bar.update()
            yield _merge(of_task)


def _merge(parts: Sequence[Done]) -> Done:
    records = [one.record for one in parts if one.record is not None]
    if len(records) < len(parts):
        return next(one for one in parts if one.record is None)
    return replace(parts[0], record=merge(records))


def _divide(task: Task, count: int) -> list[Task]:
    """Divide a recording if there are more workers than recordings."""
    # Each worker would fetch a recording at an address as a whole.
    if count < 2 or is_address(task.recording.path):
        return [task]
    config, _ = read_header(task.model)
    topic = task.recording.topics.get('image_topic')
    try:
        return [replace(task, part=part) for part in split(
            task.recording.path, topic, config, count)] if topic else [task]
    except MossError:
        # Whoever evaluates it says so.
        return [task]


def evaluate_part(task: Task, bar: tqdm | None = None) -> Done:
    """
    Evaluate a recording or a part of it, with engines that the process caches.

    :raises MossError: if the recording or checkpoint can't be used.
    """
    def progress(done: int, of: int) -> None:
        assert bar is not None  # else nobody asks for progress
        bar.total = of
        bar.update(done - bar.n)
    one, work = task.recording, task.work
    if work.code and work.code != code_digest():
        raise MossError(f'{platform.node()} has other code or packages than the machine that '
                        'started the work: expected the same')
    topics: dict[str, Any] = {**one.topics}
    with local(one.path, work.cache) as path:
        record = replay(path,
                        _predictor(task.model, work.sha256, work.engine, work.threads,
                                   work.lead_time_s),
                        domain=one.domain, attempts_csv=one.outcomes,
                        progress=None if bar is None else progress, part=task.part,
                        setup=one.setup, **topics)
        digest = recording_digest(path) if task.digest == '' else task.digest or ''
    return Done(replace(record, path=one.path), digest)


def try_part(task: Task, bar: tqdm | None = None) -> Done:
    """Evaluate as :func:`evaluate_part`, and return an error instead of raising it."""
    try:
        return evaluate_part(task, bar)
    except MossError as error:
        return Done(why=str(error))


@functools.lru_cache(maxsize=8)
def _predictor(model: str, sha256: str, engine: str, threads: int,
               lead_time_s: float | None) -> Predictor:
    return Predictor.load(model, sha256, engine, threads=threads, lead_time_s=lead_time_s)
