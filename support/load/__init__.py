"""Load from many processes and machines: all write one ledger, coordinated by Locust's distributed mode.

`master` and `worker` are programs that `accept load` starts; nothing imports them. gevent does not patch Python in them
(LOCUST_SKIP_MONKEY_PATCH): only Locust and psycopg2 wait, and psycopg2 gets a wait function of its own.
"""
