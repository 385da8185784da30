"""``moss evaluate``: print results, report them, and check the requirements."""

import argparse
from collections.abc import Sequence
import json
import logging
import math
import os
from pathlib import Path

from moss_perception.cli.common import cpu_name, write_bytes
from moss_perception.core.errors import ConfigError
from moss_perception.core.text import one_line
from moss_perception.evaluation.records import BagRecord, Evaluation
from moss_perception.evaluation.thresholds import check, parse, Requirement, score_threshold

log = logging.getLogger('evaluate')

NOT_MET = 3
DEFAULT_REFERENCE = 'sim'


def evaluate_records(arguments: argparse.Namespace) -> int:
    """
    Read records of one or several checkpoints, print their results and write the report.

    :param arguments: arguments of the command ``evaluate``.
    :returns: exit status: 0, or 3 if a requirement is not met.
    :raises MossError: if something can't be read, used or written.
    """
    from moss_perception.evaluation.record_files import by_checkpoint, read_evaluation
    requirements = prepare(arguments)
    paths = [Path(name).expanduser().absolute() for name in arguments.records]
    if len(set(paths)) < len(paths):
        raise ConfigError(f'--records names a file twice: {", ".join(arguments.records)}')
    evaluations = by_checkpoint(read_evaluation(path) for path in paths)
    if arguments.latencies:
        _write_latencies(Path(arguments.latencies), evaluations)
    _print_all(evaluations, arguments.reference)
    return conclude(evaluations, arguments, requirements)


def evaluate_merged(arguments: argparse.Namespace) -> int:
    """
    Combine the shards of the newest run of each checkpoint, or of all, and report them.

    :param arguments: arguments of the command ``evaluate``.
    :returns: exit status: 0, or 3 if a requirement is not met.
    :raises MossError: if something can't be read, used or written.
    """
    from moss_perception.core.resources import model_path
    from moss_perception.evaluation.runs import merge_runs
    from moss_perception.models.manifest import verify
    requirements = prepare(arguments)
    evaluations = merge_runs(
        [Path(name).expanduser() for name in arguments.merge],
        [verify(model_path(x), arguments.sha256) for x in arguments.model], arguments.all_runs)
    save(evaluations, arguments.record)
    _print_all(evaluations, arguments.reference)
    return conclude(evaluations, arguments, requirements)


def save(evaluations: Sequence[Evaluation], path: str | None) -> None:
    """
    Save the results of a checkpoint, if there is a path.

    :raises MossError: if there are several checkpoints, or the file can't be written.
    """
    from moss_perception.evaluation.record_files import write_evaluation
    if path:
        _require_one(path, len(evaluations))
        write_evaluation(Path(path), evaluations[0])


def _require_one(path: str, checkpoints: int) -> None:
    if checkpoints > 1:
        raise ConfigError(f'--record {path} saves the results of one checkpoint, and there are '
                          f'{checkpoints}: expected one --model, and a file for each')


def _print_all(evaluations: Sequence[Evaluation], reference: str | None) -> None:
    """Print the results of checkpoints that may have been evaluated on different recordings."""
    from moss_perception.evaluation.report.recordings import name_of
    print_results(evaluations, reference)
    first, *others = [sorted({name_of(bag) for bag in one.bags}) for one in evaluations]
    for evaluation, domains in zip(evaluations[1:], others, strict=True):
        if domains != first:
            log.warning('%s (%s) has the domains %s, the first checkpoint has %s: only domains of '
                        'all checkpoints are ranked', evaluation.model, evaluation.sha256[:12],
                        ', '.join(domains), ', '.join(first))


def _write_latencies(path: Path, evaluations: Sequence[Evaluation]) -> None:
    from moss_perception.evaluation.latencies import summarise, table
    from moss_perception.evaluation.record_files import plain
    summary = summarise(evaluations)
    machine = {'cpu': cpu_name(), 'cores': os.cpu_count(), 'niceness': os.nice(0)}
    write_bytes(path, json.dumps(plain(summary | {'machine': machine}), indent=1).encode())
    print(table(summary))
    print(f'latencies: {path}')


def prepare(arguments: argparse.Namespace) -> list[Requirement]:
    """
    Check before a long run that its results can be reported.

    :returns: the requirements.
    :raises MossError: if a requirement or the threshold is not allowed, a package is missing, an
        output folder can't be written, or one file is to hold the results of several checkpoints.
    """
    requirements = [parse(text) for text in arguments.require]
    if arguments.record and arguments.scores != 'recorded':
        # Recorded scores may be of one of the checkpoints that are named.
        _require_one(arguments.record, len(arguments.model))
    score_threshold(arguments.threshold)
    if requirements or arguments.report:
        from moss_perception.evaluation.report import require
        require()
    for name in filter(None, (arguments.report, arguments.record, arguments.latencies,
                              arguments.store)):
        folder = Path(name).absolute().parent
        while not folder.exists():
            folder = folder.parent
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise ConfigError(f"{name} can't be written: expected a writable folder, "
                              f'{folder} is not one')
    return requirements


def print_results(evaluations: Sequence[Evaluation], reference: str | None) -> None:
    """Print what may make the figures wrong, then the results of each recording and domain."""
    from moss_perception.evaluation.report.recordings import pool
    from moss_perception.evaluation.report.warnings import warnings
    pools = [pool(one, reference or DEFAULT_REFERENCE) for one in evaluations]
    for line in dict.fromkeys(line for domains in pools for line in warnings(domains)):
        print(f'WARNING: {one_line(line)}')
    for evaluation, domains in zip(evaluations, pools, strict=True):
        print(', '.join(filter(None, (
            evaluation.model, f'sha256 {evaluation.sha256[:12]}', evaluation.engine,
            evaluation.network))))
        for record in evaluation.bags:
            print(f'  {one_line(record.path)}: {one_line(_describe(record))}')
            if record.closed_loop:
                print(f'    {_closed_loop(record)}')
            for line in (*record.unmatched, *record.notes, *filter(None, [record.repeats])):
                print(f'    note: {one_line(line)}')
        for number, domain in enumerate(domains):
            # The same groups and random draws as in the report give the same interval.
            print(f'  {one_line(domain.name)}: {_describe_domain(domain, seed=number)}')


def _describe(record: BagRecord) -> str:
    counts = ', '.join(f'{count} {kind}' for kind, count in record.by_status.items() if count)
    rate = record.duration_s / record.elapsed_s if record.elapsed_s else math.nan
    images = f'{record.frames} images on {record.image_topic or "no topic"} ({counts})'
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


def _describe_domain(domain, seed: int) -> str:
    from moss_perception.evaluation.intervals import measure_interval
    sample = domain.scored
    line = (f'{domain.labels.sum()} of {len(domain.attempts)} attempts succeeded, '
            f'{len(sample)} scored')
    if domain.not_executed:
        line += f', not_executed: {domain.not_executed} more'
    if not domain.attempts:
        return line
    if (share := domain.shares['default_share']) > 0:
        line += f' ({share:.0%} of the attempts at the default grasp point)'
    found = measure_interval('auroc', sample, seed=seed)
    if not found.defined:
        return f'{line}; AUROC is undefined: {found.why}'
    return f'{line}; AUROC {found.value:.3f} ({found.low:.3f} to {found.high:.3f})'


def conclude(evaluations: list[Evaluation], arguments: argparse.Namespace,
             requirements: list[Requirement]) -> int:
    """Write the report, check the requirements and return the exit status."""
    reference = arguments.reference or DEFAULT_REFERENCE
    threshold = score_threshold(arguments.threshold)
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
        from moss_perception.evaluation.report.files import figures_of
        from moss_perception.evaluation.report.summary import summarise
        verdict = check(requirements, figures_of(
            [summarise(one, reference, threshold) for one in evaluations]), reference)
    else:
        return 0
    if verdict.rows:
        print(verdict.table())
    return 0 if verdict.met else NOT_MET
