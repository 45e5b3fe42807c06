"""The subject "security": logins, privileges, secrets and encryption."""
