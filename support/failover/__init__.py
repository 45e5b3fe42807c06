"""The subject "failover": leadership, replication and routing while members, hosts, links or the DCS fail."""
