"""Disturbances of the cluster, each with its cure, and the nemesis that injects and heals them."""
