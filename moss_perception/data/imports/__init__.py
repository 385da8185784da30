"""Samples from recordings: surveyed, planned for each attempt, and written as a folder."""
