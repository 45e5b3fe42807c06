"""How fast the cluster is, compared with a floor measured on the same machine: `accept bench`."""
