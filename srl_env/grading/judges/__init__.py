"""What runs beside the code under test, in the sandbox: only the standard library and pytest."""
