// Customer attributes: the last payment and the subscription as attributes, for segments. Sends no events.
function handler(webhook) {
  const [family] = webhook.eventType.split(".");
  const data = webhook.payload.data ?? {};
  if (family === "payment") return send(webhook, [[null, paymentState(data)]]);
  if (family === "subscription") return send(webhook, [[null, subscriptionState(data)]]);
  return webhook;
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
