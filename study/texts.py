"""Outcomes and differences as text: how results store them, and how tables show them."""

from collections.abc import Mapping
import json
import math
from pathlib import Path
from typing import Any

from moss_perception.cli.common import read_text
from moss_perception.core.errors import ConfigError
import numpy as np


def read_results(path: str | Path) -> dict[str, Any]:
    """
    Read stored results.

    :raises ConfigError: if the file is not JSON.
    """
    try:
        return json.loads(read_text(Path(path)))
    except ValueError as error:
        raise ConfigError(f'{path} is not JSON: {error}') from error


def write_digits(outcomes: np.ndarray) -> str:
    """Write outcomes, 0 or 1, shape ``(N,)``, as one digit each."""
    return ''.join(map(str, np.asarray(outcomes).astype(int)))


def read_digits(text: str) -> np.ndarray:
    """Convert the digits to float64, shape ``(N,)``."""
    return np.frombuffer(text.encode(), np.uint8).astype(float) - ord('0')


def in_points(gap: Mapping[str, Any]) -> str:
    """Write a ``difference`` and its interval ``low`` to ``high``, shares, in points."""
    if gap['low'] is None or math.isnan(gap['low']):
        return f'{to_points(gap["difference"], "+")} [-, -]'
    middle, low, high = (to_points(gap[key], '+') for key in ('difference', 'low', 'high'))
    return f'{middle} [{low}, {high}]'


def to_points(share: float, sign: str = '') -> str:
    """
    Write a share in points, with one decimal; 0.0 has no sign.

    :param sign: ``+`` to give positive numbers a sign.
    """
    text = f'{100 * share:{sign}.1f}'
    return '0.0' if float(text) == 0 else text
