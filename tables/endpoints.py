"""How model endpoints stand, as rows. They are the installation's: nothing in them is of an organisation."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, TextClause, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from resilience.board import EndpointState, Hold, Standing
from tables.base import InstallationTable
from tables.session import Database
from tables.storable import storable_text

CHANNEL = "knowledge_endpoint"
"""Where all is notified: a JSON object with the endpoint's `id`, and a standing's fields, `failures` or nothing."""
_LONGEST_DETAIL = 500


class EndpointRow(InstallationTable):
    """An endpoint; while it may not be asked, since when, until when, and who is just trying it."""

    __tablename__ = "model_endpoint"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    state: Mapped[str]
    detail: Mapped[str]
    held_since: Mapped[datetime | None]
    probe_at: Mapped[datetime | None]
    probing_by: Mapped[str | None]
    probing_until: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


@dataclass(frozen=True, slots=True)
class EndpointKey:
    """Which endpoint: equal ones are shared. `name` is for people."""

    id: str
    name: str

    @classmethod
    def of(cls, kind: str, base_url: str | None, model: str) -> "EndpointKey":
        """The endpoint of this kind (`chat`, `embedding`) at an address, for a model."""
        digest = hashlib.sha256(f"{base_url}\n{model}".encode()).hexdigest()[:16]
        return cls(f"{kind}-{digest}", f"{kind} endpoint" + (f" for {model}" if model else ""))


@dataclass(frozen=True, slots=True)
class EndpointStanding:
    """An endpoint as an operator sees it; the times are None while it may be asked."""

    id: str
    name: str
    state: EndpointState
    detail: str
    held_since: datetime | None
    probe_at: datetime | None
    probing_until: datetime | None


_COLUMNS = """
    version, state, detail,
    greatest(0, extract(epoch FROM probe_at - clock_timestamp()))::float AS probe_in,
    greatest(0, extract(epoch FROM clock_timestamp() - held_since))::float AS held
"""
_READ = text(f"SELECT id, {_COLUMNS} FROM knowledge.model_endpoint WHERE id = ANY(:ids)")
# A hold by another than the prober neither ends a probe nor shortens a hold; and one that was decided before the
# endpoint was last said to be well comes too late.
_HOLD = text(f"""
    INSERT INTO knowledge.model_endpoint AS e (id, name, state, detail, held_since, probe_at)
    VALUES (:id, :name, :state, :detail,
            clock_timestamp() - make_interval(secs => :held), clock_timestamp() + make_interval(secs => :probe_in))
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name,
        state = CASE WHEN e.state = 'open' AND e.probing_by IS DISTINCT FROM :process THEN e.state
                     ELSE excluded.state END,
        detail = excluded.detail,
        held_since = least(e.held_since, excluded.held_since),
        probe_at = CASE WHEN e.state = 'closed' OR e.probing_by = :process THEN excluded.probe_at
                        ELSE greatest(e.probe_at, excluded.probe_at) END,
        probing_until = CASE WHEN e.probing_by = :process THEN NULL ELSE e.probing_until END,
        probing_by = nullif(e.probing_by, :process),
        version = e.version + 1,
        updated_at = clock_timestamp()
    WHERE e.state <> 'closed' OR e.version <= :known
    RETURNING {_COLUMNS}
""")
_RELEASE = text(f"""
    UPDATE knowledge.model_endpoint
    SET state = 'closed', detail = '', held_since = NULL, probe_at = NULL, probing_by = NULL, probing_until = NULL,
        version = version + 1, updated_at = clock_timestamp()
    WHERE id = :id RETURNING {_COLUMNS}
""")
_CLAIM = text(f"""
    UPDATE knowledge.model_endpoint
    SET probing_by = :process, probing_until = clock_timestamp() + make_interval(secs => :lasting),
        version = version + 1, updated_at = clock_timestamp()
    WHERE id = :id AND state <> 'closed' AND probe_at <= clock_timestamp() + interval '20 ms'
      AND (probing_by IS NULL OR probing_until < clock_timestamp())
    RETURNING {_COLUMNS}
""")
_RETURN = text(f"""
    UPDATE knowledge.model_endpoint
    SET probing_by = NULL, probing_until = NULL, probe_at = least(probe_at, clock_timestamp()),
        version = version + 1, updated_at = clock_timestamp()
    WHERE id = :id AND probing_by = :process RETURNING {_COLUMNS}
""")
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


class Endpoints:
    """The rows, written by one process. Every method is a transaction; changes are notified when they commit.

    All raise StoreUnavailable when the database does not answer.
    """

    def __init__(self, database: Database, process: str) -> None:
        self._database = database
        self.process = process
        self._written: dict[str, int] = {}

    def hold(self, key: EndpointKey, hold: Hold, known_version: int) -> None:
        """The endpoint may not be asked, decided when `known_version`, or what we wrote since, was its latest."""
        values = {
            "name": key.name,
            "state": hold.state.value,
            "detail": storable_text(hold.detail)[:_LONGEST_DETAIL],
            "held": hold.held_seconds,
            "probe_in": hold.probe_in_seconds,
            "known": max(known_version, self._written.get(key.id, known_version)),
        }
        self._change(_HOLD, key, process=self.process, **values)

    def release(self, key: EndpointKey) -> None:
        """The endpoint may be asked."""
        self._change(_RELEASE, key)

    def claim_probe(self, key: EndpointKey, lasting_seconds: float) -> bool:
        """Whether the probe that is due is this process's, for so long."""
        return self._change(_CLAIM, key, process=self.process, lasting=lasting_seconds)

    def return_probe(self, key: EndpointKey) -> None:
        """A probe of this process came to nothing; another is due."""
        self._change(_RETURN, key, process=self.process)

    def tell_failures(self, key: EndpointKey, count: int) -> None:
        """Notifies that this process has seen so many consecutive failures."""
        with self._database.installation_session() as session:
            self._notify(session, key, {"failures": count})

    def tell_sharers(self, keys: Collection[EndpointKey]) -> None:
        """Notifies that a process has come to the endpoints, or left them."""
        with self._database.installation_session() as session:
            for key in keys:
                self._notify(session, key, {})

    def read(self, key: EndpointKey) -> Standing | None:
        """How the endpoint stands; None if nobody has ever held it."""
        return self.read_all([key]).get(key)

    def read_all(self, keys: Collection[EndpointKey]) -> dict[EndpointKey, Standing]:
        """How those of the endpoints stand that were ever held."""
        with self._database.installation_session() as session:
            rows = session.execute(_READ, {"ids": [key.id for key in keys]}).mappings()
            standings = {row["id"]: standing_of(row) for row in rows}
        return {key: standings[key.id] for key in keys if key.id in standings}

    def _change(self, statement: TextClause, key: EndpointKey, **values: object) -> bool:
        with self._database.installation_session() as session:
            row = session.execute(statement, {"id": key.id, **values}).mappings().one_or_none()
            if row is not None:
                self._notify(session, key, row)
        if row is not None:
            self._written[key.id] = int(row["version"])
        return row is not None

    def _notify(self, session: Session, key: EndpointKey, news: Mapping[Any, object]) -> None:
        payload = json.dumps({**news, "id": key.id, "process": self.process})
        session.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


def standing_of(fields: Mapping[Any, Any]) -> Standing:
    """The standing that a row or a notification tells of."""
    state = EndpointState(fields["state"])
    if state is EndpointState.CLOSED:
        return Standing(int(fields["version"]), None)
    hold = Hold(state, float(fields["probe_in"] or 0), float(fields["held"] or 0), str(fields["detail"]))
    return Standing(int(fields["version"]), hold)


def endpoint_standings(database: Database) -> tuple[EndpointStanding, ...]:
    """All endpoints that were ever held, by name.

    Raises:
        StoreUnavailable, ConfigurationError: as `Database.operator_session`.
    """
    row = EndpointRow
    columns = (row.id, row.name, row.state, row.detail, row.held_since, row.probe_at, row.probing_until)
    with database.operator_session() as session:
        found = session.execute(select(*columns).order_by(row.name, row.id))
        return tuple(
            EndpointStanding(each, name, EndpointState(state), detail, held_since, probe_at, probing_until)
            for each, name, state, detail, held_since, probe_at, probing_until in found
        )
