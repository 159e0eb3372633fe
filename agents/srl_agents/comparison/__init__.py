"""Several methods, several seeds, equal budgets."""
