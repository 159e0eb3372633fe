"""What an update optimises: groups, advantages, losses. Pure functions of tensors."""
