"""The picture of what pretraining brings."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.goals import difference
from study.panels import BLACK, BLUE, GREY
from study.pretraining.plan import ORDINARY, PRETRAINED
from study.pretraining.results import seed_differences


def draw_differences(result: Mapping[str, Any]) -> Figure:
    """
    Draw the paired differences of success, a row for each set.

    Each training is a small mark. The mean over the trainings has its interval over scenes.
    """
    comparison = result['comparison']
    sets = list(comparison['sets'])
    figure = Figure(figsize=(8.0, 1.6 + 0.7 * len(sets)), layout='constrained')
    axis = figure.subplots()
    for row, name in enumerate(sets):
        gap = difference(comparison, PRETRAINED, ORDINARY, name, 'all')
        for seed, value in seed_differences(comparison, name).items():
            axis.plot(100 * value, -row - 0.22, 'D', color=GREY, markersize=5)
            axis.annotate(str(seed), (100 * value, -row - 0.22), fontsize=8, xytext=(0, -11),
                          textcoords='offset points', ha='center')
        if gap is None:
            continue
        if gap['low'] is not None:
            axis.plot([100 * gap['low'], 100 * gap['high']], [-row] * 2, color=BLUE)
        axis.plot(100 * gap['difference'], -row, 'o', color=BLUE)
    axis.axvline(0, color=BLACK, linewidth=0.8)
    axis.set_yticks([-row for row in range(len(sets))], [name.replace('_', ' ') for name in sets])
    axis.set_ylim(0.5 - len(sets), 0.5)
    axis.set_xlabel('points of success, pretrained minus ordinary start')
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)
    figure.legend(handles=[
        Line2D([], [], color=BLUE, marker='o', label='mean of all seeds, 95 % over scenes'),
        Line2D([], [], color=GREY, marker='D', linestyle='none', label='one seed, by number')],
        loc='outside lower center', ncols=2, frameon=False, fontsize=9)
    return figure
