"""MOSS between backbone and head: the model that is shipped."""

from moss_perception.models.moss_grasp.model import MossGrasp, MossGraspConfig

__all__ = ['MossGrasp', 'MossGraspConfig']
