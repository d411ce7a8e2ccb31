// Subscription life cycle: what happens to subscriptions as events, and their state as attributes of the person.
function handler(webhook) {
  const {eventType} = webhook;
  if (!eventType.startsWith("subscription.") && eventType !== "payment.succeeded") return webhook;
  const general = eventType === "payment.succeeded" ? [] : [cancelScheduled, cancelUndone, planChangeScheduled];
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
