"""Methods that mix policy gradient and imitation in one stage, and their second objectives."""
