-- The application's schema: what the predecessor's tests work on, with primary keys that can be sharded
-- (each holds its distribution column). $vector, $cosine and $with_hnsw come from the vector extension's dialect.

CREATE TABLE memory_entries (
    namespace  text        NOT NULL,
    key        text        NOT NULL,
    value      text        NOT NULL,
    embedding  $vector(384),
    metadata   jsonb       NOT NULL DEFAULT '{}',
    tags       text[]      NOT NULL DEFAULT '{}',
    version    bigint      NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, key)
);
CREATE INDEX memory_entries_embedding ON memory_entries USING hnsw (embedding $cosine) $with_hnsw;
CREATE INDEX memory_entries_metadata ON memory_entries USING gin (metadata jsonb_path_ops);
CREATE INDEX memory_entries_tags ON memory_entries USING gin (tags);
CREATE INDEX memory_entries_created_at ON memory_entries (namespace, created_at);

CREATE TABLE patterns (
    namespace   text             NOT NULL,
    id          text             NOT NULL,
    name        text             NOT NULL,
    description text             NOT NULL DEFAULT '',
    embedding   $vector(384),
    confidence  double precision NOT NULL DEFAULT 0 CHECK (confidence BETWEEN 0 AND 1),
    usage_count bigint           NOT NULL DEFAULT 0,
    metadata    jsonb            NOT NULL DEFAULT '{}',
    created_at  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, id)
);
CREATE INDEX patterns_embedding ON patterns USING hnsw (embedding $cosine) $with_hnsw;
CREATE INDEX patterns_metadata ON patterns USING gin (metadata jsonb_path_ops);
CREATE INDEX patterns_confidence ON patterns (namespace, confidence);

CREATE TABLE pattern_history (
    namespace  text        NOT NULL,
    pattern_id text        NOT NULL,
    version    bigint      NOT NULL,
    change     jsonb       NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, pattern_id, version)
);

CREATE TABLE trajectories (
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    namespace  text        NOT NULL,
    steps      jsonb       NOT NULL DEFAULT '[]',
    reward     double precision,
    embedding  $vector(384),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
);
CREATE INDEX trajectories_embedding ON trajectories USING hnsw (embedding $cosine) $with_hnsw;
CREATE INDEX trajectories_created_at ON trajectories (namespace, created_at);

CREATE TABLE graph_nodes (
    namespace  text        NOT NULL,
    id         text        NOT NULL,
    kind       text        NOT NULL,
    properties jsonb       NOT NULL DEFAULT '{}',
    embedding  $vector(384),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, id)
);
CREATE INDEX graph_nodes_embedding ON graph_nodes USING hnsw (embedding $cosine) $with_hnsw;
CREATE INDEX graph_nodes_properties ON graph_nodes USING gin (properties jsonb_path_ops);

CREATE TABLE graph_edges (
    namespace  text             NOT NULL,
    source     text             NOT NULL,
    target     text             NOT NULL,
    kind       text             NOT NULL,
    weight     double precision NOT NULL DEFAULT 1,
    properties jsonb            NOT NULL DEFAULT '{}',
    PRIMARY KEY (namespace, source, target, kind),
    FOREIGN KEY (namespace, source) REFERENCES graph_nodes (namespace, id) ON DELETE CASCADE,
    FOREIGN KEY (namespace, target) REFERENCES graph_nodes (namespace, id) ON DELETE CASCADE
);
CREATE INDEX graph_edges_target ON graph_edges (namespace, target);

CREATE TABLE hyperbolic_embeddings (
    namespace  text             NOT NULL,
    id         text             NOT NULL,
    embedding  $vector(384)     NOT NULL,
    curvature  double precision NOT NULL DEFAULT -1,
    created_at timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, id)
);

CREATE TABLE vector_indexes (
    name       text        NOT NULL PRIMARY KEY,
    kind       text        NOT NULL,
    dimensions integer     NOT NULL,
    metric     text        NOT NULL,
    settings   jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sessions (
    id         text        NOT NULL PRIMARY KEY,
    namespace  text        NOT NULL,
    state      jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);
CREATE INDEX sessions_namespace ON sessions (namespace);

CREATE TABLE metadata (
    key        text        NOT NULL PRIMARY KEY,
    value      jsonb       NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
