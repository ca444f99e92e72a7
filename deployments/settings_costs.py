"""What Prefect's code works out of its settings again and again: a process asks for them hundreds of times a document.

Settings are not changed in place: whoever wants others makes a new object, and then all is worked out anew.
"""

from functools import cache
from logging import getLevelNamesMapping
from typing import Any

from prefect._internal._logging import SafeLogger
from prefect.settings import PREFECT_LOGGING_INTERNAL_LEVEL, Settings, get_current_settings
from prefect.settings.legacy import Setting


@cache
def remember_settings() -> None:
    """Have each of Prefect's settings looked up once for each settings object."""
    setting_class: Any = Setting
    look_up = Setting.value_from

    def value_from(self: Setting, settings: Settings) -> Any:
        known = self.__dict__.get("_known")
        if known is None or known[0] is not settings:
            known = self.__dict__["_known"] = (settings, look_up(self, settings))
        return known[1]

    setting_class.value_from = value_from
    level: tuple[Settings | None, int] = (None, 0)

    def is_enabled_for(self: SafeLogger, number: int) -> bool:
        nonlocal level
        settings = get_current_settings()
        if level[0] is not settings:
            level = (settings, getLevelNamesMapping()[PREFECT_LOGGING_INTERNAL_LEVEL.value()])
        return number >= level[1]

    logger_class: Any = SafeLogger
    logger_class.isEnabledFor = is_enabled_for
