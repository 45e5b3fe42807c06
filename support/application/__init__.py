"""The application whose data the cluster keeps: its schema, its entries, its pool, its cache repository."""
