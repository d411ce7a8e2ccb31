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

// A counted payment: something was paid, and not only to store another card.
function paidOf(webhook) {
  const payment = factOf(webhook, "payment");
  return says(payment, "succeeded") && payment.amount > 0 && payment.is_card_update !== true ? payment : null;
}

// The subscription of a payment that is for one only.
function subscriptionIdOf(payment) {
  const ids = payment.subscription_ids ?? [];
  return ids.length === 1 ? ids[0] : null;
}

function productName(webhook, payment) {
  return payment.product_name ?? subscriptionOf(webhook, subscriptionIdOf(payment))?.product_name ?? null;
}

// Without a complete history, payment_number and is_first_payment are omitted.
function paymentFields(webhook, payment) {
  return {
    payment_id: payment.id,
    subscription_id: subscriptionIdOf(payment),
    ...money(payment),
    charge_type: payment.charge_type ?? null,
    payment_number: payment.payment_number ?? undefined,
    is_first_payment: payment.is_first_payment ?? undefined,
    product_name: productName(webhook, payment),
    invoice_url: payment.invoice_url ?? null,
  };
}

// The customer's first payment of all; never sent where the history is not known. If several of the sender's customers
// are this person, each has its own key. Then one that arrives after a later payment is not sent: that may have been.
function firstPaymentSucceeded(webhook) {
  const payment = paidOf(webhook);
  const {customer} = webhook;
  if (!payment || payment.is_first_payment !== true) return null;
  if (customer?.ids.length > 1 && customer.payments > 1 && Date.now() > customer.last_payment_at) return null;
  return ["first_payment_succeeded", paymentFields(webhook, payment), "first_payment"];
}

function personOf(customer) {
  return known({email: customer.email, name: customer.name, dodo_customer_id: customer.ids[0]});
}

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

// Omits unknown attributes: null would remove them from the person.
function known(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value != null && value !== ""));
}

function amount(minorUnits, currency) {
  return Number.isInteger(minorUnits) && currency ? nicobar.money(minorUnits, currency) ?? null : null;
}

// As text with all decimals of its currency, such as 54.50.
function amountText(minorUnits, currency) {
  const value = amount(minorUnits, currency);
  return value === null ? null : value.toFixed(Math.round(-Math.log10(nicobar.money(1, currency))));
}

function money(fact) {
  const value = amount(fact?.amount, fact?.currency);
  return {
    amount: value,
    amount_minor: value === null ? null : fact.amount,
    amount_text: amountText(fact?.amount, fact?.currency),
    currency: fact?.currency ?? null,
  };
}

// Sends the person's attributes, which come first, then the events. Each event is [name, fields, key]. The endpoint's
// setting "Identify people by" says how the customer is identified.
function send(webhook, attributes, events, others = []) {
  const calls = Object.keys(attributes).length ? [nicobar.identify(attributes)] : [];
  for (const [name, fields, once] of events) calls.push(nicobar.event(name, whole(fields), {once}));
  webhook.payload = [...calls, ...others];
  return webhook.payload.length ? webhook : leaveOut(webhook, "nothing is known that the recipe sends");
}

// Events contain all of their fields, null if unknown, because Customer.io does not send an email that uses a missing
// field. Undefined fields are omitted.
function whole(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function leaveOut(webhook, why) {
  console.log("skipped: " + why);
  webhook.cancel = true;
  return webhook;
}

// The events that the functions make of a webhook; they return null for none.
function eventsOf(webhook, functions) { return (functions ?? []).map((make) => make(webhook)).filter(Boolean); }
