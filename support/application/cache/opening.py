"""The cache under test, by the name that the setting gives it."""

import importlib
from collections.abc import Callable

from support.application.cache.interface import CacheRepository, Means
from support.errors import UsageError


def opener(name: str) -> Callable[[Means], CacheRepository]:
    """The callable that "package.module:callable" names. Raises UsageError, which says what is wrong with the name."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise UsageError(f'ACCEPT_CACHE_REPOSITORY is {name!r}: it is to be "package.module:callable"')
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"ACCEPT_CACHE_REPOSITORY is {name!r}: {error}") from error
    if not callable(found):
        raise UsageError(f"ACCEPT_CACHE_REPOSITORY is {name!r}: that is a {type(found).__name__}, no callable")
    opening: Callable[[Means], CacheRepository] = found
    return opening
