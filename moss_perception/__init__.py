"""On-board video perception for grasping, with Multi-Order Self-Similarity (arXiv 2604.20760)."""

__version__ = '0.1.0'
