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

// The customer's first payment of all; never sent where the history is not known. If several of the sender's customers
// are this person, each has its own key. Then one that arrives after a later payment is not sent: that may have been.
function firstPaymentSucceeded(webhook) {
  const payment = paidOf(webhook);
  const {customer} = webhook;
  if (!payment || payment.is_first_payment !== true) return null;
  if (customer?.ids.length > 1 && customer.payments > 1 && Date.now() > customer.last_payment_at) return null;
  return ["first_payment_succeeded", paymentFields(webhook, payment), "first_payment"];
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

// Whether a subscription that was paid after its trial has ended since, or is paused or overdue again. On hold, it was
// so before that payment, unless the period after the trial has begun.
function isOver(webhook, subscription) {
  const {id, status, period_start, trial_ends_at} = subscription;
  if (hasEnded(subscription) || status === "paused") return true;
  if (webhook.customer.open_failures.some((one) => one.subscription_id === id)) return true;
  return status === "on_hold" && period_start > trial_ends_at - DAY / 2;
}

// The first payment after a trial.
function trialConverted(webhook) {
  const payment = paidOf(webhook);
  const subscription = payment && subscriptionOf(webhook, subscriptionIdOf(payment));
  if (!subscription?.trial_ends_at || payment.period !== "first" || isOver(webhook, subscription)) return null;
  return conversion(subscription, payment.id, payment);
}

function conversion(subscription, paymentId, paid) {
  return ["trial_converted", {
    payment_id: paymentId,
    subscription_id: subscription.id,
    product_name: subscription.product_name ?? null,
    trial_ends_at: seconds(subscription.trial_ends_at),
    ...money(paid),
  }, key("subscription", subscription.id, "trial_converted")];
}

const LIVE = ["trialing", "active", "past_due", "on_hold", "paused"];

function subscriptionFields(fact) {
  return {
    subscription_id: fact.id,
    product_name: fact.product_name ?? null,
    price: amount(fact.price, fact.currency),
    price_text: amountText(fact.price, fact.currency),
    currency: fact.currency ?? null,
    interval: intervalText(fact),
    quantity: fact.quantity ?? null,
  };
}

// The subscription of the event, if it has one of these statuses and nothing newer says otherwise.
function current(webhook, ...statuses) {
  const fact = factOf(webhook, "subscription");
  return says(fact, ...statuses) && fact.is_current ? fact : null;
}

function entered(webhook, fact, what) { return key("subscription", fact.id, what, webhook.payload.timestamp); }

// A subscription may begin so long after it was created: some payment methods take days.
const BEGINS_WITHIN_DAYS = 14;

// The subscription of the event, if it has only begun: an overdue payment that succeeds also sends subscription.active.
function begun(webhook) {
  const fact = factOf(webhook, "subscription");
  if (!says(fact, "active") || fact.period !== (fact.trial_ends_at ? "trial" : "first")) return null;
  if (["past_due", "on_hold", "paused"].includes(fact.previous.status)) return null;
  if (fact.occurred_at - fact.started_at > BEGINS_WITHIN_DAYS * DAY) return null;
  return isNow(webhook, fact, "active", "trialing", "past_due") ? fact : null;
}

// Without a complete history, is_first_subscription is omitted.
function subscriptionStarted(webhook) {
  const fact = begun(webhook);
  return fact && ["subscription_started", {
    ...subscriptionFields(fact),
    is_trial: fact.period === "trial",
    is_first_subscription: fact.is_first_subscription ?? undefined,
  }, key("subscription", fact.id, "started")];
}

function trialStarted(webhook) {
  const fact = begun(webhook);
  if (fact?.period !== "trial" || fact.trial_ends_at < Date.now() || !isNow(webhook, fact, "trialing")) return null;
  return ["trial_started", {...subscriptionFields(fact), trial_ends_at: seconds(fact.trial_ends_at)},
    key("subscription", fact.id, "trial_started")];
}

// From the second period on; what a trial turns into is trial_converted. The amount is null if it is not known yet.
function subscriptionRenewed(webhook) {
  const fact = factOf(webhook, "subscription");
  if (!says(fact, "active") || fact.period !== "later" || !isNow(webhook, fact, "active", "past_due")) return null;
  return ["subscription_renewed", {
    ...subscriptionFields(fact),
    ...money(fact.paid),
    currency: fact.paid?.currency ?? fact.currency ?? null,
    period_start: seconds(fact.period_start),
    period_end: seconds(fact.period_end),
  }, key("subscription", fact.id, "renewed", fact.period_start)];
}

// If the payment after a trial arrived before anything about the subscription.
function trialFoundConverted(webhook) {
  const fact = factOf(webhook, "subscription");
  if (!fact?.trial_ends_at || !fact.paid || fact.period !== "first" || !says(fact, "active")) return null;
  return isNow(webhook, fact, "active", "past_due") ? conversion(fact, fact.paid.payment_id, fact.paid) : null;
}

function subscriptionPastDue(webhook) { return interrupted(webhook, "past_due"); }

function subscriptionOnHold(webhook) { return interrupted(webhook, "on_hold"); }

function subscriptionPaused(webhook) { return interrupted(webhook, "paused"); }

function interrupted(webhook, status) {
  const fact = current(webhook, status);
  return fact && ["subscription_" + status, {
    subscription_id: fact.id,
    product_name: fact.product_name ?? null,
    past_due_until: seconds(fact.past_due_until),
    manage_url: manageUrl(webhook, fact),
  }, entered(webhook, fact, status)];
}

function subscriptionResumed(webhook) {
  const fact = current(webhook, "active");
  return fact && ["subscription_resumed", {
    subscription_id: fact.id,
    product_name: fact.product_name ?? null,
    past_due_until: null,
    manage_url: manageUrl(webhook, fact),
  }, entered(webhook, fact, "unpaused")];
}

// Every later event repeats that a cancellation is scheduled; all of them name it alike. A date that moves is no news.
// One that was undone and is scheduled again has another name, which depends on what arrived before. So it is sent only
// if its webhook is on time.
function cancelScheduled(webhook) {
  const fact = current(webhook, ...LIVE);
  if (!(fact?.cancel_at > fact?.occurred_at) || fact.previous.cancel_at || isOutdated(fact, "cancel_at")) return null;
  const isAgain = fact.cancellation !== String(fact.cancel_at);
  if (isAgain && Date.now() - fact.occurred_at > ON_TIME_MINUTES * 60_000) return null;
  return ["subscription_cancel_scheduled", cancelFields(fact, fact.cancel_at),
    key("subscription", fact.id, "cancel_scheduled", fact.cancellation)];
}

const ON_TIME_MINUTES = 10;

// Whether something newer says otherwise of one of these fields.
function isOutdated(fact, ...names) { return names.some((name) => fact.outdated.includes(name)); }

function cancelUndone(webhook) {
  const fact = current(webhook, ...LIVE);
  const was = fact?.previous.cancel_at;
  if (!(was > fact?.occurred_at) || fact.cancel_at !== null || isOutdated(fact, "cancel_at")) return null;
  return ["subscription_cancel_undone", cancelFields(fact, was),
    key("subscription", fact.id, "cancel_undone", fact.cancellation)];
}

function cancelFields(fact, at) {
  return {
    subscription_id: fact.id,
    product_name: fact.product_name ?? null,
    cancel_at: seconds(at),
    feedback: fact.feedback ?? null,
  };
}

function planChangeScheduled(webhook) {
  const fact = current(webhook, ...LIVE);
  const change = fact?.scheduled_change;
  if (!change?.id || !(change.effective_at > fact.occurred_at) || isOutdated(fact, "scheduled_change")) return null;
  return ["subscription_plan_change_scheduled", {
    subscription_id: fact.id,
    from: fact.product_name ?? null,
    to: change.product_name ?? null,
    quantity: change.quantity ?? null,
    effective_at: seconds(change.effective_at),
    ...priceFields(change),
  }, key("subscription", fact.id, "plan_change_scheduled", change.id)];
}

function priceFields(fact) {
  return {
    price: amount(fact.price, fact.currency),
    price_text: amountText(fact.price, fact.currency),
    currency: fact.currency ?? null,
    interval: intervalText(fact),
  };
}

// subscription.plan_changed is also sent when a cancellation is scheduled or undone. It counts once for each change, of
// this plan to that one: a later event repeats what it was before.
function planChanged(webhook) {
  const fact = current(webhook, ...LIVE);
  const parts = ["product_id", "quantity", "has_addons"];
  const before = fact?.previous ?? {};
  if (parts.every((name) => before[name] == null) || isOutdated(fact, ...parts)) return null;
  if (fact.cancel_at || before.cancel_at > fact.occurred_at) return null;
  const plan = (of) => [of.product_id, of.quantity, of.has_addons].join(",");
  return ["subscription_plan_changed", {
    subscription_id: fact.id,
    from: (before.product_id == null ? fact.product_name : before.product_name) ?? null,
    to: fact.product_name ?? null,
    quantity: fact.quantity ?? null,
    effective_at: seconds(fact.occurred_at),
    ...priceFields(fact),
  }, key("subscription", fact.id, "plan_changed", plan({...fact, ...before}), plan(fact))];
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

// A refund is final when it succeeds or fails.
function refunded(webhook) {
  const [, what] = webhook.eventType.split(".");
  const refund = factOf(webhook, "refund");
  if (!says(refund, what) || !refund.is_current) return null;
  return ["refund_" + what, {
    refund_id: refund.id,
    payment_id: refund.payment_id ?? null,
    ...money(refund),
    is_partial: refund.is_partial ?? null,
  }, key("refund", refund.id, what)];
}

// A dispute may have several stages, with the same statuses.
function disputed(webhook) {
  const [, what] = webhook.eventType.split(".");
  const dispute = factOf(webhook, "dispute");
  if (!says(dispute, what) || !dispute.is_current) return null;
  return ["dispute_" + what, {
    dispute_id: dispute.id,
    payment_id: dispute.payment_id ?? null,
    ...money(dispute),
    stage: dispute.stage ?? null,
  }, key("dispute", dispute.id, dispute.stage, what)];
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

// Subscriptions as objects of Customer.io, related to the person: only if the variable SUBSCRIPTION_OBJECTS has the
// number of the workspace's object type for them. Customer.io's prices count people and objects.
function subscriptionObjects(webhook) {
  const kind = webhook.env.SUBSCRIPTION_OBJECTS;
  if (!kind || !webhook.customer) return [];
  const {identifiers} = nicobar.identify({});
  const named = webhook.facts.flatMap(({id, fields}) => [id, ...fields.subscription_ids ?? []]);
  return webhook.customer.subscriptions.filter((one) => named.includes(one.id)).map((one) => ({
    type: "object",
    action: "identify",
    identifiers: {object_type_id: kind, object_id: one.id},
    attributes: {
      status: one.status,
      plan: one.product_name ?? null,
      price: amount(one.price, one.currency),
      currency: one.currency ?? null,
      interval: intervalText(one),
      renews_at: hasEnded(one) || one.cancel_at ? null : seconds(one.period_end),
      cancel_at: seconds(one.cancel_at),
      trial_ends_at: one.status === "trialing" ? seconds(one.trial_ends_at) : null,
      ended_at: seconds(one.ended_at),
    },
    cio_relationships: [{identifiers}],
  }));
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

const DAY = 24 * 3600 * 1000;

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
