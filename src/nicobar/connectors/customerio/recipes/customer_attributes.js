// Customer attributes: payments and subscriptions as attributes, for segments. Sends no events.
function handler(webhook) {
  const [family] = webhook.eventType.split(".");
  if (!LEDGER_FAMILIES.includes(family)) return webhook;
  return send(webhook, personAttributes(webhook), [], subscriptionObjects(webhook));
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

function hasEnded(subscription) { return subscription?.status === "cancelled" || subscription?.status === "expired"; }

// "month", or "3 months".
function intervalText(subscription) {
  const {interval: unit, interval_count: count} = subscription;
  if (!unit || !(count > 0)) return null;
  return count === 1 ? unit : `${count} ${unit}s`;
}

// Omits unknown attributes: null would remove them from the person.
function known(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value != null && value !== ""));
}

function amount(minorUnits, currency) {
  return Number.isInteger(minorUnits) && currency ? nicobar.money(minorUnits, currency) ?? null : null;
}

// Unix milliseconds to the Unix seconds of Customer.io.
function seconds(at) { return Number.isFinite(at) ? Math.floor(at / 1000) : null; }

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
