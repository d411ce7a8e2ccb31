"""Handlers in the published form, written for the tests."""

ORDER_PAID = """
function handler(webhook) {
  if (webhook.eventType === "payment.succeeded") {
    const order = webhook.payload.data;
    webhook.url = "https://track.customer.io/api/v2/entity";
    webhook.payload = {
      type: "person",
      identifiers: { id: order.customer.customer_id },
      action: "order_paid",
      name: "Order Paid",
      attributes: { mail: order.customer.email, total: (order.total_amount / 100).toFixed(2) }
    };
  }
  return webhook;
}
"""

PLAN_LIFE = """
function handler(webhook) {
  const plan = webhook.payload.data;
  switch (webhook.eventType) {
    case "subscription.active":
      webhook.url = "https://track.customer.io/api/v2/entity";
      webhook.payload = {
        type: "person", identifiers: { id: plan.customer.customer_id },
        action: "plan_begun", name: "Plan Begun", attributes: { plan: plan.product_id }
      };
      break;
    case "subscription.cancelled":
      webhook.url = "https://track.customer.io/api/v2/entity";
      webhook.payload = {
        type: "person", identifiers: { id: plan.customer.customer_id },
        action: "plan_ended", name: "Plan Ended", attributes: { plan: plan.product_id }
      };
      break;
  }
  return webhook;
}
"""

PERSON_STATE = """
function handler(webhook) {
  if (webhook.eventType === "payment.succeeded") {
    const paid = webhook.payload.data;
    webhook.url = "https://track.customer.io/api/v2/entity";
    webhook.payload = {
      type: "person", identifiers: { id: paid.customer.customer_id },
      action: "identify", name: "Person Known",
      attributes: { email: paid.customer.email, paid_with: paid.payment_method || "unknown" }
    };
  }
  return webhook;
}
"""

# As recipes identified people when that was a variable.
EARLIER_RECIPE = """
function handler(webhook) {
  const identifiers = whom(webhook);
  if (!identifiers) {
    webhook.cancel = true;
    return webhook;
  }
  const about = webhook.payload.data.customer || {};
  webhook.payload = [
    nicobar.identify({email: about.email, name: about.name}, {identifiers}),
    nicobar.event("paid", {}, {identifiers}),
  ];
  return webhook;
}

function whom(webhook) {
  const data = webhook.payload.data ?? {};
  const customer = data.customer || {};
  const by = webhook.env.IDENTIFIER || "customer_id";
  if (by === "customer_id") return named("id", customer.customer_id || data.customer_id);
  if (by === "email") return named("email", customer.email);
  const key = by.startsWith("metadata.") ? by.slice("metadata.".length) : "";
  if (key) return named("id", (data.metadata || {})[key] ?? (customer.metadata || {})[key]);
  throw new Error(`Invalid variable IDENTIFIER "${by}". Use customer_id, email or metadata.KEY.`);
}

function named(kind, value) {
  return (typeof value === "string" && value) || typeof value === "number" ? {[kind]: String(value)} : null;
}
"""
