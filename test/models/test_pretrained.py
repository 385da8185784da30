"""Weights to start from: parts of a checkpoint, and errors in words."""

import re
import shutil

from moss_perception.core.errors import CheckpointError, ConfigError, ShapeError
from moss_perception.core.resources import model_path
from moss_perception.models.base import build
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.flow_grasp.model import FlowGraspConfig
from moss_perception.models.manifest import file_sha256
from moss_perception.models.pretrained import from_pretrained, PretrainedBackbone
from moss_perception.moss import attach, MOSS, streaming
import pytest
import torch
from torch import nn

SHIPPED = model_path()
RESULTS = SHIPPED.parents[1] / 'study/results'


@torch.no_grad()
def test_the_shipped_block_finds_the_motion_that_the_shipped_network_finds():
    block, network = from_pretrained(), load_checkpoint(SHIPPED)
    assert isinstance(block, MOSS) and not block.training
    clip = torch.rand(1, 6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block.motion(clip), network.moss.motion(clip))
    assert block.motion(clip).abs().max() > 0
    # It starts as the identity, as a new block does.
    assert torch.equal(block(clip), clip)


@torch.no_grad()
def test_the_shipped_block_is_attached_to_a_model_and_streams():
    host = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 4, 3)).eval()
    frames = torch.rand(5, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    before = host(frames)
    attach(host, {'0': from_pretrained(part='moss')}, layout='(NT)CHW', frames=5)
    assert torch.equal(host(frames), before)
    nn.init.normal_(host[0].moss.out.weight, std=0.1)
    clip = host(frames)
    assert not torch.equal(clip, before)
    with streaming(host):
        steps = torch.cat([host(frame[None]) for frame in frames])
    torch.testing.assert_close(steps, clip, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_shipped_backbone_makes_the_maps_of_the_shipped_network():
    backbone, network = from_pretrained(part='backbone'), load_checkpoint(SHIPPED)
    assert isinstance(backbone, PretrainedBackbone) and not backbone.training
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8,
                           generator=torch.Generator().manual_seed(0))
    fine, coarse = backbone(images.movedim(-1, 1))
    assert (fine.shape[1], coarse.shape[1]) == backbone.channels == network.config.channels[1:]
    torch.testing.assert_close(fine, network.fine_maps(images[None])[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(backbone(images.movedim(-1, 1).float() / 255)[1], coarse)


def test_the_backbone_of_the_study_is_read_too():
    path = RESULTS / 'backbone_64/backbone.safetensors'
    if not path.is_file():
        pytest.skip(f'{path} is not there: an installed package has no study')
    pytest.importorskip('study.models')
    assert isinstance(from_pretrained(path, 'backbone'), PretrainedBackbone)


@pytest.mark.parametrize(('name', 'channels'), [
    ('moss_12_time', 64), ('displacement_12_time', 3), ('displacement_12_history_time', 3)])
@torch.no_grad()
def test_the_stored_variants_give_what_their_networks_compute(name, channels):
    path = RESULTS / f'{name}/{name}.safetensors'
    if not path.is_file():
        pytest.skip(f'{path} is not there: an installed package has no study')
    generator = torch.Generator().manual_seed(0)
    network, block = load_checkpoint(path), from_pretrained(path)
    clip = torch.rand(1, 6, channels, 16, 16, generator=generator)
    motion = block.motion(clip)
    assert motion.isfinite().all() and motion.abs().max() > 0
    assert torch.equal(motion, network.moss.motion(clip)) and torch.equal(block(clip), clip)
    backbone = from_pretrained(path, 'backbone')
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=generator)
    fine, coarse = backbone(images.movedim(-1, 1))
    assert coarse.isfinite().all() and coarse.abs().max() > 0
    own = network.fine_maps(images[None])[0]
    torch.testing.assert_close(fine, own, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(coarse, network.backbone.late(own), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('folder', ['moss_12_time', 'displacement_12_time',
                                    'displacement_12_history_time', 'backbone_64'])
def test_a_card_beside_the_stored_weights_names_their_digest_and_command(folder):
    if not RESULTS.is_dir():
        pytest.skip(f'{RESULTS} is not there: an installed package has no study')
    checkpoint, = (RESULTS / folder).glob('*.safetensors')
    card = checkpoint.with_suffix('.md').read_text(encoding='utf-8')
    assert file_sha256(checkpoint) in card
    assert re.search(r'^(python|torchrun --nproc-per-node 2) -m study.train --data', card,
                     re.MULTILINE)
    assert checkpoint.stat().st_size < 1.3e6


def test_an_unknown_part_a_wrong_shape_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"part='head' is not allowed: expected one of"):
        from_pretrained(part='head')
    with pytest.raises(ShapeError, match=r'\(N, 3, H, W\), got \(3, 64, 64\)'):
        from_pretrained(part='backbone')(torch.rand(3, 64, 64))
    with pytest.raises(CheckpointError, match='gone.safetensors is not there'):
        from_pretrained(tmp_path / 'gone.safetensors')


def test_a_file_without_a_digest_or_with_another_one_is_refused(tmp_path):
    copy = tmp_path / 'copy.safetensors'
    shutil.copy(SHIPPED, copy)
    with pytest.raises(CheckpointError, match='has no known sha256'):
        from_pretrained(copy)
    with pytest.raises(CheckpointError, match='has sha256 .*: expected 0000'):
        from_pretrained(copy, sha256='0' * 64)
    copy.write_bytes(b'no weights')
    with pytest.raises(CheckpointError, match='copy.safetensors'):
        from_pretrained(copy, sha256='0' * 64)


def test_a_network_without_a_block_is_named(tmp_path):
    path = tmp_path / 'flow.safetensors'
    save_checkpoint(path, build(FlowGraspConfig()))
    with pytest.raises(CheckpointError, match="has no moss: .* its model is 'flow_grasp'"):
        from_pretrained(path)
    assert isinstance(from_pretrained(path, 'backbone'), PretrainedBackbone)
