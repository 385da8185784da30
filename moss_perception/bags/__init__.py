"""Recordings: ``reader`` and ``writer`` are the only homes of rosbag2 files."""
