// Journeys: Dodo's events about a customer as events, and the customer's current state as attributes. Billing addresses,
// phone numbers, cards, raw decline codes, license keys and sign-in links are never sent.
function handler(webhook) {
  const {eventType} = webhook;
  const [family] = eventType.split(".");
  if (Object.hasOwn(OTHERS, family)) return send(webhook, {}, eventsOf(webhook, [occurrence]));
  if (!Object.hasOwn(FAMILIES, family)) return webhook; // payouts and unknown event types are not sent
  const events = eventsOf(webhook, [...EVENTS[eventType] ?? [], ...FAMILIES[family]]);
  return send(webhook, personAttributes(webhook), events, subscriptionObjects(webhook));
}

// The events of each family, and of each event type.
const FAMILIES = {
  payment: [],
  subscription: [cancelScheduled, cancelUndone, planChangeScheduled],
  refund: [refunded],
  dispute: [disputed],
};
const EVENTS = {
  "payment.succeeded": [paymentSucceeded, firstPaymentSucceeded, paymentRecovered, trialConverted],
  "payment.failed": [paymentFailed],
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
