"""Features of frozen stages that several trainings, or comparisons, share."""

import csv
from dataclasses import replace

from moss_perception.cli.main import main as moss
from moss_perception.core.errors import ConfigError
from moss_perception.models.base import build
from moss_perception.training import fit as fit_module
from moss_perception.training.dataset import GraspClips
from moss_perception.training.feature_cache import FeatureCache
from moss_perception.training.settings import Recipe
from moss_perception.training.trainer import Trainer
import numpy as np
import pytest
from spots import TINY, variant_file
from tiny import as_model
import torch


@pytest.mark.parametrize('temporal', ['moss', 'tsm', 'recurrent'])
def test_cached_features_train_as_the_images_do(scenes, tmp_path, temporal):
    config = as_model(TINY, f'{temporal}_grasp')
    losses, folder = [], tmp_path / 'maps'
    for name, keep in (('images', False), ('made', True), ('read', True)):
        torch.manual_seed(0)
        trainer = Trainer(build(config), Recipe(epochs=2, batch=4, frozen_stages=2),
                          tmp_path / name)
        seen = GraspClips(scenes, config, augment=True, empty=2, photometric=0.5)
        trainer.fit(FeatureCache(seen, trainer.network, folder) if keep else seen,
                    GraspClips(scenes[:3], config))
        log = list(csv.DictReader((tmp_path / name / 'log.csv').open()))
        losses.append([float(row[key]) for row in log for key in ('train_loss', 'held_out_loss')])
    assert losses[1] == losses[2]
    # Maps are rounded to float16.
    assert losses[1] == pytest.approx(losses[0], abs=2e-3)
    assert sorted(path.name for path in folder.iterdir()) == [
        'epoch_00.npy', 'epoch_00.npz', 'epoch_01.npy', 'epoch_01.npz', 'features.json']


def frozen_network(config=TINY):
    network = build(config)
    network.freeze(2)
    return network


def test_cached_features_are_read_and_not_computed_again(scenes, tmp_path):
    network = frozen_network()
    kept = FeatureCache(GraspClips(scenes, TINY, augment=True), network, tmp_path)
    kept.epoch = 0
    before = (tmp_path / 'epoch_00.npy').stat().st_mtime_ns
    again = FeatureCache(GraspClips(scenes, TINY, augment=True), network, tmp_path)
    again.epoch = 0
    assert (tmp_path / 'epoch_00.npy').stat().st_mtime_ns == before
    assert len(again) == len(scenes)
    for one, other in zip(kept[5][:5], again[5][:5], strict=True):
        assert torch.equal(one, other)
    with pytest.raises(IndexError, match='no item 12: expected one of 12'):
        again[12]


def changed(scenes, **values):
    return [*scenes[:5], replace(scenes[5], **values), *scenes[6:]]


@pytest.mark.parametrize('change', ['seed', 'augmentation', 'scenes', 'backbone', 'labels',
                                    'mask', 'images', 'track'])
def test_features_of_something_else_are_refused(scenes, tmp_path, change):
    torch.manual_seed(0)
    network = frozen_network()
    FeatureCache(GraspClips(scenes, TINY, augment=True), network, tmp_path)
    some = {'scenes': scenes[:6], 'labels': changed(scenes, labels=np.zeros(3)),
            'mask': changed(scenes, mask=[True, True, False]),
            'images': changed(scenes, jpegs=scenes[3].jpegs),
            'track': changed(scenes, track=None)}
    other = GraspClips(some.get(change, scenes), TINY, augment=True,
                        seed=change == 'seed', missing=0.2 * (change == 'augmentation'))
    if change == 'backbone':
        with torch.no_grad():
            network.backbone.stages[1][0].weight.mul_(1.1)
    with pytest.raises(ConfigError, match='holds features of other samples or labels'):
        FeatureCache(other, network, tmp_path)


def test_a_cache_of_an_older_version_is_refused(scenes, tmp_path):
    (tmp_path / 'maps.json').write_text('{"sha256": "0"}')
    with pytest.raises(ConfigError, match='holds features of an older version'):
        FeatureCache(GraspClips(scenes, TINY), frozen_network(), tmp_path)


def test_a_network_that_needs_the_images_has_no_cache(scenes, data, tmp_path, caplog):
    config = as_model(TINY, 'flow_grasp')
    with pytest.raises(ConfigError, match="'flow_grasp' needs the images themselves"):
        FeatureCache(GraspClips(scenes, config), frozen_network(config), tmp_path)
    config_file = variant_file(tmp_path, 'mine', 'tsm')
    command = ['--data', str(data / 'train'), '--config', str(config_file),
               '--run', str(tmp_path / 'run'), '--cache', str(tmp_path / 'maps')]
    assert moss(['train', *command]) == 1
    assert 'a feature cache with frozen_stages=0 is not allowed: expected 2' in caplog.text
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match='file/features.json'):
        FeatureCache(GraspClips(scenes, TINY), frozen_network(), tmp_path / 'file')


def frozen_variant(folder, temporal):
    path = variant_file(folder, 'mine', temporal)
    path.write_text(path.read_text().replace('batch: 4', 'batch: 4, frozen_stages: 2'))
    return path


def test_features_are_computed_once_and_no_image_is_decoded_again(data, tmp_path, monkeypatch):
    first = variant_file(tmp_path, 'first', 'last')
    common = ['--data', str(data / 'train')]
    assert moss(['train', *common, '--config', str(first), '--run',
                               str(tmp_path / 'first')]) == 0
    counts = []
    decode = fit_module.decode_clips

    def count(scenes, *others, **more):
        counts.append(len(scenes))
        return decode(scenes, *others, **more)
    monkeypatch.setattr(fit_module, 'decode_clips', count)
    maps = ['--cache', str(tmp_path / 'maps'), '--initial',
            str(tmp_path / 'first' / 'first.safetensors')]
    command = [*common, '--config', str(frozen_variant(tmp_path, 'tsm')), *maps]
    assert moss(['train', *command, '--only-cache', '--run', str(tmp_path / 'none')]) == 0
    assert counts == [10]
    assert not list((tmp_path / 'none').glob('*.safetensors'))
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'maps').iterdir()}
    assert 'epoch_01.npz' in made
    assert moss(['train', *command, '--run', str(tmp_path / 'run')]) == 0
    # Those held out.
    assert counts == [10, 2]
    assert (tmp_path / 'run' / 'mine.safetensors').exists()
    assert made == {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'maps').iterdir()}


def test_only_cache_needs_a_folder(data, tmp_path, caplog):
    assert moss(['train', '--data', str(data / 'train'), '--only-cache', '--run',
                               str(tmp_path)]) == 1
    assert '--only-cache needs a folder: expected --cache FOLDER' in caplog.text


@pytest.mark.parametrize('keep', [False, True])
def test_workers_make_the_same_items_ready(scenes, tmp_path, keep):
    losses = []
    for workers in (0, 2):
        torch.manual_seed(0)
        run = tmp_path / str(workers)
        trainer = Trainer(build(TINY), Recipe(epochs=2, batch=4, frozen_stages=2), run,
                          workers=workers)
        seen = GraspClips(scenes, TINY, augment=True, empty=2, photometric=0.5)
        trainer.fit(FeatureCache(seen, trainer.network, run / 'maps', workers) if keep else seen,
                    GraspClips(scenes[:3], TINY))
        losses.append([row['train_loss'] for row in csv.DictReader((run / 'log.csv').open())])
    assert losses[0] == losses[1]
    assert losses[0][0] != losses[0][1]


def test_fewer_than_no_workers_are_refused(data, tmp_path, caplog):
    assert moss(['train', '--data', str(data / 'train'), '--workers', '-1', '--run',
                               str(tmp_path)]) == 1
    assert '--workers -1 is not allowed: expected 0 or more' in caplog.text
