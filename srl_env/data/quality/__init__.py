"""What data hold and what is wrong with them."""
