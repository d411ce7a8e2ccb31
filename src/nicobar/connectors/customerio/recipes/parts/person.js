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
