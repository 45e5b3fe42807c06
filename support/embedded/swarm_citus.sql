-- Further tables that the installation makes with Citus; see database.py.

CREATE SCHEMA distributed;

CREATE TABLE distributed.users (
    user_id    bigserial PRIMARY KEY,
    username   varchar(255) NOT NULL,
    email      varchar(255) NOT NULL,
    metadata   jsonb,
    created_at timestamp DEFAULT now()
);

CREATE TABLE distributed.events (
    event_id    bigserial,
    user_id     bigint       NOT NULL,
    event_type  varchar(100) NOT NULL,
    event_data  jsonb,
    happened_at timestamp DEFAULT now(),
    PRIMARY KEY (event_id, user_id)
);

CREATE TABLE distributed.embeddings (
    embedding_id bigserial,
    user_id      bigint NOT NULL,
    content      text,
    embedding    $vector(1536),
    created_at   timestamp DEFAULT now(),
    PRIMARY KEY (embedding_id, user_id)
);
CREATE INDEX ON distributed.embeddings USING hnsw (embedding $cosine);

CREATE TABLE distributed.config (
    key        varchar(255) PRIMARY KEY,
    value      text,
    updated_at timestamp DEFAULT now()
);
