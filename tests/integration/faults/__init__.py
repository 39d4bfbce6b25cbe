"""Faults of a GitLab over whole crawls: the dataset equals the truth, or a gap says why not."""
