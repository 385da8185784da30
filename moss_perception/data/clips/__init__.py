"""Video clips and their labels, turned into recordings."""
