"""From evaluations to files: measure, check what is required, draw, write."""

from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

from moss_perception.core.errors import ConfigError, MossError
from moss_perception.evaluation.records import Evaluation
from moss_perception.evaluation.thresholds import check, parse, Requirement, Verdict

_NEEDS = {'scipy': 'scipy', 'sklearn': 'scikit-learn', 'matplotlib': 'matplotlib',
          'jinja2': 'jinja2'}


def require() -> None:
    """
    Check that what a report takes is installed.

    :raises MossError: naming what is missing.
    """
    missing = [package for module, package in _NEEDS.items() if find_spec(module) is None]
    if missing:
        raise MossError(f'a report needs {", ".join(missing)}, which is missing here: '
                        f'pip install {" ".join(missing)}')


def write_report(evaluations: Sequence[Evaluation], folder: Path, *, reference_domain: str = 'sim',
                 requirements: Sequence[Requirement | str] = (), images=None,
                 threshold: float = 0.5, success_definition: str = '') -> Verdict:
    """
    Write ``report.html``, ``report.json`` and ``attempts.csv``: all three or none.

    :param evaluations: one a checkpoint, of the same recordings, or of attempts of its own; the
        first is the one that the page is about, and the one that is required of.
    :param folder: made if missing; files of other names in it stay.
    :param reference_domain: the simulated one, with which others are compared.
    :param requirements: such as ``auroc>=0.8``; see :mod:`moss_perception.evaluation.thresholds`.
    :param images: ``images(bag, stamps) -> {stamp_ns: uint8 RGB array}`` fetches frames for the
        film strips; ``None`` leaves the frames out.
    :param threshold: scores from here on say that a grasp will hold, in [0, 1].
    :param success_definition: what counts as a success, in a sentence; empty for the usual one.
    :returns: whether all requirements hold, and each of them.
    :raises ConfigError: if a requirement can't be understood, or there is no evaluation.
    :raises MossError: if SciPy, scikit-learn, matplotlib or jinja2 is missing, or nothing can be
        written.
    """
    require()
    # These load what require() has just looked for.
    from moss_perception.evaluation.report import files
    from moss_perception.evaluation.report.costs import figures_of
    from moss_perception.evaluation.report.page import render
    from moss_perception.evaluation.report.summary import summarise
    needs = [parse(one) if isinstance(one, str) else one for one in requirements]
    if not evaluations:
        raise ConfigError('there is nothing to report: expected at least one evaluation')
    if not 0 <= threshold <= 1:
        raise ConfigError(f'threshold={threshold!r} is not allowed: expected one in [0, 1]')
    summaries = [summarise(one, reference_domain, threshold) for one in evaluations]
    verdict = check(needs, figures_of(summaries[0]), reference_domain)
    written = f'{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC'
    files.publish(folder, {
        'report.html': render(summaries, verdict, written, images, success_definition),
        'report.json': files.as_json(summaries, verdict, written),
        'attempts.csv': files.as_csv(summaries)})
    return verdict
