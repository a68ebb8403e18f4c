"""A URL that is called when a study ends, stalls or settles: ``ASSAY_WEBHOOK`` names it."""

from assay.extras import Extra

EXTRA = Extra(
    name="webhook",
    summary="Calls a URL when a study ends, stalls or settles.",
    listener="assay.extras.webhook.webhook:listener",
    answers={"webhook": "assay.extras.webhook.webhook:WebhookAnswer"},
)
