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

function paymentSucceeded(webhook) {
  const payment = paidOf(webhook);
  return payment && ["payment_succeeded", paymentFields(webhook, payment), key("payment", payment.id, "succeeded")];
}

// A failure that the customer has not made up for since.
function paymentFailed(webhook) {
  const payment = factOf(webhook, "payment");
  if (!says(payment, "failed") || !payment.is_current) return null;
  // Dodo counts its own retries, the ledger the failures that it knows.
  const attempt = Math.max(payment.attempt ?? 1, (payment.retry_attempt ?? 0) + 1);
  return ["payment_failed", {
    payment_id: payment.id,
    subscription_id: subscriptionIdOf(payment),
    ...money(payment),
    attempt,
    is_retry: attempt > 1,
    failure_kind: payment.failure_kind ?? "unknown",
    failure_reason: payment.failure_reason ?? "other",
    product_name: productName(webhook, payment),
    manage_url: manageUrl(webhook, payment),
  }, key("payment", payment.id, "failed")];
}

// A payment after a failure of the same subscription, or of one of its subscriptions.
function paymentRecovered(webhook) {
  const payment = paidOf(webhook);
  const attempts = payment && (payment.recovered_after ?? payment.retry_attempt ?? 0);
  if (!attempts || !payment.subscription_ids?.length) return null;
  return ["payment_recovered", {
    payment_id: payment.id,
    subscription_id: subscriptionIdOf(payment),
    ...money(payment),
    recovered_after_attempts: attempts,
    product_name: productName(webhook, payment),
  }, key("payment", payment.id, "recovered")];
}

const LIVE = ["trialing", "active", "past_due", "on_hold", "paused"];

// The subscription of the event, if it has one of these statuses and nothing newer says otherwise.
function current(webhook, ...statuses) {
  const fact = factOf(webhook, "subscription");
  return says(fact, ...statuses) && fact.is_current ? fact : null;
}

function entered(webhook, fact, what) { return key("subscription", fact.id, what, webhook.payload.timestamp); }

function subscriptionPastDue(webhook) { return interrupted(webhook, "past_due"); }

function subscriptionOnHold(webhook) { return interrupted(webhook, "on_hold"); }

function interrupted(webhook, status) {
  const fact = current(webhook, status);
  return fact && ["subscription_" + status, {
    subscription_id: fact.id,
    product_name: fact.product_name ?? null,
    past_due_until: seconds(fact.past_due_until),
    manage_url: manageUrl(webhook, fact),
  }, entered(webhook, fact, status)];
}

// Dodo reports an end with subscription.cancelled, subscription.expired, or both. One that ends with its trial, before
// anything was paid for, is trial_ended instead.
function subscriptionEnded(webhook) {
  const fact = current(webhook, "cancelled", "expired");
  if (!fact || fact.period === "trial") return null;
  return ["subscription_ended", {
    subscription_id: fact.id,
    product_name: fact.product_name ?? null,
    ended_at: seconds(fact.ended_at ?? fact.occurred_at),
    reason: endReason(fact),
  }, key("subscription", fact.id, "ended")];
}

function trialEnded(webhook) {
  const fact = current(webhook, "cancelled", "expired");
  if (fact?.period !== "trial") return null;
  return ["trial_ended", {
    subscription_id: fact.id,
    product_name: fact.product_name ?? null,
    trial_ends_at: seconds(fact.trial_ends_at),
    reason: endReason(fact),
  }, key("subscription", fact.id, "trial_ended")];
}

// Why it ended: payment_failed, expired, or who canceled it.
function endReason(fact) {
  if (["past_due", "on_hold"].includes(fact.previous.status)) return "payment_failed";
  return fact.status === "expired" ? "expired" : fact.cancelled_by ?? "cancelled";
}

function paymentMethodUpdated(webhook) {
  const fact = factOf(webhook, "subscription");
  if (!says(fact, ...LIVE) || !isNow(webhook, fact, ...LIVE)) return null;
  return ["payment_method_updated", {subscription_id: fact.id, product_name: fact.product_name ?? null},
    entered(webhook, fact, "payment_method_updated")];
}

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

// The person's attributes are the current state of the ledger: the order in which events arrive does not matter. Null
// removes an attribute that no longer applies; unknown ones are omitted.
function personAttributes(webhook) {
  const {customer} = webhook;
  if (!customer) return {};
  return {
    ...personOf(customer),
    ...subscriptionAttributes(customer),
    ...paymentAttributes(customer),
  };
}

function personOf(customer) {
  return known({email: customer.email, name: customer.name, dodo_customer_id: customer.ids[0]});
}

// What the ledger is about. All of these events change attributes, also where a recipe makes no event of them.
const LEDGER_FAMILIES = ["payment", "subscription", "refund", "dispute"];

// One status over all subscriptions; the rest is about the newest one of that status, which is the first.
function subscriptionAttributes(customer) {
  const [shown] = customer.subscriptions;
  if (!shown) return customer.history_complete ? {subscription_status: customer.status} : {};
  const renews = !hasEnded(shown) && !shown.cancel_at;
  return {
    subscription_status: shown.status,
    subscription_plan: shown.product_name ?? null,
    subscription_price: amount(shown.price, shown.currency),
    subscription_currency: shown.currency ?? null,
    subscription_interval: intervalText(shown),
    subscription_renews_at: renews ? seconds(shown.period_end) : null,
    subscription_cancel_at: hasEnded(shown) ? null : seconds(shown.cancel_at),
    subscription_trial_ends_at: shown.status === "trialing" ? seconds(shown.trial_ends_at) : null,
    subscriptions_active: customer.subscriptions_active,
  };
}

// Totals are sent only where the whole history is known.
function paymentAttributes(customer) {
  const failures = customer.open_failures.map((one) => one.since);
  const attributes = {
    ...known({
      payments: customer.payments,
      first_payment_at: seconds(customer.first_payment_at),
      last_payment_at: seconds(customer.last_payment_at),
      customer_since: seconds(customer.customer_since),
    }),
    payment_failed_at: failures.length ? seconds(Math.min(...failures)) : null,
  };
  if (!customer.totals) return attributes;
  for (const {currency, net} of customer.totals) {
    attributes["total_spent_" + currency.toLowerCase()] = amount(net, currency);
  }
  // Amounts in several currencies have no sum.
  const [only] = customer.totals.length === 1 ? customer.totals : [];
  attributes.total_spent = only ? amount(only.net, only.currency) : null;
  return attributes;
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

// Whether the event's subscription has one of these statuses by now, whatever the event says.
function isNow(webhook, fact, ...statuses) {
  const latest = subscriptionOf(webhook, fact.id);
  return latest ? statuses.includes(latest.status) : fact.is_current;
}

function hasEnded(subscription) { return subscription?.status === "cancelled" || subscription?.status === "expired"; }

// "month", or "3 months".
function intervalText(subscription) {
  const {interval: unit, interval_count: count} = subscription;
  if (!unit || !(count > 0)) return null;
  return count === 1 ? unit : `${count} ${unit}s`;
}

// Customers change their payment method and plan there. Set the variable MANAGE_URL if that is a page of your own.
function manageUrl(webhook, fact) {
  if (webhook.env.MANAGE_URL) return webhook.env.MANAGE_URL;
  const business = webhook.payload.business_id;
  if (typeof business !== "string" || business === "") return null;
  const host = fact?.mode === "test" ? "test.customer.dodopayments.com" : "customer.dodopayments.com";
  return `https://${host}/login/${encodeURIComponent(business)}`;
}

// Identifies an occurrence, so that it counts once even if it arrives under several webhook ids. Undefined if a part is
// unknown; then each webhook id counts.
function key(...parts) {
  const isKnown = (part) => (typeof part === "string" && part !== "") || typeof part === "number";
  return parts.every(isKnown) ? parts.join("/") : undefined;
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

// Unix milliseconds to the Unix seconds of Customer.io.
function seconds(at) { return Number.isFinite(at) ? Math.floor(at / 1000) : null; }

function time(isoText) { return isoText ? nicobar.unix(isoText) ?? null : null; }

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
