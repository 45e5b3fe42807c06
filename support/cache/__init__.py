"""The subject "cache": the application's cache in Redis, its correctness, speed and outages."""
