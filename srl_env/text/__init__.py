"""Texts: prompts, completion formats, tool calls, the space of all texts."""
