"""Which release of Prefect the stack may shorten.

Some of what Prefect's server, worker and engine do for each run is replaced by private parts of ours that do the same
with less (`server_…`, `flow_…`, `outbox`, `settings_costs`). Tests hold them against one release. In another, which
may be installed as well, they might replace what has come to do something else: there Prefect is left as it is.
"""

import logging
from functools import cache

import prefect

HELD_AGAINST = "3.8.8"
_logger = logging.getLogger(__name__)


@cache
def may_be_shortened() -> bool:
    """Whether the installed Prefect is the release that our replacements were held against; a warning says if not."""
    is_same = prefect.__version__ == HELD_AGAINST
    if not is_same:
        _logger.warning(
            "Prefect %s is installed, and what %s does at length is not shortened in it: runs take more processor time",
            prefect.__version__,
            HELD_AGAINST,
        )
    return is_same
