"""Environments of packages that tasks need: read from metadata, downloaded, installed, mounted."""
