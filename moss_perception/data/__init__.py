"""Recordings, scenes and clips on disk."""
