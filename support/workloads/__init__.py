"""Clients that work while something happens to the cluster, and record each operation."""
