"""The cluster that the suite boots itself."""
