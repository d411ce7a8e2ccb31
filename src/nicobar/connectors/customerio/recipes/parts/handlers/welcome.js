// Welcome: a customer's first payment, with the fields for a welcome email. Only where the history is known: a missing
// welcome is better than one to a long-standing customer.
function handler(webhook) {
  if (webhook.eventType !== "payment.succeeded") return webhook;
  const [first] = eventsOf(webhook, [firstPaymentSucceeded]);
  if (!first) return leaveOut(webhook, whyNot(webhook));
  // Attributes that change are for a recipe that also sends their changes.
  return send(webhook, personOf(webhook.customer), [first]);
}

function whyNot(webhook) {
  if (!paidOf(webhook)) return "nothing was paid, or the amount is unknown";
  if (webhook.customer?.history_complete) return "not the first payment";
  return "whether it is the first payment is not known: set history_complete_since in the source's settings";
}
