"""Environments whose problems and experts are recorded in files and data sets."""
