"""Many environments at once: stepped together, and behind Gymnasium's vector interface."""
