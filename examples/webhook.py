"""An automation that tells a URL of every extraction and batch that ends, as JSON. Run again, it changes nothing.

export PREFECT_API_URL=…        # the line that `knowledge up` prints
.venv/bin/python examples/webhook.py https://example.org/hook [organization]
"""

import asyncio
import sys

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture

EVENTS = {
    "knowledge.extraction.completed",
    "knowledge.extraction.failed",
    "knowledge.batch.completed",
    "knowledge.batch.failed",
}
# `id` is the same should one end be told twice.
BODY = '{"event": {{ event.event | tojson }}, "id": "{{ event.id }}", "payload": {{ event.payload | tojson }}}'


async def main(url: str, organization: str | None) -> None:
    name = "knowledge-ends" if organization is None else f"knowledge-ends-{organization.replace('_', '-')}"
    headers = {"Content-Type": "application/json"}
    block_id = await Webhook(url=url, headers=headers).save(name, overwrite=True)  # type: ignore[arg-type]
    automation = Automation(
        name=name,
        trigger=EventTrigger(
            expect=EVENTS,
            match={} if organization is None else {"knowledge.organization": organization},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[CallWebhook(block_document_id=block_id, payload=BODY)],
    )
    # Prefect would make another one of the same name.
    try:
        present = await Automation.read(name=name)
    except ValueError:
        await automation.acreate()
    else:
        automation.id = present.id
        await automation.aupdate()
    sys.stdout.write(f"automation {name!r} calls {url}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
