"""Load from many processes and machines: one ledger, written under Locust's distributed mode, judged as any other.

`master` and `worker` are programs, started by `accept load`; nobody imports them. Nothing of Python is patched for
gevent in them (LOCUST_SKIP_MONKEY_PATCH): all that waits there is Locust itself and psycopg2, and both are told how.
"""
