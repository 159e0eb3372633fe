"""Environments made of other libraries' tasks: reasoning-gym and GEM."""
