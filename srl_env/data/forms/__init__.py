"""The forms that data come in, one file each."""
