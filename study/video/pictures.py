"""The pictures of accuracies on clips and on questions."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np

from study.panels import draw_accuracies
from study.questions.results import MOTION, motion_sets
from study.video.models import BACKBONE
from study.video.results import BLIND

DPI = 130
"""Of all pictures that are stored."""


def draw_video(result: Mapping[str, Any]) -> Figure:
    """Draw the accuracy of all variants, a panel for each task."""
    return draw_accuracies({f'{task}, {found["questions"]} questions': found['variants']
                            for task, found in result['tasks'].items()}, BACKBONE, BLIND)


def draw_questions(result: Mapping[str, Any]) -> Figure:
    """Draw the accuracy by what is asked about, in held-out phrasings: a row for each set."""
    rows = []
    for name, one in motion_sets(result).items():
        found = one['held_out']
        figure = draw_accuracies({about: found[about]['variants'] for about in ('motion', *MOTION)
                                  if about in found}, BACKBONE, BLIND)
        figure.suptitle(f'{name.replace("_", " ")}, in held-out phrasings', fontsize=11)
        rows.append(figure)
    return stacked(rows)


def stacked(figures: Sequence[Figure]) -> Figure:
    """Put figures of equal width one below the other, as an image to be saved with ``DPI``."""
    images = []
    for figure in figures:
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        images.append(np.asarray(canvas.buffer_rgba()))
    whole = np.concatenate(images)
    height, width = whole.shape[:2]
    found = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    found.figimage(whole)
    return found
