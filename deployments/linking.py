"""`knowledge links`: which entities of different documents are one thing, and who says otherwise."""

from dataclasses import asdict
from typing import Any

from deployments.database import open_database
from knowledge.ids import LinkId, OrganizationId
from knowledge.linking import LinkStatus
from knowledge.settings import Settings
from tables.links import entity_labels, load_links, set_link_status


def list_links(settings: Settings, organization_id: OrganizationId) -> list[dict[str, Any]]:
    """The organisation's links with the labels of both ends, the surest first.

    Raises:
        ConfigurationError: no database is reachable, because no stack runs and no `DATABASE_URL` is set.
    """
    with open_database(settings) as database:
        links = load_links(database, organization_id)
        labels = entity_labels(database, organization_id, {end for k in links for end in (k.entity_id, k.other_id)})
    return [{**asdict(link), "label": labels[link.entity_id], "other_label": labels[link.other_id]} for link in links]


def decide_link(settings: Settings, organization_id: OrganizationId, link_id: LinkId, status: LinkStatus) -> None:
    """Accepts or undoes a link, for good.

    Raises:
        ConfigurationError: as `list_links`.
        NotFound: the organisation has no such link.
    """
    with open_database(settings) as database:
        set_link_status(database, organization_id, link_id, status)
