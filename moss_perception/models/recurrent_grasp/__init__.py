"""A recurrent network between backbone and head."""

from moss_perception.models.recurrent_grasp.config import RecurrentGraspConfig
from moss_perception.models.recurrent_grasp.model import RecurrentGrasp

__all__ = ['RecurrentGrasp', 'RecurrentGraspConfig']
