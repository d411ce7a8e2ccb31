// Welcome: a first payment, with what a first mail needs.
function handler(webhook) {
  if (webhook.eventType !== "payment.succeeded") return webhook;
  const data = webhook.payload.data;
  const why = whyNot(data);
  if (why) return leaveOut(webhook, why);
  return send(webhook, [[null, profile(data)], ["payment_succeeded", payment(data), fact("payment", data.payment_id, "succeeded")]]);
}

// Why a payment is no reason to welcome somebody. What does not say that it is a first one is none: a welcome too few
// is better than one to a customer of years.
function whyNot(data) {
  const isOneTime = data.subscription_id === null && !(data.subscription_ids || []).length && !data.charge_type;
  if (!(data.total_amount > 0)) return "nothing was paid, or it does not say how much";
  if (data.is_update_payment_method === true) return "it only changes the method of payment";
  if (data.retry_attempt > 0) return "it is a renewal that was tried again";
  if (data.charge_type === "new" || isOneTime) return null;
  return `it is no first payment (charge_type ${data.charge_type})`;
}

function payment(data) {
  return {
    payment_id: data.payment_id,
    subscription_id: data.subscription_id,
    status: data.status,
    amount: amount(data.total_amount, data.currency),
    currency: data.currency,
    charge_type: data.charge_type,
    created_at: time(data.created_at),
    error_code: data.error_code,
    payment_link: data.payment_link,
    invoice_url: data.invoice_url,
  };
}

// What names a fact, so that it counts once under however many webhook ids it arrives; undefined where a part of the name
// is unknown: then each webhook id counts.
function fact(...parts) {
  const isKnown = (part) => (typeof part === "string" && part !== "") || typeof part === "number";
  return parts.every(isKnown) ? parts.join("/") : undefined;
}

// Whom the event is about. The endpoint's variable IDENTIFIER says how your workspace knows people: customer_id
// (Dodo's, the default), email, or metadata.KEY (an id of yours that your checkout put into the metadata).
function whom(webhook) {
  const data = webhook.payload.data;
  const customer = data.customer || {};
  const by = webhook.env.IDENTIFIER || "customer_id";
  if (by === "customer_id") return named("id", customer.customer_id || data.customer_id);
  if (by === "email") return named("email", customer.email);
  const key = by.startsWith("metadata.") ? by.slice("metadata.".length) : "";
  if (key) return named("id", (data.metadata || {})[key] ?? (customer.metadata || {})[key]);
  throw new Error(`The variable IDENTIFIER is "${by}". It can be customer_id, email, or metadata.KEY.`);
}

function named(kind, value) {
  return (typeof value === "string" && value) || typeof value === "number" ? {[kind]: String(value)} : null;
}

// The address and the name, where the event tells them.
function profile(data) {
  const customer = data.customer || {};
  return known({email: customer.email, name: customer.name});
}

// Attributes without those that the event does not tell: null would take them away.
function known(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value != null && value !== ""));
}

// Dodo writes some numbers as text. What is none is unknown.
function number(value) {
  const isOne = typeof value === "number" || (typeof value === "string" && value.trim() !== "");
  return isOne && Number.isFinite(Number(value)) ? Number(value) : null;
}

function amount(minorUnits, currency) {
  const units = number(minorUnits);
  return units === null || !currency ? null : nicobar.money(units, currency);
}

function time(isoText) { return isoText ? nicobar.unix(isoText) : null; }

// Each call is [name, fields, fact]; without a name it sets attributes. An event has all of its fields, null where they
// are unknown, since a mail that uses one that is not there is not sent.
function send(webhook, calls) {
  const identifiers = whom(webhook);
  if (!identifiers) {
    return leaveOut(webhook, "the event does not say whom it is about by " + (webhook.env.IDENTIFIER || "customer_id"));
  }
  webhook.payload = calls.filter(([name, values]) => name !== null || Object.keys(values).length > 0)
    .map(([name, values, once]) => {
      if (name === null) return nicobar.identify(values, {identifiers});
      const whole = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value ?? null]));
      return nicobar.event(name, whole, {identifiers, once});
    });
  return webhook.payload.length ? webhook : leaveOut(webhook, "the event says nothing that is known");
}

function leaveOut(webhook, why) {
  console.log("left out: " + why);
  webhook.cancel = true;
  return webhook;
}
