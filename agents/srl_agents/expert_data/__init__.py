"""Expert data from a policy: sampled solutions that the verifier accepts, as trajectories."""
