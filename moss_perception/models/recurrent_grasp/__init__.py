"""A recurrent network between backbone and head."""

from moss_perception.models.recurrent_grasp.model import RecurrentGrasp, RecurrentGraspConfig

__all__ = ['RecurrentGrasp', 'RecurrentGraspConfig']
