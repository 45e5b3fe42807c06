"""The subject "isolation": what concurrent transactions see of one another, at each isolation level."""
