// Welcome: a customer's first payment, with the fields for a welcome email.
function handler(webhook) {
  if (webhook.eventType !== "payment.succeeded") return webhook;
  const data = webhook.payload.data ?? {};
  const why = whyNot(data);
  if (why) return leaveOut(webhook, why);
  return send(webhook, [[null, profile(data)], ["payment_succeeded", payment(data), fact("payment", data.payment_id, "succeeded")]]);
}

// Why a payment does not trigger a welcome. A payment that is not clearly the first is skipped: a missing welcome is
// better than one to a long-standing customer.
function whyNot(data) {
  const isOneTime = data.subscription_id === null && !(data.subscription_ids || []).length && !data.charge_type;
  if (!(data.total_amount > 0)) return "nothing was paid, or the amount is unknown";
  if (data.is_update_payment_method === true) return "only the payment method changed";
  if (data.retry_attempt > 0) return "it is a retried renewal";
  if (data.charge_type === "new" || isOneTime) return null;
  return `not a first payment (charge_type ${data.charge_type})`;
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

// Identifies a fact, so that it counts once even if it arrives under several webhook ids. Undefined if a part is unknown;
// then each webhook id counts.
function fact(...parts) {
  const isKnown = (part) => (typeof part === "string" && part !== "") || typeof part === "number";
  return parts.every(isKnown) ? parts.join("/") : undefined;
}

// The email address and the name, if the event contains them.
function profile(data) {
  const customer = data.customer || {};
  return known({email: customer.email, name: customer.name});
}

// Omits unknown attributes: null would remove them from the person.
function known(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value != null && value !== ""));
}

// Dodo sends some numbers as text. Anything else is unknown (null).
function number(value) {
  const isOne = typeof value === "number" || (typeof value === "string" && value.trim() !== "");
  return isOne && Number.isFinite(Number(value)) ? Number(value) : null;
}

function amount(minorUnits, currency) {
  const units = number(minorUnits);
  return units === null || !currency ? null : nicobar.money(units, currency);
}

function time(isoText) { return isoText ? nicobar.unix(isoText) : null; }

// Each call is [name, fields, fact]; without a name, it sets attributes. Events contain all of their fields, null if
// unknown, because Customer.io does not send an email that uses a missing field. The endpoint's setting "Identify people
// by" says how the customer is identified.
function send(webhook, calls) {
  webhook.payload = calls.filter(([name, values]) => name !== null || Object.keys(values).length > 0)
    .map(([name, values, once]) => {
      if (name === null) return nicobar.identify(values);
      const whole = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value ?? null]));
      return nicobar.event(name, whole, {once});
    });
  return webhook.payload.length ? webhook : leaveOut(webhook, "the event has no known values");
}

function leaveOut(webhook, why) {
  console.log("skipped: " + why);
  webhook.cancel = true;
  return webhook;
}
