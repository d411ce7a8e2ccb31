// A refund is final when it succeeds or fails.
function refunded(webhook) {
  const [, what] = webhook.eventType.split(".");
  const refund = factOf(webhook, "refund");
  if (!says(refund, what) || !refund.is_current) return null;
  return ["refund_" + what, {
    refund_id: refund.id,
    payment_id: refund.payment_id ?? null,
    ...money(refund),
    is_partial: refund.is_partial ?? null,
  }, key("refund", refund.id, what)];
}

// A dispute may have several stages, with the same statuses.
function disputed(webhook) {
  const [, what] = webhook.eventType.split(".");
  const dispute = factOf(webhook, "dispute");
  if (!says(dispute, what) || !dispute.is_current) return null;
  return ["dispute_" + what, {
    dispute_id: dispute.id,
    payment_id: dispute.payment_id ?? null,
    ...money(dispute),
    stage: dispute.stage ?? null,
  }, key("dispute", dispute.id, dispute.stage, what)];
}
