"""Report saved results: ``evaluate --records FILE…``."""

import argparse
import logging
from pathlib import Path

from moss_perception.cli.evaluate_bags import conclude, prepare, tell
from moss_perception.core.errors import ConfigError
from moss_perception.evaluation.records import by_checkpoint, read_evaluation
from moss_perception.evaluation.report.recordings import name_of

log = logging.getLogger('evaluate')


def evaluate_records(arguments: argparse.Namespace) -> int:
    """
    Read records of one or several checkpoints, print their results and write the report.

    :param arguments: arguments of the command ``evaluate``.
    :returns: exit status: 0, or 3 if a requirement is not met.
    :raises MossError: if something can't be read, used or written.
    """
    requirements = prepare(arguments)
    paths = [Path(name).expanduser().absolute() for name in arguments.records]
    if len(set(paths)) < len(paths):
        raise ConfigError(f'--records names a file twice: {", ".join(arguments.records)}')
    evaluations = by_checkpoint(read_evaluation(path) for path in paths)
    domains = [sorted({name_of(bag) for bag in one.bags}) for one in evaluations]
    for evaluation, there in zip(evaluations, domains, strict=True):
        tell(evaluation, arguments.reference or 'sim')
        if there != domains[0]:
            log.warning('%s (%s) has the domains %s, the first checkpoint has %s: only domains of '
                        'all checkpoints are ranked', evaluation.model, evaluation.sha256[:12],
                        ', '.join(there), ', '.join(domains[0]))
    return conclude(evaluations, arguments, requirements)
