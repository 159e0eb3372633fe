"""Policies on servers that speak OpenAI's API."""
