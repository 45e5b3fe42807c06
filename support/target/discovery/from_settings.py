"""What the settings name, before anything is asked: logins, Patroni's REST APIs, HAProxy's page."""

from pydantic import SecretStr

from support.settings import Settings
from support.target.discovery import addresses, web
from support.target.topology import Address, Login, StatisticsPage


def administrator(settings: Settings) -> Login | None:
    """The superuser's login."""
    return _login(settings.accept_admin_user, settings.accept_admin_password)


def patroni_login(settings: Settings) -> Login | None:
    """The login for Patroni's commands, if it requires one."""
    return _login(settings.patroni_restapi_username, settings.patroni_restapi_password)


def patroni_hosts(settings: Settings) -> list[Address]:
    """The REST APIs in PATRONI_HOSTS."""
    return [addresses.parsed(web.address(one), settings.patroni_port) for one in settings.patroni_hosts]


def rest_apis(settings: Settings) -> list[Address]:
    """The REST APIs in PATRONI_HOSTS and in [members]."""
    places = addresses.places("[members]", settings.member_addresses)
    return patroni_hosts(settings) + [place.rest for place in places.values() if place.rest]


def page_login(settings: Settings) -> Login | None:
    """The login for HAProxy's statistics page, if it requires one."""
    return _login(settings.haproxy_stats_user, settings.haproxy_stats_password)


def statistics_page(settings: Settings) -> StatisticsPage | None:
    """HAProxy's statistics page."""
    if settings.haproxy_stats_url is None:
        return None
    return StatisticsPage(settings.haproxy_stats_url, page_login(settings), authority=web.authority_of_page(settings))


def _login(user: str | None, password: SecretStr | None) -> Login | None:
    return Login(user, password.get_secret_value() if password is not None else "") if user else None
