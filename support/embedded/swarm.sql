-- The ten tables of the installation that the predecessor of this suite tested; see database.py.
-- $vector and $cosine come from the vector extension's dialect; $key and $pattern depend on sharding.

CREATE TABLE memory_entries (
    id         serial,
    namespace  varchar(255) NOT NULL,
    key        varchar(255) NOT NULL,
    value      text,
    embedding  $vector(384),
    metadata   jsonb     DEFAULT '{}',
    tags       text[],
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    expires_at timestamp,
    $key,
    UNIQUE (namespace, key)
);
CREATE INDEX ON memory_entries USING hnsw (embedding $cosine);
CREATE INDEX ON memory_entries USING gin (metadata);
CREATE INDEX ON memory_entries (namespace);
CREATE INDEX ON memory_entries (key);
CREATE INDEX ON memory_entries (created_at);
CREATE INDEX ON memory_entries (namespace, key);

CREATE TABLE patterns (
    id            serial,
    namespace     varchar(255) NOT NULL,
    pattern_type  varchar(100) NOT NULL,
    pattern_data  jsonb        NOT NULL,
    embedding     $vector(384),
    confidence    double precision DEFAULT 0.5,
    success_count integer   DEFAULT 0,
    failure_count integer   DEFAULT 0,
    created_at    timestamp DEFAULT now(),
    updated_at    timestamp DEFAULT now(),
    $key
);
CREATE INDEX ON patterns USING hnsw (embedding $cosine);
CREATE INDEX ON patterns USING gin (pattern_data);
CREATE INDEX ON patterns (namespace);
CREATE INDEX ON patterns (pattern_type);
CREATE INDEX ON patterns (confidence);

CREATE TABLE pattern_history (
    id         serial PRIMARY KEY,
    pattern_id $pattern,
    action     varchar(50) NOT NULL,
    result     varchar(50) NOT NULL,
    metadata   jsonb     DEFAULT '{}',
    created_at timestamp DEFAULT now()
);

CREATE TABLE trajectories (
    id               serial PRIMARY KEY,
    task_description text  NOT NULL,
    steps            jsonb NOT NULL,
    verdict          varchar(50),
    quality_score    double precision,
    embedding        $vector(384),
    created_at       timestamp DEFAULT now()
);
CREATE INDEX ON trajectories USING hnsw (embedding $cosine);
CREATE INDEX ON trajectories USING gin (steps);

CREATE TABLE graph_nodes (
    id         serial,
    namespace  varchar(255) NOT NULL,
    node_id    varchar(255) NOT NULL,
    node_type  varchar(100) NOT NULL,
    properties jsonb     DEFAULT '{}',
    embedding  $vector(384),
    created_at timestamp DEFAULT now(),
    $key,
    UNIQUE (namespace, node_id)
);
CREATE INDEX ON graph_nodes USING hnsw (embedding $cosine);
CREATE INDEX ON graph_nodes USING gin (properties);
CREATE INDEX ON graph_nodes (namespace);
CREATE INDEX ON graph_nodes (node_type);

CREATE TABLE graph_edges (
    id         serial,
    namespace  varchar(255) NOT NULL,
    from_node  varchar(255) NOT NULL,
    to_node    varchar(255) NOT NULL,
    edge_type  varchar(100) NOT NULL,
    properties jsonb            DEFAULT '{}',
    weight     double precision DEFAULT 1.0,
    created_at timestamp        DEFAULT now(),
    $key
);
CREATE INDEX ON graph_edges USING gin (properties);
CREATE INDEX ON graph_edges (namespace);
CREATE INDEX ON graph_edges (edge_type);
CREATE INDEX ON graph_edges (from_node);
CREATE INDEX ON graph_edges (to_node);

CREATE TABLE hyperbolic_embeddings (
    id         serial,
    namespace  varchar(255) NOT NULL,
    entity_id  varchar(255) NOT NULL,
    embedding  $vector(384),
    radius     double precision,
    metadata   jsonb     DEFAULT '{}',
    created_at timestamp DEFAULT now(),
    $key,
    UNIQUE (namespace, entity_id)
);
CREATE INDEX ON hyperbolic_embeddings USING hnsw (embedding $cosine);

CREATE TABLE vector_indexes (
    id         serial PRIMARY KEY,
    namespace  varchar(255) NOT NULL,
    index_name varchar(255) NOT NULL,
    index_type varchar(50) DEFAULT 'hnsw',
    dimensions integer     DEFAULT 384,
    metric     varchar(50) DEFAULT 'cosine',
    parameters jsonb       DEFAULT '{}',
    created_at timestamp   DEFAULT now(),
    UNIQUE (namespace, index_name)
);

CREATE TABLE sessions (
    id         serial PRIMARY KEY,
    session_id varchar(255) NOT NULL UNIQUE,
    data       jsonb     DEFAULT '{}',
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    expires_at timestamp
);

CREATE TABLE metadata (
    key        varchar(255) PRIMARY KEY,
    value      text,
    updated_at timestamp DEFAULT now()
);
INSERT INTO metadata (key, value) VALUES ('schema_version', '3.0.0');
