"""``srl-env data``: data looked at, checked, and brought into one form."""
