"""
Multi-Order Self-Similarity (MOSS, arXiv 2604.20760) for any video backbone, in plain torch.

The axes, in every docstring of this room: ``B`` batch, ``T`` frames, ``C`` channels, ``H`` and
``W`` the map's height and width, ``L`` temporal offsets, ``U`` and ``V`` vertical and horizontal
offsets of the similarity window.
"""

from moss_perception.moss.attach import attach, detach
from moss_perception.moss.block import MOSS, MossState
from moss_perception.moss.similarity import correlate, space_time_self_similarity
from moss_perception.moss.streaming import streaming

__all__ = ['MOSS', 'MossState', 'attach', 'correlate', 'detach', 'space_time_self_similarity',
           'streaming']
