"""The figures of the study: points of the curves with intervals, tables and a plot."""

from pathlib import Path
from typing import Any

from moss_perception.core.tables import markdown
from moss_perception.data.scenes import load_scenes
from moss_perception.data.schema import Sample
from moss_perception.evaluation.intervals import (
    draw,
    Interval,
    mean_interval,
    percentile_interval,
    statistic_interval,
)
from moss_perception.evaluation.metrics import auroc, Scored, value_of
from moss_perception.evaluation.scene_scores import baselines, chosen_success
import numpy as np

from study.own_robot import plan as plans
from study.own_robot.plan import CEILING, Plan, PRETRAINED, SHIPPED
from study.own_robot.stages import describe_attempts, score_file, seconds

NAME = 'own_robot'
_REPEATS = 300
# Share of the way from the shipped model to the ceiling, by number of attempts.
GOALS = {100: 0.5, 400: 0.8}


class Measured:
    """
    The scenes that all models are measured on, and their scores.

    :param plan: all of whose models have scores.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.scenes: list[Sample] = load_scenes(plan.out / 'scenes' / 'test')
        self._labels = np.concatenate([x.outcomes for x in self.scenes])
        self._groups = np.repeat(np.arange(len(self.scenes)),
                                 [len(x.candidates) for x in self.scenes])
        self._ends = [self.chosen(x).mean(axis=0) for x in ([SHIPPED], [CEILING])]

    def chosen(self, names: list[str]) -> np.ndarray:
        """Return whether each model's choice succeeds in each scene, shape ``(M, scenes)``."""
        return np.array([chosen_success(self._scores(x), self._labels, self._groups)
                         for x in names], float)

    def point(self, curve: str, attempts: int, names: list[str]) -> dict[str, Any]:
        """
        Measure the models of one point, one for each seed.

        :returns: ``success``, ``auroc`` and ``share`` of the way from the shipped model to the
            ceiling, each with its 95 % interval ``low`` and ``high`` over scenes.
        """
        chosen = self.chosen(names).mean(axis=0)
        return {'curve': curve, 'attempts': attempts, 'seeds': len(names),
                'success': _plain(mean_interval(chosen)), 'auroc': _plain(self._auroc(names)),
                'share': _plain(self._share(chosen)),
                'successes': [round(float(x.mean()), 4) for x in self.chosen(names)]}

    def _scores(self, name: str) -> np.ndarray:
        return np.load(score_file(self.plan, name))

    def _auroc(self, names: list[str]) -> Interval:
        """Average over seeds; the same scenes are drawn for each."""
        samples = [Scored.of(self._scores(x), self._labels, self._groups) for x in names]
        drawn = [draw(x, {'it': auroc}, repeats=_REPEATS)['it'] for x in samples]
        return percentile_interval(float(np.mean([value_of(auroc, x) for x in samples])),
                                   np.mean(drawn, axis=0))

    def _share(self, chosen: np.ndarray) -> Interval:
        low, high = self._ends

        def share(some: np.ndarray) -> float:
            way = float((high[some] - low[some]).mean())
            # Where the ceiling is not above the shipped model there is no way to go.
            return float((chosen[some] - low[some]).mean()) / way if way > 0 else float('nan')

        return statistic_interval(share, len(chosen))


def measure(plan: Plan) -> dict[str, Any]:
    """Measure all models, as the page and the tables need it."""
    measured = Measured(plan)
    points = [measured.point(name, 0, [name]) for name in (SHIPPED, PRETRAINED, CEILING)]
    for curve in plan.curves:
        for count in plan.sizes.attempts:
            points.append(measured.point(curve, count, [
                x.name for x in plan.trainings() if (x.curve, x.attempts) == (curve, count)]))
    return {'scenes': len(measured.scenes), 'conditions': plan.conditions,
            'recorded': describe_attempts(plan), 'points': points, 'seconds': seconds(plan),
            'baselines': {name: _number(values.mean())
                          for name, values in baselines(measured.scenes).items()}}


def _plain(interval: Interval) -> list[float | None]:
    return [_number(x) for x in (interval.value, interval.low, interval.high)]


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def tables(result: dict[str, Any]) -> dict[str, str]:
    """
    Write the figures as Markdown tables.

    :param result: of :func:`measure`.
    :returns: by name: ``curves``, ``goals``, ``recording`` and ``time``.
    """
    recorded = result['recorded']
    return {
        'curves': markdown(
            ('model', 'attempts', 'success of each training, %', 'success of the chosen grasp',
             'AUROC', 'share of the way to the ceiling'),
            [(x['curve'], x['attempts'] or '', ', '.join(f'{100 * y:.1f}' for y in x['successes']),
              _percent(x['success']), _decimal(x['auroc']), _percent(x['share']))
             for x in result['points']]
            + [(f'no model: {name.replace("_", " ")}', '', '', _percent([value]), '', '')
               for name, value in result['baselines'].items() if value is not None]),
        'goals': markdown(('attempts', 'goal', 'curve', 'reached', 'met'),
                          _goals(result['points'])),
        'recording': markdown(('what', 'number'), [
            *((f'recorded attempts: {name}', count) for name, count in recorded.items()),
            ('new scenes to measure on', result['scenes']),
            ('scenes of the ceiling, and of the cell file', result['conditions']['scenes'])]),
        'time': markdown(('stage', 'minutes'), [
            (stage, f'{took / 60:.0f}' if took >= 60 else f'{took / 60:.1f}')
            for stage, took in result['seconds'].items()])}


def _goals(points: list[dict[str, Any]]) -> list[tuple]:
    """Hold each curve against the goals, so that no curve is chosen on the scenes that report."""
    return [(x['attempts'], f'{100 * GOALS[x["attempts"]]:.0f} %', x['curve'],
             _percent(x['share']), 'yes' if x['share'][0] >= GOALS[x['attempts']] else 'no')
            for x in sorted(points, key=lambda x: x['attempts'])
            if x['attempts'] in GOALS and x['share'][0] is not None]


def _percent(values: list[float | None]) -> str:
    return _with_interval([x if x is None else 100 * x for x in values], '.1f', ' %')


def _decimal(values: list[float | None]) -> str:
    return _with_interval(values, '.3f', '')


def _with_interval(values: list[float | None], form: str, unit: str) -> str:
    if values[0] is None:
        return ''
    text = f'{values[0]:{form}}{unit}'
    if len(values) < 3 or values[1] is None or values[2] is None:
        return text
    return f'{text} ({values[1]:{form}} to {values[2]:{form}})'


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw the success of the chosen grasp over the number of attempts, as PNG."""
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots(figsize=(7.2, 4.2), layout='constrained')
    ends = {x['curve']: x for x in result['points'] if not x['attempts']}
    for name, style in ((CEILING, '--'), (SHIPPED, ':')):
        axis.axhline(100 * ends[name]['success'][0], color='0.4', linestyle=style, label=name)
    for curve in dict.fromkeys(x['curve'] for x in result['points'] if x['attempts']):
        start = {plans.FINETUNED: SHIPPED, plans.ADAPTED: SHIPPED, plans.SCRATCH: ''}.get(
            curve, PRETRAINED)
        line = [ends[start]] if start else []
        line += [x for x in result['points'] if x['curve'] == curve]
        value, low, high = (np.array([100 * (x['success'][n] or 0) for x in line])
                            for n in range(3))
        axis.errorbar([x['attempts'] for x in line], value, [value - low, high - value],
                      marker='o', capsize=3, label=curve)
    axis.set_xlabel('attempts of your robot')
    axis.set_ylabel('success of the chosen grasp, %')
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
