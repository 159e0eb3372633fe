"""Training runs: a configuration in, a folder with a trained model out."""
