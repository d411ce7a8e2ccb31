// Calls every operation of the client against a base URL, and prints one line of JSON for each: its name and outcome.
import {TrackClient} from "customerio-node";

const client = new TrackClient("demo-site", "demo-key", {url: process.argv[2] + "/api/v1", timeout: 5000, retry: false});
const event = {type: "person", action: "event", identifiers: {id: "ada/1"}, name: "paid"};
const operations = {
  identify: () => client.identify("ada/1", {email: "ada@northpine.example", plan: "pro"}),
  track: () => client.track("ada/1", {name: "paid", data: {amount: 5}}),
  trackAnonymous: () => client.trackAnonymous("anon", {name: "looked"}),
  trackPageView: () => client.trackPageView("ada/1", "/pricing"),
  addDevice: () => client.addDevice("ada/1", "token/1", "ios", {}),
  deleteDevice: () => client.deleteDevice("ada/1", "token/1"),
  addCustomersToSegment: () => client.addCustomersToSegment(7, ["ada/1"]),
  removeCustomersFromSegment: () => client.removeCustomersFromSegment(7, ["ada/1"]),
  submitForm: () => client.submitForm("form", {email: "jun@hanbit.example", name: "Jun"}),
  getAccountRegion: () => client.getAccountRegion(),
  entity: () => client.entity(event),
  batch: () => client.batch([event, {...event, name: "again"}]),
  batchInPart: () => client.batch([event, {...event, action: "made_up"}]),
  entityRefused: () => client.entity({...event, action: "made_up"}),
  mergeCustomers: () => client.mergeCustomers("id", "ada/1", "email", "jun@hanbit.example"),
  trackPush: () => client.trackPush({delivery_id: "d", device_id: "x", event: "opened", timestamp: 1}),
  reportMetric: () => client.reportMetric({delivery_id: "d", metric: "opened", timestamp: 1}),
  unsubscribe: () => client.unsubscribe("d"),
  suppress: () => client.suppress("ada/1"),
  unsuppress: () => client.unsuppress("ada/1"),
  destroy: () => client.destroy("ada/1"),
};
for (const [name, call] of Object.entries(operations)) {
  let outcome;
  try {
    outcome = {answer: (await call()) ?? null};
  } catch (error) {
    outcome = {status: error.statusCode ?? null, error: String(error.message)};
  }
  console.log(JSON.stringify({name, ...outcome}));
}
