"""MOSS on optical flow."""

from moss_perception.models.moss_flow_grasp.config import MossFlowGraspConfig
from moss_perception.models.moss_flow_grasp.model import MossFlowGrasp

__all__ = ['MossFlowGrasp', 'MossFlowGraspConfig']
