// Events about objects that are not in the ledger. A late payload that contradicts its event type is not sent.
function occurrence(webhook) {
  const [family, what] = webhook.eventType.split(".");
  const data = webhook.payload.data ?? {};
  const found = OTHERS[family](data, what, webhook.payload.timestamp, webhook);
  return found && [webhook.eventType.replace(".", "_"), nulled(found[0]), found[1]];
}

function nulled(fields) {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value ?? null]));
}

// The event's fields and its key. The time is part of the key if the same can happen to an object more than once.
const OTHERS = {
  dunning: (data, what, at, webhook) => agrees(data.status, {started: "recovering", recovered: "recovered"}[what])
    && !(what === "started" && isPaid(webhook, data))
    && [dunning(data), key("dunning", data.subscription_id, what, at)],
  license_key: (data, what) => [licenseKey(data), key("license_key", data.id, what)],
  entitlement_grant: (data, what, at) => agrees(data.status, what === "created" ? null : what)
    && [entitlement(data), key("entitlement_grant", data.id, what, at)],
  credit: (data, what, at) => {
    const isLow = what === "balance_low";
    const once = isLow ? key("credit", data.credit_entitlement_id, what, at) : key("credit", data.id, what);
    return [credit(data, isLow), once];
  },
  abandoned_checkout: (data, what, at, webhook) => (what === "recovered"
    || (data.status !== "recovered" && !hasPaidSince(webhook, data.abandoned_at)))
    && [checkout(data), key("abandoned_checkout", data.payment_id, what, at)],
};

// Whether the subscription that a reminder is about has been paid since.
function isPaid(webhook, data) {
  return subscriptionOf(webhook, data.subscription_id)?.status === "active" && hasPaidSince(webhook, data.created_at);
}

// Whether the customer has paid for anything since.
function hasPaidSince(webhook, isoText) { return webhook.customer?.last_payment_at > Date.parse(isoText); }

// A missing or unexpected status agrees with every type.
function agrees(status, expected) {
  return !expected || typeof status !== "string" || status.toLowerCase() === expected;
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
  return {
    ...(isLow ? creditThreshold(data) : creditEntry(data)),
    credits_left: number(isLow ? data.available_balance : data.balance_after),
  };
}

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
