"""The contact sheet of scenes."""

import logging

import cv2
from moss_perception.core.errors import SimulationError
from moss_perception.simulation.renderer import Renderer
import pytest

from study import draw_scenes


def test_scenes_of_each_domain_are_drawn_in_rows(tmp_path):
    try:
        Renderer().close()
    except SimulationError as error:
        pytest.skip(str(error))
    path = tmp_path / 'scenes.png'
    assert draw_scenes.main(['--domain', 'sim', 'randomised', '--scenes', '3', '--columns', '2',
                             '--out', str(path)]) == 0
    picture = cv2.imread(str(path))
    # Two rows of two for each domain, with gaps of two pixels and an empty last place.
    assert picture.shape == (4 * 130, 2 * 130, 3)
    assert (picture[130:260, 130:] == 255).all()
    places = [picture[row * 130:row * 130 + 128, column * 130:column * 130 + 128]
              for row, column in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (3, 0))]
    assert all(place.std() > 5 for place in places)
    assert len({place.tobytes() for place in places}) == 6


def test_numbers_below_one_are_refused_in_one_line(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        assert draw_scenes.main(['--scenes', '0', '--out', str(tmp_path / 'a.png')]) == 1
    assert [record.getMessage() for record in caplog.records] == [
        'scenes must be at least 1, got 0']
