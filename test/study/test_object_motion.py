"""Velocities at the objects of scenes, as methods read them."""

from dataclasses import replace

from moss_perception.core.errors import ConfigError
from moss_perception.core.geometry import project
from moss_perception.data.shards import write_shard
from moss_perception.models.layers.reading import GraspReader
from moss_perception.simulation.attempt import Latencies, play
from moss_perception.simulation.camera import Lens
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import Source
import numpy as np
import pytest
from tiny import tiny_network
import torch

from study.object_motion import DIS, main, measure, methods, velocity_of


@pytest.fixture(scope='module')
def scenes():
    renderer = Renderer()
    yield [play(Source('full', 'sim', motion='constant').sample(seed), renderer,
                latencies=Latencies()) for seed in (3, 4)]
    renderer.close()


def test_the_velocity_is_that_of_the_object_in_the_image(scenes):
    for scene in scenes:
        here, velocity = velocity_of(scene)
        pixels, _ = project(scene.track.astype(float), scene.camera)
        places = (pixels + 0.5) * 2 / 128 - 1
        np.testing.assert_allclose(here, places[0])
        # At constant velocity; the camera looks down, so it is constant in the image as well.
        np.testing.assert_allclose(velocity * scene.lead_time_s, places[1] - places[0], rtol=0.1,
                                   atol=0.01)
    with pytest.raises(ConfigError, match='scene 3 knows no motion of its object'):
        velocity_of(replace(scenes[0], track=None))


def test_what_is_found_is_counted_against_the_truth(scenes):
    true = torch.from_numpy(np.stack([velocity_of(scene)[1] for scene in scenes]))
    for share, found in ((1.1, 1.0), (1.9, 0.0)):
        result = measure(scenes, lambda images, here, share=share: true * share * 0.2, 64, 2)
        assert result['found'] == found
    assert result['median'] > 0.02


def test_every_method_finds_the_motion_of_a_plain_scene(scenes):
    network = tiny_network('moss_grasp')
    assert isinstance(network, GraspReader)
    found = {name: measure(scenes, find, 64, 1)['median'] for name, find in methods(64, network)}
    speed = np.mean([np.linalg.norm(velocity_of(scene)[1]) / 2 for scene in scenes])
    assert found[DIS] < 0.3 * speed
    assert found['pixels of stride 2, squared distance, Gauss-Newton'] < 0.3 * speed
    assert len(found) == 7


def test_the_command_refuses_a_size_that_the_backbone_cannot_take(caplog):
    assert main(['--scenes', 'sim=none', '--size', '60']) == 1
    assert '--size=60: expected a multiple of 8' in caplog.text


def test_the_command_stores_its_table_and_writes_it_into_a_page(scenes, tmp_path, capsys):
    write_shard(tmp_path / 'sim' / 'scenes_00000000.npz', scenes, Lens().matrix)
    out, page = tmp_path / 'found.json', tmp_path / 'page.md'
    assert main(['--scenes', f'sim={tmp_path / "sim"}', '--lags', '1', '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    page.write_text('<!-- begin object_motion | velocities -->\n<!-- end -->\n')
    assert main(['--results', str(out), '--page', str(page)]) == 0
    assert capsys.readouterr().out == printed
    assert printed.strip() in page.read_text() and '| optical flow (DIS)' in printed
