"""A checkpoint of the model with time inputs, and what it scores, by its formula."""

import importlib.util
from pathlib import Path
import sys

from moss_perception.models.base import build
from moss_perception.models.checkpoint import save_checkpoint
import numpy as np
import torch

LEAD_WEIGHT, INTERVAL_WEIGHT, BEFORE_WEIGHT = 4.0, 3.0, 2.0


def timed_toy():
    """Import the model, which registers it."""
    if 'timed_toy' not in sys.modules:
        path = Path(__file__).parent / 'models' / 'timed_toy.py'
        spec = importlib.util.spec_from_file_location('timed_toy', path)
        sys.modules['timed_toy'] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules['timed_toy'])
    return sys.modules['timed_toy']


def timed_network(**changes):
    """Build its network: scores rise with the lead time and the two newest intervals alone."""
    toy = timed_toy()
    network = build(toy.TimedConfig(**{**toy.TIMES, **changes})).eval()
    with torch.no_grad():
        network.members.weight.zero_()
        network.members.weight[:, 1] = INTERVAL_WEIGHT
        network.members.weight[:, 2] = BEFORE_WEIGHT
        network.members.weight[:, -1] = LEAD_WEIGHT
        network.members.bias.fill_(-2.0)
    return network


def timed_checkpoint(path: Path) -> Path:
    """Write it, without graphs: it runs in torch."""
    save_checkpoint(path, timed_network())
    return path


def expected_score(lead_time_s, interval_s=0.1, before_s=0.1):
    """Return what it scores at a lead time, after two intervals."""
    logit = (LEAD_WEIGHT * np.asarray(lead_time_s) + INTERVAL_WEIGHT * interval_s
             + BEFORE_WEIGHT * before_s - 2)
    return 1 / (1 + np.exp(-logit))
