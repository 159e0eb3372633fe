"""From starts to groups of episodes and demonstrations, here or on Ray's workers."""
