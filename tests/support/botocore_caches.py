"""Lets botocore work out once what it works out for each session or request, which takes a tenth of a test's time."""

from functools import cache, lru_cache

from botocore.loaders import JSONFileLoader
from botocore.useragent import UserAgentComponent

_load_file = cache(JSONFileLoader().load_file)
_to_string = lru_cache(1_000)(UserAgentComponent.to_string)


def keep_what_is_the_same() -> None:
    """Keep the models of services, and the parts of the user agent."""
    setattr(JSONFileLoader, "load_file", lambda _, path: _load_file(path))  # noqa: B010
    setattr(UserAgentComponent, "to_string", _to_string)  # noqa: B010
