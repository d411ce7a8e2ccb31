// A subscription's life: its state as attributes of the person, what happens to it as events.
function handler(webhook) {
  if (!webhook.eventType.startsWith("subscription.")) return webhook;
  return send(webhook, subscriptionCalls(webhook.eventType, webhook.payload.data));
}

function subscriptionState(data) {
  return {
    ...profile(data),
    subscription_id: data.subscription_id,
    subscription_status: data.status,
    subscription_product_id: data.product_id,
    subscription_price: amount(data.recurring_pre_tax_amount, data.currency),
    subscription_currency: data.currency,
    subscription_interval: data.payment_frequency_interval,
    subscription_renews_at: time(data.next_billing_date),
    subscription_ends_at_renewal: data.cancel_at_next_billing_date === true,
    subscription_past_due_until: time(data.past_due_ends_at),
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
    ends_at_renewal: data.cancel_at_next_billing_date === true,
    trial_days: data.trial_period_days || 0,
    cancelled_at: time(data.cancelled_at),
    cancellation_feedback: data.cancellation_feedback || null,
    paused_at: time(data.paused_at),
    past_due_until: time(data.past_due_ends_at),
  };
}

// A change that somebody asked for is an event of its own; the others only change what is known of the person.
function subscriptionCalls(type, data) {
  const calls = [[null, subscriptionState(data)]];
  if (type === "subscription.updated") {
    if (data.cancel_at_next_billing_date === true) calls.push(["subscription_cancel_scheduled", subscription(data)]);
    return calls;
  }
  calls.push([type.replace(".", "_"), subscription(data)]);
  if (type === "subscription.active" && data.trial_period_days > 0) calls.push(["trial_started", subscription(data)]);
  return calls;
}

// Whom the event is about. The endpoint's variable IDENTIFIER says how your workspace knows people: customer_id
// (Dodo's, the default), email, or metadata.KEY (an id of yours that your checkout put into the metadata).
function whom(webhook) {
  const data = webhook.payload.data;
  const customer = data.customer || {};
  const by = webhook.env.IDENTIFIER || "customer_id";
  if (by === "email") return customer.email ? {email: customer.email} : null;
  if (by.startsWith("metadata.")) {
    const key = by.slice("metadata.".length);
    const own = (data.metadata || {})[key] || (customer.metadata || {})[key];
    return own ? {id: String(own)} : null;
  }
  const id = customer.customer_id || data.customer_id;
  return id ? {id: id} : null;
}

// The address and the name, where the event tells them: null would take them away.
function profile(data) {
  const customer = data.customer || {};
  return {...(customer.email ? {email: customer.email} : {}), ...(customer.name ? {name: customer.name} : {})};
}

function amount(minorUnits, currency) {
  return minorUnits == null || !currency ? null : nicobar.money(Number(minorUnits), currency);
}

function time(isoText) { return isoText ? nicobar.unix(isoText) : null; }

function send(webhook, calls) {
  const identifiers = whom(webhook);
  if (!identifiers) {
    console.log("left out: the event does not say whom it is about by " + (webhook.env.IDENTIFIER || "customer_id"));
    webhook.cancel = true;
    return webhook;
  }
  webhook.payload = calls.map(([name, values]) => name === null
    ? nicobar.identify(values, {identifiers})
    : nicobar.event(name, values, {identifiers}));
  return webhook;
}
