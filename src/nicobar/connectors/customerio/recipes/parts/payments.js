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
