"""Optical flow beside the backbone."""

from moss_perception.models.flow_grasp.model import FlowGrasp, FlowGraspConfig

__all__ = ['FlowGrasp', 'FlowGraspConfig']
