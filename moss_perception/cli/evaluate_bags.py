"""Measure checkpoints on recordings: ``evaluate BAG…``."""

import argparse
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
import functools
import logging
import math
import os
from pathlib import Path
from typing import Any

from moss_perception.cli.recording_topics import choose, topics_of
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.core.parallel import in_order
from moss_perception.core.resources import model_path
from moss_perception.evaluation.parts import merge, Part, split, WHOLE
from moss_perception.evaluation.records import BagRecord, Evaluation
from moss_perception.evaluation.thresholds import parse, Requirement, score_threshold, Verdict
from moss_perception.models.manifest import read_header, verify
from moss_perception.runtime.predictor import Predictor
from tqdm import tqdm

log = logging.getLogger('evaluate')

NOT_MET = 3


@dataclass(frozen=True)
class Task:
    """
    A recording and a checkpoint to evaluate it with.

    :ivar topics: the topics given by the user, by the argument of
        :func:`moss_perception.evaluation.replay.replay`.
    :ivar part: part of the recording.
    """

    bag: str
    domain: str
    outcomes: str | None
    topics: dict[str, str]
    model: str
    sha256: str
    engine: str
    threads: int
    part: Part = WHOLE


def evaluate_bags(arguments: argparse.Namespace) -> int:
    """
    Evaluate recordings, print the results and write the report.

    :param arguments: arguments of the command ``evaluate``.
    :returns: exit status: 0, or 3 if a requirement is not met.
    :raises MossError: if something can't be read, used or written.
    """
    requirements = prepare(arguments)
    if arguments.check:
        check_recordings(arguments)
        return 0
    if arguments.scores == 'recorded':
        from moss_perception.cli.evaluate_recorded import evaluate_outputs
        evaluations = evaluate_outputs(arguments, _recordings(arguments))
    else:
        evaluations = _replays(arguments)
    if len(arguments.outcomes) == 1:
        evaluations = [replace(x, bags=_with_shared_outcomes(x.bags)) for x in evaluations]
    for evaluation in evaluations:
        tell(evaluation, arguments.reference or 'sim')
    if arguments.record:
        from moss_perception.evaluation.records import write_evaluation
        write_evaluation(Path(arguments.record), evaluations[0])
    return conclude(evaluations, arguments, requirements)


def check_recordings(arguments: argparse.Namespace) -> None:
    """
    Check that recordings have the topics and the outcomes that an evaluation needs.

    :raises MossError: if one does not.
    """
    from moss_perception.data.bags.reader import Recording
    from moss_perception.data.outcomes import read_attempts
    topics = topics_of(arguments)
    _models(arguments)
    for _, bag, table in _recordings(arguments):
        with Recording(bag, salvage=True) as recording:
            images = recording.image_topic(topics.get('image_topic'))
            recording.camera_info_topic(images.name, topics.get('camera_info_topic'))
            recording.candidates_topic(topics.get('candidates_topic', ''))
            outcomes = (read_attempts(table) if table else
                        recording.outcomes(topics.get('outcome_topic')))
            recording.executed(topics.get('executed_topic'))
        if not outcomes:
            raise BagError(f'{bag}: no outcomes to compare the scores with: expected some on '
                           '/grasp_outcome, or a CSV file of them')


def _replays(arguments: argparse.Namespace) -> list[Evaluation]:
    """Replay the recordings through each checkpoint."""
    models = _models(arguments)
    tasks = _tasks(arguments, models)
    records: dict[str, list[BagRecord]] = {str(path): [] for path in models}
    with closing(_records(tasks, arguments.workers or 1)) as coming:
        for task, record in zip(tasks, coming, strict=True):
            records[task.model].append(record)
    return [_evaluation(Path(path), found, arguments) for path, found in records.items()]


def prepare(arguments: argparse.Namespace) -> list[Requirement]:
    """
    Check before a long run that its results can be reported.

    :returns: the requirements.
    :raises MossError: if a requirement or the threshold is not allowed, a package is missing, or
        an output folder can't be written.
    """
    requirements = [parse(text) for text in arguments.require]
    score_threshold(arguments.threshold)
    if requirements or arguments.report:
        from moss_perception.evaluation.report import require
        require()
    for name in filter(None, (arguments.report, arguments.record)):
        _check_place(Path(name))
    return requirements


def _check_place(path: Path) -> None:
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ConfigError(f"{path} can't be written: expected a writable folder, "
                          f'{folder} is not one')


def _models(arguments: argparse.Namespace) -> list[Path]:
    paths = [model_path(x) for x in arguments.model or ['']]
    if len(set(paths)) < len(paths):
        raise ConfigError(f'--model names a file twice: {", ".join(map(str, paths))}')
    if arguments.sha256 and len(paths) > 1:
        raise ConfigError('--sha256 is given for several checkpoints: expected one checkpoint, or '
                          'a SHA256SUMS file beside them')
    for path in paths:
        verify(path, arguments.sha256)
    return paths


def _tasks(arguments: argparse.Namespace, models: Sequence[Path]) -> list[Task]:
    if arguments.threads < 0 or arguments.workers < 0:
        raise ConfigError(f'--threads {arguments.threads} and --workers {arguments.workers}: '
                          'expected numbers of at least 0')
    topics = topics_of(arguments)
    threads = arguments.threads or (1 if arguments.workers > 1 else 0)
    tasks = []
    for domain, bag, table in _recordings(arguments):
        chosen = choose(bag, topics)
        tasks += [Task(bag, domain, table, chosen, str(model), arguments.sha256,
                       arguments.engine, threads) for model in models]
    return tasks


def _recordings(arguments: argparse.Namespace) -> list[tuple[str, str, str | None]]:
    """Return the domain, path and outcomes file of each recording."""
    named = [x.partition('=')[::2] for x in arguments.named_bags]
    bags = [_domain_of(x) for x in arguments.bags] + named
    outcomes = arguments.outcomes * len(bags) if len(arguments.outcomes) == 1 else (
        arguments.outcomes or [None] * len(bags))
    if len(outcomes) != len(bags):
        raise ConfigError(f'--outcomes names {len(outcomes)} files for {len(bags)} recordings: '
                          'expected one for all, or one for each')
    return [(domain, bag, table or None)
            for (domain, bag), table in zip(bags, outcomes, strict=True)]


def _domain_of(text: str) -> tuple[str, str]:
    """Split ``DOMAIN:BAG``, unless a file or folder has the whole text as its name."""
    domain, colon, bag = text.partition(':')
    split = colon and bag and '/' not in domain and not Path(text).exists()
    return (domain, bag) if split else ('', text)


def _records(tasks: Sequence[Task], workers: int) -> Generator[BagRecord, None, None]:
    # No progress where nobody watches.
    if workers > 1:
        divided = [_parts(task, math.ceil(workers / len(tasks))) for task in tasks]
        every = [part for parts in divided for part in parts]
        with closing(in_order(_replay, every, workers, _name)) as found, tqdm(
                total=len(every), unit='part', leave=False, disable=None) as bar:
            for parts in divided:
                records = []
                for _ in parts:
                    records.append(next(found))
                    bar.update()
                yield merge(records)
        return
    for task in tasks:
        with tqdm(desc=_name(task), unit='image', leave=False, disable=None) as bar:
            yield _replay(task, bar)


def _parts(task: Task, count: int) -> list[Task]:
    """Divide a recording if there are more workers than recordings."""
    if count < 2:
        return [task]
    config, _ = read_header(task.model)
    return [replace(task, part=part)
            for part in split(task.bag, task.topics['image_topic'], config, count)]


def _name(task: Task) -> str:
    return f'{Path(task.bag).name} by {Path(task.model).stem}'


def _replay(task: Task, bar: tqdm | None = None) -> BagRecord:
    """Evaluate one recording, with engines that the worker process caches."""
    from moss_perception.evaluation.replay import replay

    def progress(done: int, of: int) -> None:
        assert bar is not None  # else nobody asks for progress
        bar.total = of
        bar.update(done - bar.n)
    predictor = _predictor(task.model, task.sha256, task.engine, task.threads)
    topics: dict[str, Any] = {**task.topics}
    return replay(task.bag, predictor, domain=task.domain, attempts_csv=task.outcomes,
                  progress=None if bar is None else progress, part=task.part,
                  **topics)


@functools.lru_cache(maxsize=8)
def _predictor(model: str, sha256: str, engine: str, threads: int) -> Predictor:
    return Predictor.load(model, sha256, engine, threads=threads)


def _with_shared_outcomes(records: Sequence[BagRecord]) -> tuple[BagRecord, ...]:
    """Keep outcomes of a shared table as unmatched only if no recording has matched them."""
    met = {x.attempt for record in records for x in record.attempts}
    return tuple(replace(record, unmatched=tuple(
        one for one in record.unmatched if one.attempt not in met)) for record in records)


def _evaluation(path: Path, records: list[BagRecord],
                arguments: argparse.Namespace) -> Evaluation:
    config, _ = read_header(path)
    workers = arguments.workers or 1
    return Evaluation(
        model=path.name, sha256=verify(path, arguments.sha256), temperature=config.temperature,
        engine=arguments.engine, threads=arguments.threads or (1 if workers > 1 else 0),
        model_type=config.model, budget_level=config.levels[-1], bags=tuple(records))


def tell(evaluation: Evaluation, reference: str) -> None:
    """Print the results of each domain."""
    from moss_perception.evaluation.intervals import bootstrap_interval
    from moss_perception.evaluation.metrics import auroc
    from moss_perception.evaluation.report.recordings import pool
    print(', '.join(filter(None, (
        evaluation.model, f'sha256 {evaluation.sha256[:12]}', evaluation.engine,
        evaluation.network))))
    for record in evaluation.bags:
        print(f'  {record.path}: {_describe(record)}')
        if record.closed_loop:
            print(f'    {_closed_loop(record)}')
        for line in (*record.unmatched, *record.notes):
            print(f'    note: {line}')
    for number, one in enumerate(pool(evaluation, reference)):
        sample, held = one.scored, one.labels.sum()
        line = f'{held} of {len(one.attempts)} attempts succeeded, {len(sample)} scored'
        if one.not_executed:
            line += f', not_executed: {one.not_executed} more'
        if sample.labels.any() and not sample.labels.all():
            # The same groups and random draws as in the report give the same interval.
            found = bootstrap_interval(auroc, sample, seed=number)
            line += f'; AUROC {found.value:.3f} ({found.low:.3f} to {found.high:.3f})'
        elif one.attempts:
            line += '; AUROC is undefined: expected scored attempts of both outcomes'
        print(f'  {one.name}: {line}')


def _describe(record: BagRecord) -> str:
    statuses = ', '.join(f'{count} {kind}' for kind, count in record.by_status.items() if count)
    rate = record.duration_s / record.elapsed_s if record.elapsed_s else math.nan
    images = f'{record.frames} images on {record.image_topic or "no topic"} ({statuses})'
    if record.pace != 'offline':
        return f'{images}, recorded scores, {record.pace}'
    return (f'{images}, {record.duration_s:.1f} s in {record.elapsed_s:.1f} s, '
            f'{rate:.1f} times real time')


def _closed_loop(record: BagRecord) -> str:
    from moss_perception.evaluation.report.recordings import count_executed
    of = count_executed(record)
    share = (f': {of["success"]:.1%} ({of["success_low"]:.1%} to {of["success_high"]:.1%})'
             if of['executed'] else '')
    return f'{of["succeeded"]} of {of["executed"]} executed grasps succeeded{share}'


def conclude(evaluations: list[Evaluation], arguments: argparse.Namespace,
             requirements: list) -> int:
    """Write the report, check the requirements and return the exit status."""
    reference, threshold = arguments.reference or 'sim', score_threshold(arguments.threshold)
    if arguments.report:
        from moss_perception.evaluation.pictures import recorded_images
        from moss_perception.evaluation.report import write_report
        folder = Path(arguments.report)
        verdict = write_report(evaluations, folder, reference_domain=reference,
                               requirements=requirements, images=recorded_images,
                               threshold=threshold,
                               success_definition=arguments.success_definition or '')
        print(f'report: {folder / "report.html"}')
    elif requirements:
        verdict = _check(evaluations[0], reference, threshold, requirements)
    else:
        return 0
    if verdict.rows:
        print(verdict.table())
    return 0 if verdict.met else NOT_MET


def _check(evaluation: Evaluation, reference: str, threshold: float,
           requirements: list) -> Verdict:
    from moss_perception.evaluation.report.files import figures_of
    from moss_perception.evaluation.report.summary import summarise
    from moss_perception.evaluation.thresholds import check
    return check(requirements, figures_of(summarise(evaluation, reference, threshold)), reference)
