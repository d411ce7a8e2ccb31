// Subscription life cycle: what happens to subscriptions as events, and their state as attributes of the person.
function handler(webhook) {
  const {eventType} = webhook;
  const [family] = eventType.split(".");
  if (!LEDGER_FAMILIES.includes(family)) return webhook;
  const general = family === "subscription" ? [cancelScheduled, cancelUndone, planChangeScheduled] : [];
  const events = eventsOf(webhook, [...EVENTS[eventType] ?? [], ...general]);
  return send(webhook, personAttributes(webhook), events, subscriptionObjects(webhook));
}

const EVENTS = {
  "payment.succeeded": [trialConverted],
  "subscription.active": [subscriptionStarted, trialStarted, trialFoundConverted],
  "subscription.renewed": [subscriptionRenewed, trialFoundConverted],
  "subscription.past_due": [subscriptionPastDue],
  "subscription.on_hold": [subscriptionOnHold],
  "subscription.paused": [subscriptionPaused],
  "subscription.unpaused": [subscriptionResumed],
  "subscription.plan_changed": [planChanged],
  "subscription.cancelled": [subscriptionEnded, trialEnded],
  "subscription.expired": [subscriptionEnded, trialEnded],
  "subscription.update_payment_method": [paymentMethodUpdated],
};
