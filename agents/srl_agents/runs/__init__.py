"""What a run is made of, on disk: configuration, inputs, checkpoints, history."""
