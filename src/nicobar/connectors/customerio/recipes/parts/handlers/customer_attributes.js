// Customer attributes: payments and subscriptions as attributes, for segments. Sends no events.
function handler(webhook) {
  const [family] = webhook.eventType.split(".");
  if (!LEDGER_FAMILIES.includes(family)) return webhook;
  return send(webhook, personAttributes(webhook), [], subscriptionObjects(webhook));
}
