const DAY = 24 * 3600 * 1000;

// What the event states of its own object, and what the ledger says about that; null if it states none.
function factOf(webhook, kind) {
  const found = webhook.facts.find((one) => one.kind === kind);
  return found ? {...found.fields, ...found} : null;
}

// A late payload shows the current object, so it may contradict its event type. Then only attributes are sent.
function says(fact, ...statuses) { return fact !== null && statuses.includes(fact.status); }

// The current state of a subscription in the ledger; null if it is unknown.
function subscriptionOf(webhook, id) {
  return (webhook.customer?.subscriptions ?? []).find((one) => one.id === id) ?? null;
}

// Whether the event's subscription has one of these statuses by now, whatever the event says.
function isNow(webhook, fact, ...statuses) {
  const latest = subscriptionOf(webhook, fact.id);
  return latest ? statuses.includes(latest.status) : fact.is_current;
}

function hasEnded(subscription) { return subscription?.status === "cancelled" || subscription?.status === "expired"; }

// "month", or "3 months".
function intervalText(subscription) {
  const {interval: unit, interval_count: count} = subscription;
  if (!unit || !(count > 0)) return null;
  return count === 1 ? unit : `${count} ${unit}s`;
}

// Customers change their payment method and plan there. Set the variable MANAGE_URL if that is a page of your own.
function manageUrl(webhook, fact) {
  if (webhook.env.MANAGE_URL) return webhook.env.MANAGE_URL;
  const business = webhook.payload.business_id;
  if (typeof business !== "string" || business === "") return null;
  const host = fact?.mode === "test" ? "test.customer.dodopayments.com" : "customer.dodopayments.com";
  return `https://${host}/login/${encodeURIComponent(business)}`;
}
