// Payment failure: the events that start a reminder, and those that end it.
function handler(webhook) {
  const {eventType} = webhook;
  const [family] = eventType.split(".");
  if (family === "dunning") return send(webhook, {}, eventsOf(webhook, [occurrence]));
  if (!LEDGER_FAMILIES.includes(family)) return webhook;
  return send(webhook, personAttributes(webhook), eventsOf(webhook, EVENTS[eventType]));
}

const EVENTS = {
  "payment.succeeded": [paymentSucceeded, paymentRecovered],
  "payment.failed": [paymentFailed],
  "subscription.past_due": [subscriptionPastDue],
  "subscription.on_hold": [subscriptionOnHold],
  "subscription.cancelled": [subscriptionEnded, trialEnded],
  "subscription.expired": [subscriptionEnded, trialEnded],
  "subscription.update_payment_method": [paymentMethodUpdated],
};
