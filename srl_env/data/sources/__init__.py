"""Problem sources: from a list, a file, or a data set."""
