"""The pool of psycopg 3 as the pool under test: ACCEPT_POOL=psycopg_pool_example:open_pool."""

from psycopg_pool import ConnectionPool, PoolTimeout


class Pool:
    """What the suite asks of a pool, by psycopg_pool."""

    def __init__(self, config):
        self.where = f"{config.parameters['host']}:{config.parameters['port']}"
        self.milliseconds = round(config.statement_timeout * 1000)
        self.pool = ConnectionPool(
            config.conninfo,
            min_size=0,  # no session before the first one is needed
            max_size=config.size,
            timeout=config.login_timeout,
            check=ConnectionPool.check_connection,  # or the first user of a session that was killed gets its error
            configure=self.configure,
            open=True,
        )

    def configure(self, connection):
        connection.execute(f"SET statement_timeout = {self.milliseconds}")
        connection.commit()

    def execute(self, statement, values=None):
        try:
            with self.pool.connection() as connection:
                cursor = connection.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        except PoolTimeout as error:  # it does not say where
            raise PoolTimeout(f"no session at {self.where}: {error}") from error

    def close(self):
        self.pool.close()


def open_pool(config):
    return Pool(config)
