"""Plots of a stored comparison."""

from pathlib import Path
from typing import Any

from study.monitoring import TIMES_S

_BASELINES = {'random': ':', 'centre': '-.', 'constant_velocity': '--', 'true_motion': '-'}


def draw(result: dict[str, Any], folder: Path, prefix: str) -> list[Path]:
    """
    Plot success by variant, success by kind of motion, the early-prediction curve, and cost.

    :param result: a stored comparison.
    :param folder: for the PNG files; created if missing.
    :param prefix: first word of the file names.
    :returns: the files.
    """
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, plot in (('success', _success), ('motions', _motions), ('early', _early),
                           ('cost', _cost)):
        figure = plot(result, plt)
        if figure is None:
            continue
        written.append(folder / f'{prefix}_{name}.png')
        figure.savefig(written[-1], dpi=110)
        plt.close(figure)
    return written


def _variants(result: dict[str, Any]) -> dict[str, Any]:
    """Return the variants without the prefixes of their orders."""
    return {variant: summary for variant, summary in result['variants'].items()
            if variant in result['costs']}


def _colours(result: dict[str, Any], plt) -> dict[str, Any]:
    """Return a colour for each variant; 20 differ, the dark shades first."""
    shades = plt.get_cmap('tab20').colors
    return {variant: (*shades[::2], *shades[1::2])[n % 20]
            for n, variant in enumerate(_variants(result))}


def _panels(plt, result: dict[str, Any], height: float, **options):
    sets = list(result['sets'])
    figure, axes = plt.subplots(1, len(sets), figsize=(3.8 * len(sets), height), squeeze=False,
                                layout='constrained', **options)
    for axis, name in zip(axes[0], sets, strict=True):
        axis.set_title(name)
        axis.grid(alpha=0.3)
    return figure, dict(zip(sets, axes[0], strict=True))


def _success(result: dict[str, Any], plt):
    """Plot the success of the chosen grasp in each set, with its interval and the baselines."""
    variants = list(_variants(result))
    figure, panels = _panels(plt, result, 1.6 + 0.32 * len(variants), sharey=True)
    for name, axis in panels.items():
        for row, variant in enumerate(variants):
            total = result['variants'][variant]['sets'][name]['all']
            # A set of a single scene has no interval.
            if total['low'] is not None:
                axis.plot([100 * total['low'], 100 * total['high']], [row, row], color='C0')
            axis.plot(100 * total['success'], row, 'o', color='C0')
            moving = result['variants'][variant]['sets'][name].get('moving')
            if moving:
                axis.plot(100 * moving['success'], row, 'x', color='C3')
        for baseline, style in _BASELINES.items():
            value = result['sets'][name]['baselines'].get(baseline, {}).get('all')
            if value is not None:
                axis.axvline(100 * value, color='grey', linestyle=style, linewidth=1,
                             label=baseline.replace('_', ' '))
        axis.set_xlabel('success of the chosen grasp, %')
        axis.set_yticks(range(len(variants)), variants)
    first = next(iter(panels.values()))
    first.invert_yaxis()
    handles, labels = first.get_legend_handles_labels()
    handles = [plt.Line2D([], [], marker='o', color='C0'),
               plt.Line2D([], [], marker='x', linestyle='', color='C3'), *handles]
    figure.legend(handles, ['all motions, 95 %', 'moving only', *labels],
                  loc='outside lower center', ncols=6, fontsize=8, frameon=False)
    return figure


def _motions(result: dict[str, Any], plt):
    """Plot success by kind of motion."""
    figure, panels = _panels(plt, result, 4.0, sharey=True)
    colours = _colours(result, plt)
    for name, axis in panels.items():
        kinds = [kind for kind in next(iter(result['variants'].values()))['sets'][name]
                 if kind not in ('all', 'moving', 'monitoring')]
        for variant, summary in _variants(result).items():
            axis.plot(range(len(kinds)),
                      [100 * summary['sets'][name][kind]['success'] for kind in kinds],
                      marker='o', markersize=4, linewidth=1, color=colours[variant],
                      label=variant)
        axis.set_xticks(range(len(kinds)), [kind.replace('_', ' ') for kind in kinds],
                        rotation=40, ha='right')
    return _with_legend(figure, panels, 'success of the chosen grasp, %')


def _early(result: dict[str, Any], plt):
    """Plot how well the score of a grasp predicts its outcome while it is executed."""
    figure, panels = _panels(plt, result, 4.0, sharey=True)
    found, colours = False, _colours(result, plt)
    for name, axis in panels.items():
        for variant, summary in _variants(result).items():
            monitored = summary['sets'][name].get('monitoring')
            if not monitored:
                continue
            found = True
            for key, style in (('auroc', '-'), ('auroc_not_lost', ':')):
                values = [float('nan') if value is None else value for value in monitored[key]]
                axis.plot(TIMES_S, values, style, color=colours[variant],
                          label=variant if key == 'auroc' else None)
        axis.set_xlabel('s since the decision (fingers close at 0.8)')
    if not found:
        plt.close(figure)
        return None
    return _with_legend(figure, panels, 'AUROC (dotted: grasps not lost yet)')


def _cost(result: dict[str, Any], plt):
    """Plot success in the shifted set, or in the last, against time a frame."""
    figure, axis = plt.subplots(figsize=(5.6, 4.0), layout='constrained')
    name = list(result['sets'])[-1] if 'shifted' not in result['sets'] else 'shifted'
    for variant, colour in _colours(result, plt).items():
        total = result['variants'][variant]['sets'][name]['all']
        axis.plot(result['costs'][variant]['ms_a_step'], 100 * total['success'], 'o',
                  color=colour, label=variant)
    axis.set_xlabel('ms a step')
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
