"""Language models on disk: loaded, looked for, and built small."""
