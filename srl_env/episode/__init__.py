"""An episode: its state, its options, its world, and the scoring of its steps."""
