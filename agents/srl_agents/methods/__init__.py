"""Training methods: stages, where their episodes start, and when they end."""
