"""Pictures of a comparison of arms, from what was stored of it."""

from pathlib import Path
from typing import Any

from study.monitoring import TIMES_S

_BASELINES = {'random': ':', 'centre': '-.', 'constant_velocity': '--', 'true_motion': '-'}


def draw(result: dict[str, Any], folder: Path) -> list[Path]:
    """
    Draw success by arm, success by kind of motion, the early-prediction curve, and cost.

    :param result: as ``compare`` stores it.
    :param folder: for the PNG files; made if missing.
    :returns: what was written.
    """
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, pictured in (('success', _success), ('motions', _motions), ('early', _early),
                           ('cost', _cost)):
        figure = pictured(result, plt)
        if figure is None:
            continue
        written.append(folder / f'results_{name}.png')
        figure.savefig(written[-1], dpi=110)
        plt.close(figure)
    return written


def _arms(result: dict[str, Any]) -> dict[str, Any]:
    """Return the arms, without the prefixes of their orders."""
    return {arm: summary for arm, summary in result['arms'].items() if arm in result['costs']}


def _colours(result: dict[str, Any], plt) -> dict[str, Any]:
    """Give each arm a colour, 20 of them before one comes twice: the strong ones first."""
    shades = plt.get_cmap('tab20').colors
    return {arm: (*shades[::2], *shades[1::2])[n % 20] for n, arm in enumerate(_arms(result))}


def _panels(plt, result: dict[str, Any], height: float, **options):
    sets = list(result['sets'])
    figure, axes = plt.subplots(1, len(sets), figsize=(3.8 * len(sets), height), squeeze=False,
                                layout='constrained', **options)
    for axis, name in zip(axes[0], sets, strict=True):
        axis.set_title(name)
        axis.grid(alpha=0.3)
    return figure, dict(zip(sets, axes[0], strict=True))


def _success(result: dict[str, Any], plt):
    """Draw the chosen grasp's success in each set, with its interval, beside the baselines."""
    arms = list(_arms(result))
    figure, panels = _panels(plt, result, 1.6 + 0.32 * len(arms), sharey=True)
    for name, axis in panels.items():
        for row, arm in enumerate(arms):
            total = result['arms'][arm]['sets'][name]['all']
            axis.plot([100 * total['low'], 100 * total['high']], [row, row], color='C0')
            axis.plot(100 * total['success'], row, 'o', color='C0')
            moving = result['arms'][arm]['sets'][name].get('moving')
            if moving:
                axis.plot(100 * moving['success'], row, 'x', color='C3')
        for baseline, style in _BASELINES.items():
            value = result['sets'][name]['baselines'].get(baseline, {}).get('all')
            if value is not None:
                axis.axvline(100 * value, color='grey', linestyle=style, linewidth=1,
                             label=baseline.replace('_', ' '))
        axis.set_xlabel('success of the chosen grasp, %')
        axis.set_yticks(range(len(arms)), arms)
    first = next(iter(panels.values()))
    first.invert_yaxis()
    handles, labels = first.get_legend_handles_labels()
    handles = [plt.Line2D([], [], marker='o', color='C0'),
               plt.Line2D([], [], marker='x', linestyle='', color='C3'), *handles]
    figure.legend(handles, ['all motions, 95 %', 'moving only', *labels],
                  loc='outside lower center', ncols=6, fontsize=8, frameon=False)
    return figure


def _motions(result: dict[str, Any], plt):
    """Draw success by kind of motion."""
    figure, panels = _panels(plt, result, 4.0, sharey=True)
    colours = _colours(result, plt)
    for name, axis in panels.items():
        kinds = [kind for kind in next(iter(result['arms'].values()))['sets'][name]
                 if kind not in ('all', 'moving', 'monitoring')]
        for arm, summary in _arms(result).items():
            axis.plot(range(len(kinds)),
                      [100 * summary['sets'][name][kind]['success'] for kind in kinds],
                      marker='o', markersize=4, linewidth=1, color=colours[arm], label=arm)
        axis.set_xticks(range(len(kinds)), [kind.replace('_', ' ') for kind in kinds],
                        rotation=40, ha='right')
    return _with_legend(figure, panels, 'success of the chosen grasp, %')


def _early(result: dict[str, Any], plt):
    """Draw how the score of a grasp under way tells its outcome, by time."""
    figure, panels = _panels(plt, result, 4.0, sharey=True)
    found, colours = False, _colours(result, plt)
    for name, axis in panels.items():
        for arm, summary in _arms(result).items():
            watched = summary['sets'][name].get('monitoring')
            if not watched:
                continue
            found = True
            for key, style in (('auroc', '-'), ('ahead', ':')):
                values = [float('nan') if value is None else value for value in watched[key]]
                axis.plot(TIMES_S, values, style, color=colours[arm],
                          label=arm if key == 'auroc' else None)
        axis.set_xlabel('s since the decision (fingers close at 0.8)')
    if not found:
        plt.close(figure)
        return None
    return _with_legend(figure, panels, 'AUROC (dotted: of those not lost yet)')


def _cost(result: dict[str, Any], plt):
    """Draw success in the last set against time a frame."""
    figure, axis = plt.subplots(figsize=(5.6, 4.0), layout='constrained')
    name = list(result['sets'])[-1] if 'shifted' not in result['sets'] else 'shifted'
    for arm, colour in _colours(result, plt).items():
        total = result['arms'][arm]['sets'][name]['all']
        axis.plot(result['costs'][arm]['ms_a_frame'], 100 * total['success'], 'o', color=colour,
                  label=arm)
    axis.set_xlabel('ms a frame')
    axis.set_ylabel(f'success of the chosen grasp, {name}, %')
    axis.grid(alpha=0.3)
    figure.legend(loc='outside right upper', fontsize=8, frameon=False)
    return figure


def _with_legend(figure, panels: dict, label: str):
    first = next(iter(panels.values()))
    first.set_ylabel(label)
    figure.legend(*first.get_legend_handles_labels(), loc='outside lower center', ncols=6,
                  fontsize=8, frameon=False)
    return figure
