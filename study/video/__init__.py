"""MOSS on real video: arrow of time, speed of playback, and verb."""
