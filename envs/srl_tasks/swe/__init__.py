"""``srl/SWE-v0``: mend a fault in a repository; hidden tests decide."""
