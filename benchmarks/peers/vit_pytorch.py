"""vit-pytorch's MOSS: causal, cached, and the only streaming one on PyPI."""

import importlib.util
from types import ModuleType

from checkout import PEERS
from torch import nn


class PeerMissingError(RuntimeError):
    """A peer is not installed."""


def load() -> ModuleType:
    """
    Load the one file of vit-pytorch that holds MOSS; the package itself imports torchvision.

    :raises PeerMissingError: if it is not installed.
    """
    path = PEERS / 'vit_pytorch' / 'vivit_with_moss.py'
    if not path.is_file():
        raise PeerMissingError('vit-pytorch is not installed: expected it after '
                               'python benchmarks/setup_peers.py')
    spec = importlib.util.spec_from_file_location('peer_vivit_with_moss', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(channels: int, orders: int, window: tuple[int, int, int], hidden: int = 64) -> nn.Module:
    """
    Build its causal MOSS, which takes ``(B, T, H, W, C)``.

    :param channels: ``C``.
    :param orders: how many.
    :param window: ``(L, U, V)``.
    :param hidden: channels of the encoding of one offset.
    """
    return load().MOSS(channels, *window, hidden_dim=hidden, orders=orders, causal=True).eval()
