"""SQLAlchemy's pool, by psycopg 3 or psycopg2, as the pool under test: ACCEPT_POOL=sqlalchemy_pool:open_pool."""

import sqlalchemy


class Pool:
    """What the suite asks of a pool, by SQLAlchemy."""

    def __init__(self, config, driver="psycopg"):
        limit = f"-c statement_timeout={config.statement_timeout * 1000:.0f}"
        options = f"{config.parameters.get('options', '')} {limit}".strip()
        self.engine = sqlalchemy.create_engine(
            f"postgresql+{driver}://",
            connect_args={**config.parameters, "options": options},
            pool_size=config.size,
            max_overflow=0,
            pool_pre_ping=True,  # or the first user of a session that was killed gets its error
        )
        sqlalchemy.event.listen(self.engine, "do_connect", self.connect)

    @staticmethod
    def connect(dialect, record, arguments, parameters):
        try:
            return dialect.connect(*arguments, **parameters)
        except dialect.loaded_dbapi.OperationalError as error:  # psycopg 3 does not say where a login timed out
            where = f"{parameters['host']}:{parameters['port']}"
            raise type(error)(f"no login at {where}: {error}") from error

    def execute(self, statement, values=None):
        with self.engine.begin() as connection:
            result = connection.exec_driver_sql(statement, values or {})
            return list(result) if result.returns_rows else []

    def close(self):
        self.engine.dispose()


def open_pool(config):
    return Pool(config)
