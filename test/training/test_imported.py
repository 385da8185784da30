"""Training on a data set that was imported from a recording, as one trains on simulated scenes."""

from moss_perception.cli.main import main
from moss_perception.core.resources import model_path, share_directory
from moss_perception.data.scenes import load_scenes
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.manifest import read_header
from moss_perception.training.dataset import GraspClips
from moss_perception.training.fit import fit, Plan
from moss_perception.training.selection import select
from moss_perception.training.settings import read_settings, Settings
from moss_perception.training.trainer import predict
import pytest
from robot_bag import EXECUTED, Robot
from spots import TINY

NETWORK = {name: getattr(TINY, name) for name in (
    'image_size', 'channels', 'moss_window', 'moss_channels', 'projection_channels',
    'head_channels', 'ensemble')}


@pytest.fixture(scope='module')
def imported(tmp_path_factory):
    """Import a recording of 30 attempts at 10 Hz, whose success shows in the images."""
    folder = tmp_path_factory.mktemp('imported')
    Robot(successes=tuple(n % 3 != 0 for n in range(30)), rate_hz=10.0).write(folder / 'bag')
    assert main(['import', str(folder / 'bag'), '--outcomes', str(folder / 'bag.csv'),
                 '--executed-topic', EXECUTED, '--out', str(folder / 'data')]) == 0
    return folder / 'data'


def test_a_training_learns_from_an_imported_data_set(imported, tmp_path):
    samples = load_scenes(imported)
    assert len(samples) == 30 and {len(x.candidates) for x in samples} == {8}
    settings = Settings('mine', NETWORK, {'epochs': 5, 'batch': 4, 'empty': 0})
    digest = fit(Plan(settings, tmp_path / 'run', tmp_path / 'mine.safetensors', deploy=False),
                 samples)
    network = load_checkpoint(tmp_path / 'mine.safetensors', digest)
    logits, labels = predict(network, GraspClips(samples, network.config))
    assert labels.tolist() == [float(n % 3 != 0) for n in range(30)]
    # One label a sample, and no track: enough to tell every success from every failure.
    scores = logits.mean(dim=1)
    assert scores[labels == 1].min() > scores[labels == 0].max()


def test_the_shipped_model_can_be_fine_tuned_on_a_recording_without_lead_times(imported):
    shipped, _ = read_header(model_path(''))
    settings = read_settings(share_directory() / 'config' / 'finetune.yaml')
    found = select(settings.of_checkpoint(shipped), load_scenes(imported), (),
                   shipped.default_lead_time_s)
    assert shipped.time_inputs and found.without_lead_time == len(found.samples) == 30
    assert {x.lead_time_s for x in found.samples} == {shipped.default_lead_time_s}


def test_grasps_under_way_are_trained_on_if_asked_for(imported, tmp_path):
    clips = GraspClips(load_scenes(imported), TINY, monitor=0.5)
    assert len(clips) == 45
    clip = clips[44]
    assert clip.mask.tolist() == [1.0] and clip.images.shape[0] == TINY.window_frames
