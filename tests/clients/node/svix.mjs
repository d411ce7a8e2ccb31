// Drives the main operations of the API with the field's own client, and prints one line of JSON for each: its name and
// outcome.
import {Svix} from "svix";

const svix = new Svix(process.argv[2], {serverUrl: process.argv[3]});
const secret = process.argv[4];
const handler = "function handler(webhook) { webhook.payload = {seen: true}; return webhook; }";
const since = new Date(Date.now() - 3_600_000);
let endpoint, message, source;
const operations = {
  health: () => svix.health.get(),
  "application.create": () => svix.application.create({name: "Acme", uid: "acme", metadata: {plan: "pro"}}),
  "application.getOrCreate": async () => (await svix.application.getOrCreate({name: "Again", uid: "acme"})).name,
  "application.get": async () => (await svix.application.get("acme")).metadata,
  "application.patch": async () => (await svix.application.patch("acme", {name: "Acme Ltd"})).name,
  "application.upsert": async () => (await svix.application.upsert("acme", {name: "Acme Inc", uid: "acme"})).name,
  "application.list": async () => (await svix.application.list({limit: 1, order: "ascending"})).data.length,
  "application.taken": () => svix.application.create({name: "Twice", uid: "acme"}),
  "application.invalid": () => svix.application.create({name: ""}),
  "eventType.create": async () => (await svix.eventType.create({name: "order.placed", description: "An order."})).name,
  "eventType.patch": async () => (await svix.eventType.patch("order.placed", {deprecated: true})).deprecated,
  "eventType.list": async () => (await svix.eventType.list({limit: 250})).data.length,
  "eventType.delete": () => svix.eventType.delete("order.placed"),
  "connector.list": async () => (await svix.connector.list()).data.map(one => one.kind),
  "endpoint.create": async () => {
    endpoint = await svix.endpoint.create("acme", {url: "http://127.0.0.1:9/hooks", eventTypes: ["order.placed"]});
    return endpoint.url;
  },
  "endpoint.patch": async () => (await svix.endpoint.patch("acme", endpoint.id, {description: "The shop"})).description,
  "endpoint.list": async () => (await svix.endpoint.list("acme")).data.length,
  "endpoint.getSecret": async () => (await svix.endpoint.getSecret("acme", endpoint.id)).key.slice(0, 6),
  "endpoint.rotateSecret": () => svix.endpoint.rotateSecret("acme", endpoint.id, {key: secret}).then(() => null),
  "endpoint.secret": async () => (await svix.endpoint.getSecret("acme", endpoint.id)).key === secret,
  "endpoint.setHeaders": async () => {
    await svix.endpoint.setHeaders("acme", endpoint.id, {headers: {"x-shop": "1"}});
    return (await svix.endpoint.getHeaders("acme", endpoint.id)).sensitive;
  },
  "transformation.patch": async () => {
    await svix.endpoint.transformation.patch("acme", endpoint.id, {code: handler, enabled: true});
    return (await svix.endpoint.transformation.get("acme", endpoint.id)).enabled;
  },
  "message.create": async () => {
    message = await svix.message.create("acme", {eventType: "order.placed", eventId: "order-7", payload: {number: 7}});
    return message.eventId;
  },
  "message.get": async () => (await svix.message.get("acme", "order-7", {withContent: true})).payload,
  "message.list": async () => (await svix.message.list("acme")).data.length,
  "messageAttempt.listAttemptedDestinations": async () =>
    (await svix.messageAttempt.listAttemptedDestinations("acme", message.id)).data.map(one => one.id === endpoint.id),
  "endpoint.recover": async () => (await svix.endpoint.recover("acme", endpoint.id, {since})).task,
  "endpoint.replayMissing": async () => (await svix.endpoint.replayMissing("acme", endpoint.id, {since})).status,
  "backgroundTask.list": async () => (await svix.backgroundTask.list()).data.length,
  "ingest.source.create": async () => {
    source = await svix.ingest.source.create({name: "shop", type: "svix", config: {secret}});
    return source.type;
  },
  "ingest.source.rotateToken": async () =>
    (await svix.ingest.source.rotateToken(source.id)).ingestUrl !== source.ingestUrl,
  "ingest.source.list": async () => (await svix.ingest.source.list()).data.some(one => one.id === source.id),
  "ingest.source.delete": () => svix.ingest.source.delete(source.id),
  "authentication.appPortalAccess": async () => {
    const access = await svix.authentication.appPortalAccess("acme", {});
    const viewer = new Svix(access.token, {serverUrl: process.argv[3]});
    return (await viewer.application.list()).data.map(one => one.uid);
  },
  "endpoint.delete": () => svix.endpoint.delete("acme", endpoint.id),
  "application.delete": () => svix.application.delete("acme"),
  "application.gone": () => svix.application.get("acme"),
};
for (const [name, run] of Object.entries(operations)) {
  let outcome;
  try {
    outcome = (await run()) ?? null;
    if (outcome?.id) outcome = "made";
  } catch (error) {
    outcome = {status: error.code ?? String(error), code: error.body?.code ?? null};
  }
  console.log(JSON.stringify([name, outcome]));
}
