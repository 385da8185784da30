"""A report of evaluations: one page to look at, with its values as JSON and CSV."""

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
    Check that the packages for a report are installed.

    :raises MossError: if one is missing.
    """
    missing = [package for module, package in _NEEDS.items() if find_spec(module) is None]
    if missing:
        raise MossError(f'a report needs {", ".join(missing)}, which is not installed: '
                        f'pip install {" ".join(missing)}')


def write_report(evaluations: Sequence[Evaluation], folder: Path, *, reference_domain: str = 'sim',
                 requirements: Sequence[Requirement | str] = (), images=None,
                 threshold: float = 0.5, success_definition: str = '') -> Verdict:
    """
    Write ``report.html``, ``report.json`` and ``attempts.csv``: either all three or none.

    :param evaluations: one per checkpoint, of the same recordings or of separate attempts. The
        page and the requirements apply to the first.
    :param folder: created if missing; other files in it are kept.
    :param reference_domain: the simulated domain, to compare others with.
    :param requirements: such as ``auroc>=0.8``; see :mod:`moss_perception.evaluation.thresholds`.
    :param images: ``images(bag, stamps) -> {stamp_ns: uint8 RGB array}`` fetches frames for the
        film strips; ``None`` leaves the frames out.
    :param threshold: lowest score that predicts a success, in [0, 1].
    :param success_definition: definition of a success in one sentence; empty for the default.
    :returns: the result of the requirements.
    :raises ConfigError: if a requirement can't be understood, or there is no evaluation.
    :raises MossError: if a package is missing (see :func:`require`), or a file can't be written.
    """
    require()
    # These modules import the packages that require() checks.
    from moss_perception.evaluation.report import files, over_time
    from moss_perception.evaluation.report.page import render
    from moss_perception.evaluation.report.summary import summarise
    needs = [parse(one) if isinstance(one, str) else one for one in requirements]
    if not evaluations:
        raise ConfigError('there is nothing to report: expected at least one evaluation')
    if not 0 <= threshold <= 1:
        raise ConfigError(f'threshold={threshold!r} is not allowed: expected one in [0, 1]')
    summaries = [summarise(one, reference_domain, threshold) for one in evaluations]
    verdict = check(needs, files.figures_of(summaries), reference_domain)
    months = over_time.measure(summaries)
    written = f'{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC'
    files.publish(folder, {
        'report.html': render(summaries, months, verdict, written, images, success_definition),
        'report.json': files.as_json(summaries, months, verdict, written),
        'attempts.csv': files.as_csv(summaries)})
    return verdict
