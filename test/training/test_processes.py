"""Processes train one network together."""

import csv
from dataclasses import replace
import os
from pathlib import Path
import subprocess
import sys

from moss_perception.core.errors import ConfigError
from moss_perception.data.shards import write_shard
from moss_perception.models.base import build
from moss_perception.training.processes import Group
from moss_perception.training.settings import Recipe
from moss_perception.training.trainer import Trainer
import numpy as np
import pytest
from spots import MATRIX, scene, TINY, variant_file

ROOT = Path(__file__).resolve().parents[2]


def test_each_process_takes_its_share():
    groups = [Group(rank=rank, size=3) for rank in range(3)]
    assert [group.share([5, 6, 7, 8]) for group in groups] == [[5, 8], [6], [7]]
    assert groups[2].share([4]) == [4]
    with pytest.raises(ConfigError, match='batch=2 is not allowed with 3 processes'):
        Trainer(build(TINY), Recipe(batch=2), 'unused', group=groups[0])


def test_two_processes_train_one_network(tmp_path):
    path, mask = variant_file(tmp_path, 'both', 'moss'), np.zeros((32, 48), bool)
    mask[10:16, 25:31] = True
    path.write_text(path.read_text().replace(
        'batch: 4', 'batch: 4, motion_weight: 0.5, mask_weight: 0.5'))
    write_shard(tmp_path / 'train' / 'scenes_00000000.npz', [
        replace(scene(seed), object_mask=mask, lead_time_s=0.7) for seed in range(12)], MATRIX)
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone',
               '--nproc-per-node', '2', '-m', 'moss_perception', 'train', '--data',
               str(tmp_path / 'train'), '--config', str(path), '--folder', str(tmp_path / 'run'),
               '--threads', '1']
    done = subprocess.run(command, cwd=ROOT, timeout=110, capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'))
    assert done.returncode == 0, done.stderr
    with (tmp_path / 'run' / 'log.csv').open() as file:
        assert [row['epoch'] for row in csv.DictReader(file)] == ['1', '2']
    assert done.stderr.count('both.safetensors, sha256') == done.stderr.count('both.md') == 1
    assert (tmp_path / 'run' / 'both.safetensors').exists()
