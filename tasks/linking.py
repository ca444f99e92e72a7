"""Resolution across documents, once many of them have been read."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from knowledge.errors import NotFound
from knowledge.ids import ExecutionId, ExtractionId, OrganizationId
from tables.links import link_entities
from tables.session import Database

_logger = logging.getLogger(__name__)


async def link_documents(
    database: Database,
    organization_id: OrganizationId,
    extracted: Sequence[tuple[ExtractionId, ExecutionId]],
    held: Callable[[], Awaitable[None]],
) -> int:
    """Links the entities of these extractions to those of all other documents; how many links are new or changed.

    Each extraction links itself when it is published. Two that are published at the same moment do not see each
    other then; here they do. Doing it again changes nothing.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    changed = 0
    for extraction_id, execution_id in extracted:
        await held()
        try:
            changed += await asyncio.to_thread(link_entities, database, organization_id, extraction_id, execution_id)
        except NotFound as error:
            # Retracted and purged meanwhile.
            _logger.warning("nothing is linked: %s", error.message)
    return changed
