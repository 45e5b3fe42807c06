"""How fast the cluster is, beside the least that each figure could be on this machine: `accept bench`."""
