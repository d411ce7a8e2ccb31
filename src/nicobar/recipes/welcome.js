// Welcome: a successful payment, with what a first mail needs.
function handler(webhook) {
  if (webhook.eventType !== "payment.succeeded") return webhook;
  const data = webhook.payload.data;
  return send(webhook, [[null, profile(data)], ["payment_succeeded", payment(data)]]);
}

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
