"""The page: its sections in order."""

from collections.abc import Sequence

from moss_perception.evaluation.records import BagRecord
from moss_perception.evaluation.report import (
    checkpoints,
    factors,
    figures,
    glance,
    html,
    played,
    quality,
    strips,
    trust,
)
from moss_perception.evaluation.report.costs import costs
from moss_perception.evaluation.report.pooling import factor_of, name_of
from moss_perception.evaluation.report.style import SHEET
from moss_perception.evaluation.report.summary import Summary
from moss_perception.evaluation.thresholds import Verdict
import numpy as np

_PLACES = {'counted': 'counts', 'quality': 'quality', 'factors': 'single shifts',
           'calibration': 'calibration', 'scores': 'scores', 'early': 'how early',
           'novelty': 'shift monitor',
           'checkpoints': 'checkpoints', 'strips': 'film strips', 'closed-loop': 'closed loop',
           'played': 'over topics', 'recordings': 'recordings'}


def render(summaries: Sequence[Summary], verdict: Verdict, written: str,
           images: strips.Images | None = None, success_definition: str = '') -> str:
    """
    Make the page.

    :param summaries: of the same recordings, one a checkpoint; the page is about the first.
    :param written: when, in words.
    :param images: fetches frames; see :func:`moss_perception.evaluation.report.write_report`.
    :param success_definition: what counts as a success; empty for the usual sentence.
    :returns: one HTML document, with everything in it.
    """
    first = summaries[0]
    sections = [*glance.counted(first, success_definition), *quality.section(first),
                *factors.section(first),
                *trust.calibration(first), *trust.distributions(first), *trust.early(first),
                *trust.novelty(first), *_checkpoints(summaries), *_strips(first, images),
                *played.section(first.evaluation.bags), *_recordings(first.evaluation.bags)]
    links = [html.tag('a', name, href=f'#{place}') for place, name in _PLACES.items()
             if any(f'id="{place}"' in part for part in sections)]
    return html.page(f'Evaluation of {first.evaluation.model}', SHEET, [
        *_head(first, written, len(summaries)), *glance.requirements(verdict),
        html.tag('nav', *links), glance.cards(first), glance.findings(first),
        *glance.read_first(first), *sections])


def _head(first: Summary, written: str, checkpoints_: int) -> list[html.Markup]:
    of = first.evaluation
    threads = {0: 'threads of its own choice', 1: 'one thread'}.get(
        of.threads, f'{of.threads} threads')
    others = (f' {checkpoints_ - 1} more checkpoint{"s" * (checkpoints_ > 2)} '
              'for comparison.' if checkpoints_ > 1 else '')
    return [html.tag('h1', f'Grasp scores of {of.model}'), html.tag(
        'p', f'{len(of.bags)} recording{"s" * (len(of.bags) != 1)}, engine {of.engine}, '
        f'{threads}, self-similarity orders 1 to {of.orders}.{others} Written {written}. '
        'sha256 ', html.tag('code', of.sha256[:16] + '…' if of.sha256 else 'unknown'),
        class_='sub')]


def _checkpoints(summaries: Sequence[Summary]) -> list[html.Markup]:
    if len(summaries) < 2:
        return []
    names = checkpoints.names_of(summaries)
    rows = []
    for one, _ in quality.split(summaries[0].domains)[0]:
        for name, summary in zip(names, summaries, strict=True):
            mine = checkpoints.domain_of(summary, one.name)
            if mine is None:
                continue
            apart = ('' if summary is summaries[0] else
                     html.figure(checkpoints.difference(one, mine), sign=True))
            rows.append([html.join([name, html.tag('span', one.name, class_='hint')]),
                         html.figure(mine.measures['auroc']), apart,
                         html.figure(mine.measures['accuracy'], True),
                         html.figure(mine.measures['ece'])])
    return [html.tag('h2', 'Checkpoints compared', id='checkpoints'),
            html.table(['checkpoint', 'AUROC', '− first', 'accuracy', 'ECE'], rows,
                       'Differences from the first checkpoint are paired: the same episodes are '
                       'drawn for both. Single factors of a shift stand in report.json.'),
            *_success(summaries, names), *_agreement(summaries, names)]


def _success(summaries: Sequence[Summary], names: list[str]) -> list[html.Markup]:
    """Show what came of grasps that each checkpoint selected itself; nothing without any."""
    rows = []
    for first, _ in quality.split(summaries[0].domains)[0]:
        for name, summary in zip(names, summaries, strict=True):
            mine = checkpoints.domain_of(summary, first.name)
            if mine is None or not checkpoints.is_closed_loop([mine]):
                continue
            apart = checkpoints.success_less_first(first, mine)
            rows.append([
                html.join([name, html.tag('span', first.name, class_='hint')]),
                mine.counts.attempts + mine.pool.not_executed, mine.counts.attempts,
                html.figure(mine.measures['success'], True),
                '' if summary is summaries[0] or apart is None else
                html.figure(apart, True, sign=True),
                html.figure(checkpoints.task_success(mine), True)])
    return [html.tag('h3', 'What came of their own grasps'), html.table(
        ['checkpoint', 'attempts', 'executed', 'success of the executed', '− first',
         'success of all attempts'], rows, 'Closed loop: each checkpoint selected its grasps. '
        'Where none was selected nothing was executed, which is no success. Intervals are '
        'Wilson’s, of differences Newcombe’s: the attempts are not the same ones.')
        ] if rows else []


def _agreement(summaries: Sequence[Summary], names: list[str]) -> list[html.Markup]:
    found = checkpoints.rankings(summaries)
    reference = summaries[0].reference
    title = html.tag('h3', f'Does {reference} rank checkpoints as other domains do?')
    if not found:
        return [title, html.tag('p', f'That takes recordings of {reference} and of another '
                                'domain, by each checkpoint.')]
    rows = [[one.domain, checkpoints.MEASURES[one.measure], html.number(one.agreement.pearson, 2),
             html.number(one.agreement.mmrv), one.agreement.why] for one in found]
    plots = [html.plot(figures.svg(
        figures.ranking, names, one.simulated, one.real, (reference, one.domain),
        checkpoints.MEASURES[one.measure]), f'checkpoints in {reference} and {one.domain}',
        f'Each checkpoint in {reference} and in {one.domain}.') for one in found
        if not factor_of(one.domain) and np.isfinite(one.simulated + one.real).all()]
    return [title, html.table(
        ['domain', 'measure', 'Pearson’s r', 'MMRV', ''], rows,
        f'MMRV, mean maximum rank violation: what is lost at most by trusting the order of '
        f'{reference}, mean over the {len(names)} checkpoints; 0 is best.', (1, 4)),
        html.tag('div', *plots, class_='figures')]


def _strips(first: Summary, images: strips.Images | None) -> list[html.Markup]:
    parts = []
    for one, _ in quality.split(first.domains)[0]:
        chosen = strips.choose(one)
        frames = strips.fetch(chosen, images) if images else {}
        parts += [html.tag('h3', one.name)] if chosen else []
        parts += [strips.draw(strip, frames, first.threshold) for strip in chosen]
    if not parts:
        return []
    return [html.tag('h2', 'Attempts to look at', id='strips'), html.tag(
        'p', 'Frames of an attempt with the score of the executed grasp at each, where it was '
        'scored: in the corner, and as a bar with a tick at 0.5. Times count from the '
        'decision.', class_='note'),
        *parts]


def _recordings(bags: Sequence[BagRecord]) -> list[html.Markup]:
    rows, times = [], []
    for bag in bags:
        fates = [bag.fates.get(name, 0) for name in ('scored', 'stored', 'skipped', 'refused')]
        resets = ', '.join(f'{count} {name.replace("_", " ")}'
                           for name, count in sorted(bag.resets.items())) or '0'
        rows.append([html.join([bag.path, html.tag('span', f'{name_of(bag)}, {bag.image_topic}',
                                                   class_='hint')]),
                     f'{bag.duration_s:.1f} s', bag.frames, *fates, bag.missing, resets])
        of = costs([bag])
        speed = bag.duration_s / bag.elapsed_s if bag.elapsed_s > 0 else float('nan')
        times.append([bag.path, *(html.number(of[f'{kind}_p{share}_ms'], 1) for kind in (
            'decode', 'inference') for share in (50, 95)), html.number(speed, 1)])
    return [html.tag('h2', 'Recordings: frames lost, and latency', id='recordings'), html.table(
        ['recording', 'length', 'images', 'scored', 'stored', 'skipped', 'refused', 'missing',
         'resets'], rows, 'Stored: in the window, not yet scored. Skipped: more than the model’s '
        'frame rate needs. Missing: samples whose image never came; the one before is repeated.',
        dense=True),
        html.table(['recording', 'decode p50', 'decode p95', 'inference p50', 'inference p95',
                    'times real time'], times, 'Milliseconds a sample, on the machine of this '
                   'evaluation.', dense=True)]
