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
