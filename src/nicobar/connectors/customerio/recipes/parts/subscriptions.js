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
