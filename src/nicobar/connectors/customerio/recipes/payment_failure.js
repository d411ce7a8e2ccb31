// Payment failure: the events that start a reminder, and those that end it.
const SUBSCRIPTION = ["active", "on_hold", "past_due", "renewed", "cancelled", "expired"].map((one) => "subscription." + one);

function handler(webhook) {
  const type = webhook.eventType;
  const {timestamp} = webhook.payload;
  const data = webhook.payload.data ?? {};
  const [family, what] = type.split(".");
  if (type === "payment.failed" || type === "payment.succeeded") {
    const state = {...profile(data), ...known({last_payment_status: data.status})};
    const once = fact("payment", data.payment_id, what);
    return send(webhook, [[null, state], [type.replace(".", "_"), payment(data), once]]);
  }
  if (family === "dunning") {
    const once = fact("dunning", data.subscription_id, what, timestamp);
    return send(webhook, [[type.replace(".", "_"), dunning(data), once]]);
  }
  if (!SUBSCRIPTION.includes(type)) return webhook;
  const [name, once] = happened(webhook, moment(webhook));
  const state = {...profile(data), ...known({subscription_status: data.status})};
  return send(webhook, [[null, state], ...(name ? [[name, subscription(data), once]] : [])]);
}

function subscription(data) {
  return {
    subscription_id: data.subscription_id,
    product_id: data.product_id,
    status: data.status,
    price: amount(data.recurring_pre_tax_amount, data.currency),
    currency: data.currency,
    renews_at: time(data.next_billing_date),
    past_due_until: time(data.past_due_ends_at),
  };
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

function dunning(data) {
  return {
    subscription_id: data.subscription_id,
    payment_id: data.payment_id,
    status: data.status,
    began_in: data.trigger_state,
    created_at: time(data.created_at),
  };
}

// When the event happened, or else when it was accepted.
function moment(webhook) { return time(webhook.payload.timestamp) ?? Math.floor(Date.now() / 1000); }

// The event's name and the fact that identifies it; no name if no event should be sent. Dodo announces a cancellation at
// the end of the period with subscription.updated and, by some accounts, also with subscription.cancelled; cancelled_at
// stays null until the subscription is canceled.
function happened(webhook, at) {
  const type = webhook.eventType;
  const {timestamp} = webhook.payload;
  const data = webhook.payload.data ?? {};
  const name = type.replace(".", "_");
  if (type === "subscription.renewed") return [name, renewal(data)];
  const entered = fact("subscription", data.subscription_id, type.split(".")[1], timestamp);
  if (type !== "subscription.cancelled" && type !== "subscription.updated") return [name, entered];
  const ends = time(data.next_billing_date);
  const isLive = Boolean(data.status) && !["cancelled", "expired", "failed"].includes(data.status);
  const isAhead = !data.cancelled_at && ends > at && (!data.status || data.status === "cancelled");
  const isAsked = data.cancel_at_next_billing_date ?? (isLive && type === "subscription.cancelled");
  if (isAsked && (isLive || isAhead)) {
    // Dodo's payload does not say when a cancellation was announced, and every later subscription.updated repeats it. The
    // start of the period stays the same even if its end moves, so repetitions count once; so does a cancellation that is
    // undone and announced again in the same period.
    const began = data.previous_billing_date;
    return ["subscription_cancel_scheduled", fact("subscription", data.subscription_id, "cancel_scheduled", began)];
  }
  return [type === "subscription.updated" || isLive ? null : name, entered];
}

// One period and its payment: a plan change is paid for within a period.
function renewal(data) {
  return fact("subscription", data.subscription_id, "renewed", data.previous_billing_date, data.payment_id ?? "unpaid");
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
