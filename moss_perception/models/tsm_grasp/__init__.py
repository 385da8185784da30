"""Temporal shifts in the backbone and on its map."""

from moss_perception.models.tsm_grasp.model import TsmGrasp, TsmGraspConfig

__all__ = ['TsmGrasp', 'TsmGraspConfig']
