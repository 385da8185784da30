"""Genuine hosts of several packages, small and without weights, for the tests of attach."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types

from moss_perception.moss import MOSS
import pytest
import torch
from torch import nn, Tensor

_SIZES = {'hidden_size': 24, 'num_hidden_layers': 2, 'num_attention_heads': 2}
_LIGHT = {'channels': 8, 'projection': 8, 'hidden': 4, 'learning': 'mlp'}


class _Named(type):
    def __getattr__(cls, name: str):
        if name.startswith('__'):
            raise AttributeError(name)
        return name


class _Placeholders(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torchvision':
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        def placeholder(name: str):
            if name.startswith('__'):
                raise AttributeError(name)
            return _Named(name, (), {})
        module = types.ModuleType(spec.name)
        module.__getattr__ = placeholder
        return module

    def exec_module(self, module):
        pass


@contextmanager
def torchvision_placeholders():
    """
    Let a package be imported that names torchvision at its top but does without it in its models.

    Its own code is as it is; the names that it takes from torchvision do nothing.
    """
    if importlib.util.find_spec('torchvision'):
        yield
        return
    finder = _Placeholders()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition('.')[0] == 'torchvision']:
            del sys.modules[name]


def _import(name: str):
    return pytest.importorskip(name, reason=f'{name} is not installed or does not import: see '
                               'scripts/requirements', exc_type=ImportError)


def _import_without_torchvision(name: str):
    with torchvision_placeholders():
        return _import(name)


def _transformers(kind: str, **options):
    module = _import('transformers')
    settings = {} if kind == 'ResNet' else _SIZES
    if kind not in ('ResNet', 'Dinov2WithRegisters', 'SamVision'):
        settings = {**settings, 'intermediate_size': 32}
    config = getattr(module, f'{kind}Config')(**settings, **options)
    pooling = {'add_pooling_layer': False} if kind in ('ViT', 'Vivit') else {}
    return getattr(module, f'{kind}Model')(config, **pooling)


def _sam():
    model = _transformers('SamVision', image_size=32, patch_size=8, output_channels=16,
                          mlp_dim=32, window_size=2, global_attn_indexes=[1])
    # Its own initial weights are so small that the neck puts out next to nothing.
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.2)
    return model


def _timm(name: str, **options):
    return _import_without_torchvision('timm').create_model(name, num_classes=5, **options)


def _slow_resnet():
    # Temporal kernels of 1 throughout, so that it works frame by frame.
    return _import_without_torchvision('pytorchvideo.models.resnet').create_resnet(
        stem_dim_out=8, head=None, stem_conv_kernel_size=(1, 7, 7),
        stage_conv_a_kernel_size=((1, 1, 1),) * 4)


def _x3d():
    return _import_without_torchvision('pytorchvideo.models.x3d').create_x3d(
        input_clip_length=4, input_crop_size=64, model_num_class=5, depth_factor=1.0)


def _mvit():
    module = _import_without_torchvision('pytorchvideo.models.vision_transformers')
    return module.create_multiscale_vision_transformers(
        spatial_size=(12, 20), temporal_size=4, depth=2, patch_embed_dim=24, num_heads=2,
        conv_patch_embed_kernel=(1, 4, 4), conv_patch_embed_stride=(1, 4, 4),
        conv_patch_embed_padding=(0, 0, 0), head=None)


def _monai_swin():
    return _import('monai.networks.nets.swin_unetr').SwinTransformer(
        3, 12, (2, 2, 2), (1, 2, 2), (2, 1, 1, 1), (2, 2, 2, 2))


def _monai_resnet():
    return _import('monai.networks.nets.resnet').ResNet(
        'basic', [1, 1, 1, 1], [8, 16, 16, 16], n_input_channels=3, num_classes=5,
        no_max_pool=True)


@dataclass(frozen=True)
class Host:
    """
    A model that nobody here wrote.

    :ivar name: package and model.
    :ivar build: makes it, or skips where its package is absent.
    :ivar at: name of the module to attach to.
    :ivar channels: of its output.
    :ivar layout: of its output.
    :ivar feed: the input's layout: ``(NT)CHW``, ``NTCHW`` or ``NCTHW``.
    :ivar size: height and width of a frame.
    :ivar patch: frames, rows and columns of the input behind one position of the output.
    :ivar grid: ``(T, H, W)`` of the output for four frames (twice as many for VideoMAE).
    :ivar frame_wise: whether it works frame by frame.
    :ivar sure: axes on which a change of the input is found again; a CNN spreads it over its
        receptive field.
    """

    name: str
    build: Callable[[], nn.Module]
    at: str
    channels: int
    layout: str
    feed: str
    size: tuple[int, int]
    patch: tuple[int, int, int]
    grid: tuple[int, int, int]
    frame_wise: bool = False
    sure: str = 'NTHW'

    @property
    def package(self) -> str:
        return self.name.partition(' ')[0]

    def model(self) -> nn.Module:
        """Build it in evaluation mode, with the same weights each time."""
        torch.manual_seed(0)
        return self.build().eval()

    def clip(self, batch: int = 2) -> Tensor:
        """Return random frames, shape ``(N, T, 3, H, W)``."""
        generator = torch.Generator().manual_seed(1)
        frames = self.grid[0] * self.patch[0]
        return torch.randn(batch, frames, 3, *self.size, generator=generator)

    def moss(self, random: bool = True) -> MOSS:
        block = MOSS(self.channels, (1, 2), (3, 3, 3), **_LIGHT)
        return randomise(block) if random else block

    def sizes(self) -> dict:
        return {'frames': self.grid[0], 'grid': self.grid}

    def __call__(self, model: nn.Module, clip: Tensor) -> Tensor:
        """Feed a clip ``(N, T, 3, H, W)`` in the model's own way; return its (last) map."""
        feed = {'(NT)CHW': clip.flatten(0, 1), 'NTCHW': clip, 'NCTHW': clip.transpose(1, 2)}
        output = model(feed[self.feed])
        output = getattr(output, 'last_hidden_state', output)
        return output[-1] if isinstance(output, list) else output


def randomise(block: MOSS) -> MOSS:
    """Give every weight of a MOSS a random value; the output layer is zero at first."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in block.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan ** 0.5)
    return block


HOSTS = [
    Host('transformers VideoMAE',
         lambda: _transformers('VideoMAE', image_size=(12, 20), patch_size=4, num_frames=8),
         'encoder.layer.0', 24, 'N(THW)C', 'NTCHW', (12, 20), (2, 4, 4), (4, 3, 5)),
    Host('transformers ViViT',
         lambda: _transformers('Vivit', image_size=(12, 20), num_frames=4,
                               tubelet_size=(1, 4, 4)),
         'layers.0', 24, 'N(THW)C+cls', 'NTCHW', (12, 20), (1, 4, 4), (4, 3, 5)),
    Host('transformers TimeSformer',
         lambda: _transformers('Timesformer', image_size=12, patch_size=4, num_frames=4),
         'encoder.layer.0', 24, 'N(HWT)C+cls', 'NTCHW', (12, 12), (1, 4, 4), (4, 3, 3)),
    Host('transformers TimeSformer without its class token',
         lambda: _transformers('Timesformer', image_size=12, patch_size=4, num_frames=4),
         'encoder.layer.0.temporal_dense', 24, 'N(HWT)C', 'NTCHW', (12, 12), (1, 4, 4),
         (4, 3, 3), sure='NHW'),
    Host('transformers ViT', lambda: _transformers('ViT', image_size=(12, 20), patch_size=4),
         'layers.0', 24, '(NT)LC+cls', '(NT)CHW', (12, 20), (1, 4, 4), (4, 3, 5), True),
    Host('transformers SigLIP', lambda: _transformers('SiglipVision', image_size=16, patch_size=4),
         'encoder.layers.0', 24, '(NT)LC', '(NT)CHW', (16, 16), (1, 4, 4), (4, 4, 4), True),
    Host('transformers DINOv2 with registers',
         lambda: _transformers('Dinov2WithRegisters', image_size=16, patch_size=4, mlp_ratio=2),
         'encoder.layer.0', 24, '(NT)LC+5', '(NT)CHW', (16, 16), (1, 4, 4), (4, 4, 4), True),
    Host('transformers ResNet',
         lambda: _transformers('ResNet', embedding_size=8, hidden_sizes=[16, 24], depths=[1, 1],
                               layer_type='basic'),
         'encoder.stages.0', 16, '(NT)CHW', '(NT)CHW', (24, 40), (1, 4, 4), (4, 6, 10), True,
         'NT'),
    Host('transformers SAM', _sam,
         'vision_encoder.layers.0', 24, '(NT)HWC', '(NT)CHW', (32, 32), (1, 8, 8), (4, 4, 4),
         True),
    Host('pytorchvideo 3D ResNet', _slow_resnet,
         'blocks.1', 32, 'NCTHW', 'NCTHW', (32, 48), (1, 4, 4), (4, 8, 12), True,
         'NT'),
    Host('pytorchvideo X3D', _x3d,
         'blocks.2', 48, 'NCTHW', 'NCTHW', (64, 64), (1, 8, 8), (4, 8, 8), sure='N'),
    Host('pytorchvideo MViT', _mvit,
         'blocks.0', 24, 'N(THW)C+cls', 'NCTHW', (12, 20), (1, 4, 4), (4, 3, 5)),
    Host('monai Swin', _monai_swin,
         'layers1.0.blocks.1', 12, 'NTHWC', 'NCTHW', (12, 20), (1, 2, 2), (4, 6, 10)),
    Host('monai 3D ResNet', _monai_resnet,
         'layer1', 8, 'NCTHW', 'NCTHW', (6, 10), (1, 1, 1), (4, 6, 10),
         sure='N'),
    Host('timm ViT without a class token',
         lambda: _timm('vit_tiny_patch16_224', depth=2, img_size=(12, 20), patch_size=4,
                       embed_dim=24, num_heads=2, class_token=False, global_pool='avg'),
         'blocks.0', 24, '(NT)LC', '(NT)CHW', (12, 20), (1, 4, 4), (4, 3, 5), True),
    Host('timm ResNet', lambda: _timm('resnet18', channels=(8, 16, 16, 16)),
         'layer2', 16, '(NT)CHW', '(NT)CHW', (32, 48), (1, 8, 8), (4, 4, 6), True, 'NT'),
]
