"""
For planners: propose grasps to ``grasp_predictor`` and act on their scores; see docs/planner.md.

It imports rclpy, NumPy and the standard messages, and neither decoders nor torch nor ONNX Runtime.
"""

from moss_perception.client.proposals import (
    Latency,
    Proposal,
    ProposalError,
    ScoresTimeoutError,
)
from moss_perception.client.scored import ScoredGrasp, ScoredGrasps
from moss_perception.client.scorer import GraspScorer
from moss_perception.core.scores import ScoreReason

__all__ = ['GraspScorer', 'Latency', 'Proposal', 'ProposalError', 'ScoredGrasp', 'ScoredGrasps',
           'ScoreReason', 'ScoresTimeoutError']
