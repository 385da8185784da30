"""Replay several recordings with several checkpoints, in one process or in several."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
import functools
import math
from pathlib import Path
from typing import Any

from moss_perception.core.cameras import CameraSetup
from moss_perception.core.parallel import in_order
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
    :ivar outcomes: CSV file of the outcomes; ``None`` to use those in the recording.
    :ivar topics: the chosen topics, by the argument of
        :func:`moss_perception.evaluation.replay.replay`.
    :ivar setup: whether its images are rectified, and where the candidates' frame is; ``None`` if
        nobody says so.
    """

    path: str
    domain: str
    outcomes: str | None
    topics: Mapping[str, str]
    setup: CameraSetup | None = None


@dataclass(frozen=True)
class _Task:
    """A recording, or a part of it, and the checkpoint that scores it."""

    recording: EvaluationInput
    model: str
    sha256: str
    engine: str
    threads: int
    lead_time_s: float | None = None
    part: Part = WHOLE

    @property
    def name(self) -> str:
        return f'{Path(self.recording.path).name} by {Path(self.model).stem}'


def replay_all(recordings: Sequence[EvaluationInput], models: Sequence[Path], *, sha256: str,
               engine: str, threads: int, workers: int,
               lead_time_s: float | None = None) -> list[Evaluation]:
    """
    Evaluate each checkpoint on all recordings; show the progress on a terminal.

    :param sha256: expected digest of the checkpoint; empty to read SHA256SUMS beside it.
    :param threads: threads of an engine; 0: the engine chooses, or 1 with several workers.
    :param workers: number of processes; if there are more than recordings, they share them.
    :param lead_time_s: lead time of candidates without a recorded one, seconds; ``None`` for the
        default of each checkpoint.
    :raises MossError: if a recording or checkpoint can't be used.
    """
    threads = threads or (1 if workers > 1 else 0)
    tasks = [_Task(one, str(model), sha256, engine, threads, lead_time_s)
             for one in recordings for model in models]
    records: dict[str, list[BagRecord]] = {str(path): [] for path in models}
    with closing(_records(tasks, workers)) as coming:
        for task, record in zip(tasks, coming, strict=True):
            records[task.model].append(record)
    found = []
    for path in models:
        config, _ = read_header(path)
        found.append(Evaluation(
            model=path.name, sha256=verify(path, sha256), temperature=config.temperature,
            engine=engine, threads=threads, model_type=config.model,
            budget_level=config.levels[-1], bags=tuple(records[str(path)])))
    return found


def _records(tasks: Sequence[_Task], workers: int) -> Generator[BagRecord, None, None]:
    # disable=None: no progress bar unless a terminal is attached.
    if workers > 1:
        divided = [_divide(task, math.ceil(workers / len(tasks))) for task in tasks]
        every = [part for parts in divided for part in parts]
        with closing(in_order(_replay, every, workers, lambda task: task.name)) as found, tqdm(
                total=len(every), unit='part', leave=False, disable=None) as bar:
            for parts in divided:
                records = []
                for _ in parts:
                    records.append(next(found))
                    bar.update()
                yield merge(records)
        return
    for task in tasks:
        with tqdm(desc=task.name, unit='image', leave=False, disable=None) as bar:
            yield _replay(task, bar)


def _divide(task: _Task, count: int) -> list[_Task]:
    """Divide a recording if there are more workers than recordings."""
    if count < 2:
        return [task]
    config, _ = read_header(task.model)
    return [replace(task, part=part) for part in split(
        task.recording.path, task.recording.topics['image_topic'], config, count)]


def _replay(task: _Task, bar: tqdm | None = None) -> BagRecord:
    """Evaluate one recording, with engines that the worker process caches."""
    def progress(done: int, of: int) -> None:
        assert bar is not None  # else nobody asks for progress
        bar.total = of
        bar.update(done - bar.n)
    topics: dict[str, Any] = {**task.recording.topics}
    return replay(task.recording.path,
                  _predictor(task.model, task.sha256, task.engine, task.threads,
                             task.lead_time_s),
                  domain=task.recording.domain, attempts_csv=task.recording.outcomes,
                  progress=None if bar is None else progress, part=task.part,
                  setup=task.recording.setup, **topics)


@functools.lru_cache(maxsize=8)
def _predictor(model: str, sha256: str, engine: str, threads: int,
               lead_time_s: float | None) -> Predictor:
    return Predictor.load(model, sha256, engine, threads=threads, lead_time_s=lead_time_s)
