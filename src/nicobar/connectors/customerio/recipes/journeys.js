// Journeys: every Dodo Payments event about a customer. What happened becomes an event, and the current state becomes
// attributes of the person. Billing addresses, phone numbers, cards, license keys and sign-in links are never sent.
function handler(webhook) {
  const [family, what] = webhook.eventType.split(".");
  if (family === "subscription") return send(webhook, subscriptionCalls(webhook, moment(webhook)));
  if (!Object.hasOwn(FAMILIES, family)) return webhook; // payouts and unknown event types are not sent
  const {timestamp} = webhook.payload;
  const data = webhook.payload.data ?? {};
  const [fields, state, once] = FAMILIES[family](data, what, timestamp);
  return send(webhook, [[null, state], [webhook.eventType.replace(".", "_"), fields, once]]);
}

// For each family: the event's fields, the person's attributes, and the fact that identifies the event. The time is part
// of the fact if the same can happen to an object more than once.
const FAMILIES = {
  payment: (data, what) => [payment(data), paymentState(data), fact("payment", data.payment_id, what)],
  refund: (data, what) => [refund(data), {}, fact("refund", data.refund_id, what)],
  dispute: (data, what) => [dispute(data), {}, fact("dispute", data.dispute_id, data.dispute_stage, what)],
  dunning: (data, what, at) => [dunning(data), {}, fact("dunning", data.subscription_id, what, at)],
  license_key: (data, what) => [licenseKey(data), {}, fact("license_key", data.id, what)],
  entitlement_grant: (data, what, at) => [entitlement(data), {}, fact("entitlement_grant", data.id, what, at)],
  credit: (data, what, at) => {
    const isLow = what === "balance_low";
    const once = isLow ? fact("credit", data.credit_entitlement_id, what, at) : fact("credit", data.id, what);
    return [credit(data, isLow), known({credits_left: creditsLeft(data, isLow)}), once];
  },
  abandoned_checkout: (data, what, at) => [checkout(data), checkoutState(data, what),
    fact("abandoned_checkout", data.payment_id, what, at)],
};

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

function paymentState(data) {
  return {
    ...profile(data),
    ...known({
      last_payment_id: data.payment_id,
      last_payment_status: data.status,
      last_payment_amount: amount(data.total_amount, data.currency),
      last_payment_currency: data.currency,
      last_payment_at: time(data.created_at),
    }),
  };
}

function subscriptionState(data) {
  return {
    ...profile(data),
    ...known({
      subscription_id: data.subscription_id,
      subscription_status: data.status,
      subscription_product_id: data.product_id,
      subscription_price: amount(data.recurring_pre_tax_amount, data.currency),
      subscription_currency: data.currency,
      subscription_interval: data.payment_frequency_interval,
      subscription_renews_at: time(data.next_billing_date),
      subscription_ends_at_renewal: data.cancel_at_next_billing_date,
      subscription_past_due_until: time(data.past_due_ends_at),
    }),
    // Null in the event means not past due: remove the attribute.
    ...(data.past_due_ends_at === null ? {subscription_past_due_until: null} : {}),
  };
}

function subscription(data) {
  return {
    subscription_id: data.subscription_id,
    product_id: data.product_id,
    status: data.status,
    quantity: data.quantity,
    price: amount(data.recurring_pre_tax_amount, data.currency),
    currency: data.currency,
    interval: data.payment_frequency_interval,
    renews_at: time(data.next_billing_date),
    ends_at_renewal: data.cancel_at_next_billing_date,
    trial_days: data.trial_period_days,
    cancelled_at: time(data.cancelled_at),
    cancellation_feedback: data.cancellation_feedback,
    paused_at: time(data.paused_at),
    past_due_until: time(data.past_due_ends_at),
  };
}

// A requested change becomes an event of its own; other changes only update the person's attributes.
function subscriptionCalls(webhook, at) {
  const data = webhook.payload.data ?? {};
  const [name, once] = happened(webhook, at);
  const calls = [[null, subscriptionState(data)]];
  if (name) calls.push([name, subscription(data), once]);
  if (startsTrial(webhook.eventType, data, at)) {
    calls.push(["trial_started", subscription(data), fact("subscription", data.subscription_id, "trial_started")]);
  }
  return calls;
}

// subscription.active is also sent when an overdue payment succeeds, with the days of a trial that ended long ago.
function startsTrial(type, data, at) {
  const began = time(data.created_at);
  const isOver = began !== null && at >= began + data.trial_period_days * 86400;
  return type === "subscription.active" && data.trial_period_days > 0 && !isOver;
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

function dunning(data) {
  return {
    subscription_id: data.subscription_id,
    payment_id: data.payment_id,
    status: data.status,
    began_in: data.trigger_state,
    created_at: time(data.created_at),
  };
}

function refund(data) {
  return {
    refund_id: data.refund_id,
    payment_id: data.payment_id,
    status: data.status,
    amount: amount(data.amount, data.currency),
    currency: data.currency,
    is_partial: data.is_partial,
    created_at: time(data.created_at),
  };
}

function dispute(data) {
  return {
    dispute_id: data.dispute_id,
    payment_id: data.payment_id,
    status: data.dispute_status,
    stage: data.dispute_stage,
    amount: amount(data.amount, data.currency),
    currency: data.currency,
    created_at: time(data.created_at),
  };
}

function licenseKey(data) {
  return {
    license_key_id: data.id,
    product_id: data.product_id,
    payment_id: data.payment_id,
    subscription_id: data.subscription_id,
    status: data.status,
    activations_limit: data.activations_limit,
    expires_at: time(data.expires_at),
  };
}

function entitlement(data) {
  return {
    grant_id: data.id,
    entitlement_id: data.entitlement_id,
    kind: data.integration_type,
    status: data.status,
    payment_id: data.payment_id,
    subscription_id: data.subscription_id,
    delivered_at: time(data.delivered_at),
    revoked_at: time(data.revoked_at),
    error_code: data.error_code,
  };
}

function credit(data, isLow) {
  return {...(isLow ? creditThreshold(data) : creditEntry(data)), credits_left: creditsLeft(data, isLow)};
}

function creditsLeft(data, isLow) { return number(isLow ? data.available_balance : data.balance_after); }

function creditEntry(data) {
  return {
    credits_id: data.credit_entitlement_id,
    credits: number(data.amount),
    credits_before: number(data.balance_before),
    overage: number(data.overage_after),
    created_at: time(data.created_at),
  };
}

function creditThreshold(data) {
  return {
    credits_id: data.credit_entitlement_id,
    credits_name: data.credit_entitlement_name,
    threshold: number(data.threshold_amount),
    threshold_percent: data.threshold_percent,
    subscription_id: data.subscription_id,
  };
}

function checkout(data) {
  return {
    payment_id: data.payment_id,
    recovered_payment_id: data.recovered_payment_id,
    status: data.status,
    why: data.abandonment_reason,
    abandoned_at: time(data.abandoned_at),
  };
}

// A recovered checkout is no longer abandoned: remove the attribute.
function checkoutState(data, what) {
  const state = what === "recovered" ? {checkout_abandoned_at: null} : {};
  return {...profile(data), ...known({checkout_abandoned_at: time(data.abandoned_at)}), ...state};
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
