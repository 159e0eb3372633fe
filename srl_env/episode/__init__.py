"""An episode: its state, what ``reset`` reads, and messages to authors of environments."""
