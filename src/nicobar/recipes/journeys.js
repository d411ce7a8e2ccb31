// Journeys: every event of Dodo Payments that is about a customer. What happens becomes an event, what is so becomes an
// attribute of the person. Billing addresses, phone numbers, cards, licence keys and sign-in links stay where they are.
function handler(webhook) {
  const type = webhook.eventType;
  const data = webhook.payload.data;
  const make = FAMILIES[type.split(".")[0]];
  if (!make) return webhook; // payouts and what comes later: nobody's journey
  return send(webhook, make(type, data));
}

const FAMILIES = {
  payment: (type, data) => [[null, paymentState(data)], [type.replace(".", "_"), payment(data)]],
  subscription: subscriptionCalls,
  refund: (type, data) => [[type.replace(".", "_"), refund(data)]],
  dispute: (type, data) => [[type.replace(".", "_"), dispute(data)]],
  dunning: (type, data) => [[type.replace(".", "_"), dunning(data)]],
  license_key: (type, data) => [[type.replace(".", "_"), licenceKey(data)]],
  entitlement_grant: (type, data) => [[type.replace(".", "_"), entitlement(data)]],
  credit: creditCalls,
  abandoned_checkout: (type, data) => [
    [null, {...profile(data), checkout_abandoned_at: type.endsWith(".detected") ? time(data.abandoned_at) : null}],
    [type.replace(".", "_"), checkout(data)],
  ],
};

function payment(data) {
  return {
    payment_id: data.payment_id,
    subscription_id: data.subscription_id || null,
    status: data.status,
    amount: amount(data.total_amount, data.currency),
    currency: data.currency,
    created_at: time(data.created_at),
    error_code: data.error_code || null,
    payment_link: data.payment_link || null,
    invoice_url: data.invoice_url || null,
  };
}

function paymentState(data) {
  return {
    ...profile(data),
    last_payment_id: data.payment_id,
    last_payment_status: data.status,
    last_payment_amount: amount(data.total_amount, data.currency),
    last_payment_currency: data.currency,
    last_payment_at: time(data.created_at),
  };
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

function dunning(data) {
  return {
    subscription_id: data.subscription_id || null,
    payment_id: data.payment_id || null,
    status: data.status,
    began_in: data.trigger_state || null,
    created_at: time(data.created_at),
  };
}

function refund(data) {
  return {
    refund_id: data.refund_id,
    payment_id: data.payment_id,
    status: data.status,
    amount: amount(data.amount, data.currency),
    currency: data.currency || null,
    is_partial: data.is_partial === true,
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

function licenceKey(data) {
  return {
    license_key_id: data.id,
    product_id: data.product_id,
    payment_id: data.payment_id || null,
    subscription_id: data.subscription_id || null,
    status: data.status,
    activations_limit: data.activations_limit || null,
    expires_at: time(data.expires_at),
  };
}

function entitlement(data) {
  return {
    grant_id: data.id,
    entitlement_id: data.entitlement_id,
    kind: data.integration_type,
    status: data.status,
    payment_id: data.payment_id || null,
    subscription_id: data.subscription_id || null,
    delivered_at: time(data.delivered_at),
    revoked_at: time(data.revoked_at),
    error_code: data.error_code || null,
  };
}

function creditCalls(type, data) {
  if (type === "credit.balance_low") {
    return [
      [null, {credits_left: Number(data.available_balance)}],
      ["credit_balance_low", {
        credits_id: data.credit_entitlement_id,
        credits_name: data.credit_entitlement_name,
        credits_left: Number(data.available_balance),
        threshold: Number(data.threshold_amount),
        threshold_percent: data.threshold_percent,
        subscription_id: data.subscription_id || null,
      }],
    ];
  }
  return [
    [null, {credits_left: Number(data.balance_after)}],
    [type.replace(".", "_"), {
      credits_id: data.credit_entitlement_id,
      credits: Number(data.amount),
      credits_left: Number(data.balance_after),
      credits_before: Number(data.balance_before),
      overage: Number(data.overage_after),
      created_at: time(data.created_at),
    }],
  ];
}

function checkout(data) {
  return {
    payment_id: data.payment_id,
    recovered_payment_id: data.recovered_payment_id || null,
    status: data.status,
    why: data.abandonment_reason || null,
    abandoned_at: time(data.abandoned_at),
  };
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
