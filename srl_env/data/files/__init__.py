"""Files of rows: which kinds there are, read as streams and written whole."""
