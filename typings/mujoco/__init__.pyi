"""MuJoCo's API comes from a compiled module, which has no annotations."""

from typing import Any

def __getattr__(name: str) -> Any: ...
