"""The subject "sharding": placement, queries, transactions and moves of Citus' shards."""
