"""Objectives that change a few things in GRPO, one file each."""
