// The demo's handler: every event becomes an event of the same name in snake_case, and the person's state follows.
function handler(webhook) {
  const data = webhook.payload.data;
  const name = webhook.eventType.replace(/\./g, "_");
  const calls = [nicobar.event(name, {
    subscription_id: data.subscription_id || null,
    payment_id: data.payment_id || null,
    amount: data.currency && data.total_amount !== undefined
      ? nicobar.money(data.total_amount, data.currency) : null,
    currency: data.currency || null,
  })];
  if (webhook.eventType.startsWith("subscription.")) {
    calls.unshift(nicobar.identify({
      subscription_status: data.status,
      renews_at: nicobar.unix(data.next_billing_date),
    }));
  }
  webhook.payload = calls;
  return webhook;
}
