"""The tables of one installation that the suite did not make, without Citus."""

# The tables of the swarm's services: serial keys, limits, timestamps without a zone.
SWARM_TABLES = """
    CREATE TABLE memory_entries (id serial PRIMARY KEY, namespace varchar(255) NOT NULL, key varchar(255) NOT NULL,
        value text NOT NULL, embedding vector(384), metadata jsonb DEFAULT '{}', tags text[], created_at timestamp
        DEFAULT now(), updated_at timestamp DEFAULT now(), expires_at timestamp, UNIQUE (namespace, key));
    CREATE TABLE patterns (id serial PRIMARY KEY, namespace varchar(255) NOT NULL, pattern_type varchar(100) NOT NULL,
        pattern_data jsonb NOT NULL, embedding vector(384), confidence float DEFAULT 0, success_count integer DEFAULT 0,
        failure_count integer DEFAULT 0, created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE pattern_history (id serial PRIMARY KEY, pattern_id integer REFERENCES patterns ON DELETE CASCADE,
        action varchar(50) NOT NULL, result varchar(50) NOT NULL, metadata jsonb, created_at timestamp DEFAULT now());
    CREATE TABLE trajectories (id serial PRIMARY KEY, task_description text NOT NULL, steps jsonb NOT NULL, verdict
        varchar(50), quality_score float, embedding vector(384), created_at timestamp DEFAULT now());
    CREATE TABLE graph_nodes (id serial PRIMARY KEY, namespace varchar(255) NOT NULL, node_id varchar(255) NOT NULL,
        node_type varchar(100) NOT NULL, properties jsonb, embedding vector(384), created_at timestamp DEFAULT now(),
        UNIQUE (namespace, node_id));
    CREATE TABLE graph_edges (id serial PRIMARY KEY, namespace varchar(255) NOT NULL, from_node varchar(255) NOT NULL,
        to_node varchar(255) NOT NULL, edge_type varchar(100) NOT NULL, properties jsonb, weight float DEFAULT 1);
    CREATE TABLE hyperbolic_embeddings (id serial PRIMARY KEY, namespace varchar(255) NOT NULL, entity_id varchar(255)
        NOT NULL, embedding vector(384), radius float, metadata jsonb, UNIQUE (namespace, entity_id));
    CREATE TABLE vector_indexes (id serial PRIMARY KEY, namespace varchar(255) NOT NULL, index_name varchar(255)
        NOT NULL, index_type varchar(50), dimensions integer, metric varchar(50), parameters jsonb,
        UNIQUE (namespace, index_name));
    CREATE TABLE sessions (id serial PRIMARY KEY, session_id varchar(255) UNIQUE NOT NULL, data jsonb);
    CREATE TABLE metadata (key varchar(255) PRIMARY KEY, value text, updated_at timestamp DEFAULT now());
"""
WITH_VECTORS = ("memory_entries", "patterns", "trajectories", "graph_nodes", "hyperbolic_embeddings")
INDEXES = ";".join(f"CREATE INDEX ON {table} USING hnsw (embedding vector_cosine_ops)" for table in WITH_VECTORS)
