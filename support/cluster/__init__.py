"""The subject "cluster": what clients and data see on a healthy cluster."""
