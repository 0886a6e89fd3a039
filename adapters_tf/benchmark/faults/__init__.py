"""Whether a run that is killed ends as one that is not."""
