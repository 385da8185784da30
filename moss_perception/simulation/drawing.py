"""Contact sheets of simulated scenes."""

import logging
import math

import cv2
from moss_perception.core.errors import ConfigError, SimulationError
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import DECISION_S, Source
import numpy as np

_LOG = logging.getLogger(__name__)
_GAP = 2


def contact_sheet(renderer: Renderer, sources: list[Source], count: int, seed: int,
                  columns: int) -> bytes:
    """
    Draw the images at the decision of scenes, one source below the other.

    :param sources: what the scenes are drawn from; all with images of one size.
    :param count: number of scenes of each source, at least 1.
    :param seed: seed of the first scene.
    :param columns: images in a row, at least 1.
    :returns: a PNG file.
    :raises ConfigError: if a number is out of range, or a source is unknown.
    """
    for name, value in (('scenes', count), ('columns', columns)):
        if value < 1:
            raise ConfigError(f'{name} must be at least 1, got {value}')
    rows = [picture for source in sources
            for picture in sheet(images(renderer, source, count, seed), columns)]
    done, data = cv2.imencode('.png', np.concatenate(rows)[..., ::-1])
    if not done:
        raise SimulationError('OpenCV could not encode the picture as PNG')
    return data.tobytes()


def images(renderer: Renderer, source: Source, count: int, seed: int) -> list[np.ndarray]:
    """Return the images at the decision of scenes that can be used, uint8, RGB."""
    taken: list[np.ndarray] = []
    while len(taken) < count:
        try:
            cell = WorkCell(source.sample(seed))
            cell.wait(DECISION_S)
            taken.append(renderer.render(cell))
        except SimulationError as error:
            _LOG.warning('scene %d is left out: %s', seed, error)
        seed += 1
    return taken


def sheet(pictures: list[np.ndarray], columns: int) -> list[np.ndarray]:
    """Arrange images of one size in rows with white gaps; return the rows."""
    high, wide, _ = pictures[0].shape
    blank = np.full((high + _GAP, wide + _GAP, 3), 255, np.uint8)
    cells = [blank.copy() for _ in range(columns * math.ceil(len(pictures) / columns))]
    for cell, picture in zip(cells, pictures, strict=False):
        cell[:high, :wide] = picture
    return [np.concatenate(cells[first:first + columns], axis=1)
            for first in range(0, len(cells), columns)]
