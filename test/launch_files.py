"""Launch files as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType


def load_launch_file(name: str) -> ModuleType:
    """Import ``launch/NAME.launch.py``, which is not on Python's path."""
    path = Path(__file__).resolve().parents[1] / 'launch' / f'{name}.launch.py'
    spec = importlib.util.spec_from_file_location(f'{name}_launch', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
