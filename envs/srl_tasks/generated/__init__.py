"""Environments whose problems are generated, with an expert and a step checker."""
