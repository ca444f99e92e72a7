"""Under which key a stage's answer is kept: by content, never by run."""

from knowledge.domain import Stage
from knowledge.ids import OrganizationId

_SEPARATOR = "/"


def result_key(organization_id: OrganizationId, identity: tuple[str, ...]) -> str:
    """`<organization>/<stage>/<digest>`: the same question of the same organisation has the same key.

    `identity` is a stage call's: the stage, and one digest over stage version, model and its settings, prompt,
    ontology and input. Two organisations never share a key.
    """
    stage, digest = identity
    return _SEPARATOR.join((organization_id, Stage(stage), digest))


def organization_of(key: str) -> OrganizationId:
    """The organisation whose key this is.

    Raises:
        InvalidId: not a key made by `result_key`.
    """
    return OrganizationId(key.split(_SEPARATOR, 1)[0])
