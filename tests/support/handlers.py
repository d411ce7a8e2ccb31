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
