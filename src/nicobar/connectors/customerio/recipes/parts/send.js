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

// The events that the functions make of a webhook; they return null for none.
function eventsOf(webhook, functions) { return (functions ?? []).map((make) => make(webhook)).filter(Boolean); }
