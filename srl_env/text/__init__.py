"""What is said and written: prompts, completion formats, tool calls, spaces of texts."""
