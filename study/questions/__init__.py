"""Questions in words about motion in scenes, with and without MOSS."""
