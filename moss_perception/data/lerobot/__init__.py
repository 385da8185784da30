"""LeRobotDataset, version 3: written from samples, and read as samples."""
