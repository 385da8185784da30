"""Optical flow beside the backbone."""

from moss_perception.models.flow_grasp.config import FlowGraspConfig
from moss_perception.models.flow_grasp.model import FlowGrasp

__all__ = ['FlowGrasp', 'FlowGraspConfig']
