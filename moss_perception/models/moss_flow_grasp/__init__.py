"""MOSS on optical flow."""

from moss_perception.models.moss_flow_grasp.model import MossFlowGrasp, MossFlowGraspConfig

__all__ = ['MossFlowGrasp', 'MossFlowGraspConfig']
