"""What runs inside the sandbox while tasks are made: only the standard library and pytest."""
