// Runs first in every context: creates the globals that a handler may use, freezes everything, and returns the function
// that runs a handler on one event. Its argument is the currencies' decimals, as JSON. It copies the built-ins that it
// needs into its own scope before any merchant's code can run.
((decimalsText) => {
  "use strict";
  const { apply, construct, defineProperty, deleteProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys } =
    Reflect;
  const { create, freeze, isExtensible, prototype: objectPrototype } = Object;
  const { isArray } = Array;
  const { parse, stringify } = JSON;
  const { isInteger, isFinite } = Number;
  const RealDate = Date;
  const RealString = String;
  const RealPromise = Promise;
  const RealRangeError = RangeError;
  const RealTypeError = TypeError;
  const RealError = Error;
  const uncurry = (method) => (self, ...args) => apply(method, self, args);
  const test = uncurry(RegExp.prototype.exec);
  const slice = uncurry(String.prototype.slice);
  const upper = uncurry(String.prototype.toUpperCase);
  const wellFormed = uncurry(String.prototype.toWellFormed);
  const charCode = uncurry(String.prototype.charCodeAt);
  const getTime = uncurry(RealDate.prototype.getTime);
  const getDate = uncurry(RealDate.prototype.getUTCDate);
  const dateUTC = RealDate.UTC;
  const has = uncurry(Set.prototype.has);
  const levelOf = uncurry(Map.prototype.get);
  const setLevel = uncurry(Map.prototype.set);
  const Levels = Map;
  const join = uncurry(Array.prototype.join);
  // The engine stores concatenated strings as ropes, which its Python binding cannot read; a joined string is flat.
  const whole = (...parts) => join(parts, "");
  const imul = Math.imul;
  const floor = Math.floor;

  // --- the state of one event; reset by `run` ---
  let now = 0;
  let random = 1;
  let customer = null;
  let identifies = false;
  let lines = [];
  let linesLeftOut = 0;
  let warnings = [];
  let exactNumbers = {};
  let original = null;
  // JSON, null until the ledger is read; then its value.
  let ledgerText = null;
  let ledger = null;
  let needsLedger = false;
  let usedLedger = false;
  let bounds = { consoleLines: 0, consoleLineChars: 0, outputChars: 0, depthLevels: 0 };

  // --- no way to keep state, wait or measure time ---
  for (const name of [
    "Atomics", "SharedArrayBuffer", "WeakRef", "FinalizationRegistry", "performance", "queueMicrotask",
  ]) deleteProperty(globalThis, name);
  // Their setters store values in the engine itself, where freezing has no effect; a stack of objects would also expose
  // the functions of this file.
  for (const name of ["prepareStackTrace", "stackTraceLimit"]) deleteProperty(RealError, name);

  // --- a frozen clock, and random numbers that are the same on every attempt ---
  const StillDate = function Date(...args) {
    if (new.target === undefined) return RealString(new RealDate(now));
    return construct(RealDate, args.length === 0 ? [now] : args, new.target);
  };
  for (const key of ["parse", "UTC"]) defineProperty(StillDate, key, getOwnPropertyDescriptor(RealDate, key));
  defineProperty(StillDate, "now", { value: { now() { return now; } }.now });
  defineProperty(StillDate, "length", { value: 7 });
  defineProperty(StillDate, "prototype", { value: RealDate.prototype, writable: false });
  defineProperty(RealDate.prototype, "constructor", { value: StillDate });
  globalThis.Date = StillDate;
  Math.random = { random() {
    // mulberry32: small, and good enough for sampling.
    random = (random + 0x6d2b79f5) | 0;
    let mixed = imul(random ^ (random >>> 15), 1 | random);
    mixed = (mixed + imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  } }.random;
  const seedOf = (text) => {
    let hash = 0x811c9dc5;
    for (let index = 0; index < text.length; index++) hash = imul(hash ^ charCode(text, index), 0x01000193);
    return hash | 0;
  };

  // --- console ---
  const show = (value) => {
    if (typeof value === "string") return value;
    if (typeof value === "object" && value !== null) {
      if (value instanceof RealError) return RealString(value);
      const text = stringify(value);
      return text === undefined ? RealString(value) : text;
    }
    return typeof value === "symbol" ? "Symbol()" : RealString(value);
  };
  const write = (level, values) => {
    if (lines.length >= bounds.consoleLines) {
      linesLeftOut += 1;
      return;
    }
    let line = level;
    for (let index = 0; index < values.length; index++) {
      let text;
      try { text = show(values[index]); } catch { text = "[cannot be shown]"; }
      line += (index ? " " : "") + text;
      if (line.length > bounds.consoleLineChars) {
        line = slice(line, 0, bounds.consoleLineChars) + "…";
        break;
      }
    }
    // Again: showing a value may write further lines.
    if (lines.length >= bounds.consoleLines) {
      linesLeftOut += 1;
      return;
    }
    line = wellFormed(line);
    defineProperty(lines, lines.length, { value: line, writable: true, enumerable: true, configurable: true });
  };
  globalThis.console = {
    log(...values) { write("", values); },
    info(...values) { write("", values); },
    debug(...values) { write("", values); },
    warn(...values) { write("warning: ", values); },
    error(...values) { write("error: ", values); },
  };

  // --- helpers ---
  // A value that a helper cannot use: the helper returns nothing, so that the attribute is omitted and the rest is sent.
  const warn = (code, given) => {
    if (warnings.length >= bounds.warnings) return;
    let text;
    try { text = show(given); } catch { text = "[cannot be shown]"; }
    if (typeof text !== "string") text = "[cannot be shown]";
    const warning = [code, cut(text, bounds.warningChars)];
    defineProperty(warnings, warnings.length, { value: warning, writable: true, enumerable: true, configurable: true });
  };
  // The engine has no languages: what depends on one gives the same result for all, whatever is asked for.
  for (const [owner, names, own] of [
    [Number.prototype, ["toLocaleString"], 0], [BigInt.prototype, ["toLocaleString"], 0],
    [Array.prototype, ["toLocaleString"], 0],
    [RealDate.prototype, ["toLocaleString", "toLocaleDateString", "toLocaleTimeString"], 0],
    [String.prototype, ["toLocaleLowerCase", "toLocaleUpperCase"], 0], [String.prototype, ["localeCompare"], 1],
  ]) {
    for (const name of names) {
      const original = owner[name];
      const method = { [name](...args) {
        // Without a language, texts are compared by their characters' codes: "ä" comes after "z".
        const isForeign = own && test(/[^ -~]/, `${this}${args[0]}`) !== null;
        if (args.length > own || isForeign) warn("locale_ignored", name);
        return apply(original, this, args);
      } }[name];
      defineProperty(owner, name, { value: method, writable: true, enumerable: false, configurable: true });
    }
  }
  const daysOf = (year, month) => getDate(new RealDate(dateUTC(year, month, 0)));
  // A calendar day that does not exist, which the engine reads as one of the next month.
  const isNoDay = (text) => {
    const found = test(/^(\d{4})-(\d{2})-(\d{2})/, text);
    return found !== null && +found[3] > daysOf(+found[1], +found[2]);
  };
  const stepsOf = (path) => {
    const steps = [];
    const step = /[^.[\]"]+/g;
    for (let found = test(step, path); found !== null; found = test(step, path)) {
      defineProperty(steps, steps.length, { value: found[0], writable: true, enumerable: true, configurable: true });
    }
    return steps;
  };
  // Decimals by ISO 4217.
  const decimals = Object.setPrototypeOf(parse(decimalsText), null);
  const plainObject = (value) => typeof value === "object" && value !== null && !isArray(value);
  const entity = (action, attributes, options, name) => {
    const given = plainObject(options) ? options.identifiers : undefined;
    if (given === undefined && customer === null && !identifies) {
      throw new RealTypeError(
        `nicobar.${action}: this event has no customer. Pass {identifiers: {id: …}} as the last argument.`);
    }
    if (attributes !== undefined && !plainObject(attributes)) {
      throw new RealTypeError(`nicobar.${action}: the attributes must be an object.`);
    }
    // As people.py names a customer who is not known.
    const own = customer === null ? { nicobar: "customer" } : { id: customer };
    const made = { type: "person", identifiers: given === undefined ? own : given, action };
    if (name !== undefined) made.name = name;
    made.attributes = attributes === undefined ? {} : attributes;
    return made;
  };
  globalThis.nicobar = {
    money(minorUnits, currency) {
      const places = typeof currency === "string" ? decimals[upper(currency)] : undefined;
      if (places === undefined) {
        warn("money_currency", currency);
        return undefined;
      }
      if (!isInteger(minorUnits)) {
        warn("money_amount", minorUnits);
        return undefined;
      }
      return minorUnits / 10 ** places;
    },
    unix(isoText) {
      if (isoText === null || isoText === undefined) return null;
      const time = typeof isoText === "string" && !isNoDay(isoText) ? getTime(new RealDate(isoText)) : NaN;
      if (!isFinite(time)) {
        warn("unix_time", isoText);
        return undefined;
      }
      if (time < 0) warn("unix_before_1970", isoText);
      return floor(time / 1000);
    },
    exact(path) {
      if (typeof path !== "string") throw new RealTypeError("nicobar.exact: the path must be text, such as data.order_id.");
      const steps = stepsOf(path);
      const digits = getOwnPropertyDescriptor(exactNumbers, join(steps, "\n"));
      if (digits !== undefined) return digits.value;
      let value = original;
      for (let index = 0; index < steps.length; index++) {
        if (typeof value !== "object" || value === null) return null;
        const property = getOwnPropertyDescriptor(value, steps[index]);
        value = property === undefined ? undefined : property.value;
      }
      return typeof value === "number" || typeof value === "string" ? RealString(value) : null;
    },
    event(name, attributes, options) {
      if (typeof name !== "string" || name === "") {
        throw new RealTypeError("nicobar.event: the name must be text and not empty.");
      }
      const made = entity("event", attributes, options, name);
      // What identifies this event; the connector derives the id from it and validates it.
      if (plainObject(options)) {
        if (options.once !== undefined) made.once = options.once;
        if (options.key !== undefined) made.key = options.key;
      }
      return made;
    },
    identify(attributes, options) { return entity("identify", attributes, options); },
  };

  // --- freeze everything, including objects that only syntax reaches ---
  const hidden = [
    (function* () {}), (async () => {}), (async function* () {}), [][Symbol.iterator](), new Map().entries(),
    new Set().values(), ""[Symbol.iterator](), /a/[Symbol.matchAll](""), (function () { return arguments; })(),
    [].values().map((x) => x), Iterator.from({ next() { return { done: true }; } }),
  ];
  const seen = new Set([globalThis]);
  const found = [];
  const visit = (value) => {
    if ((typeof value === "object" && value !== null) || typeof value === "function") {
      if (!seen.has(value)) {
        seen.add(value);
        found.push(value);
      }
    }
  };
  const visitAll = (value) => {
    visit(getPrototypeOf(value));
    for (const key of ownKeys(value)) {
      const property = getOwnPropertyDescriptor(value, key);
      visit(property.value);
      visit(property.get);
      visit(property.set);
    }
  };
  visitAll(globalThis);
  for (const value of hidden) visitAll(value);
  for (let index = 0; index < found.length; index++) visitAll(found[index]);
  // An inherited read-only property cannot be set on derived objects either; as an accessor it can. (The "override
  // mistake" of ECMAScript.)
  const overridable = [objectPrototype, Function.prototype, Array.prototype, Iterator.prototype, Promise.prototype];
  for (const value of found) {
    if (typeof value === "function" && value.prototype instanceof RealError) overridable.push(value.prototype);
  }
  overridable.push(RealError.prototype);
  for (const owner of overridable) {
    for (const key of ownKeys(owner)) {
      const property = getOwnPropertyDescriptor(owner, key);
      if (!("value" in property) || !property.configurable) continue;
      const { value } = property;
      defineProperty(owner, key, {
        get() { return value; },
        set(changed) {
          if (this === owner) throw new RealTypeError("Built-in objects cannot be changed.");
          defineProperty(this, key, { value: changed, writable: true, enumerable: true, configurable: true });
        },
        enumerable: property.enumerable,
        configurable: false,
      });
      visitAll(owner);
      const accessor = getOwnPropertyDescriptor(owner, key);
      freeze(accessor.get);
      freeze(accessor.set);
    }
  }
  for (const value of found) freeze(value);
  for (const key of ownKeys(globalThis)) {
    const property = getOwnPropertyDescriptor(globalThis, key);
    if ("value" in property) property.writable = false;
    property.configurable = false;
    defineProperty(globalThis, key, property);
  }
  const known = new Set(ownKeys(globalThis));
  const globalPrototype = getPrototypeOf(globalThis);

  // --- one event ---
  class Bad {
    constructor(code, values) {
      this.code = code;
      this.values = values;
    }
  }
  // The codes and their texts are in failures.py.
  const bad = (code, values = {}) => { throw new Bad(code, values); };
  const badValue = (where, value) => {
    if (value === undefined) bad(`${where}_nothing`);
    if (value === null) bad(`${where}_null`);
    bad(`${where}_value`, { type: typeof value });
  };
  const methods = new Set(["POST", "PUT", "PATCH", "DELETE"]);
  const headersOf = (given) => {
    if (given === undefined || given === null) return {};
    if (!plainObject(given)) bad("headers_not_object");
    const made = create(null);
    for (const key of ownKeys(given)) {
      const value = given[key];
      if (typeof key !== "string" || test(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/, key) === null) {
        bad("header_name_invalid");
      }
      if (typeof value !== "string" && typeof value !== "number") bad("header_not_text", { name: key });
      const text = RealString(value);
      if (text.length > 4096 || test(/^[\t\x20-\x7e]*$/, text) === null) {
        bad("header_value_invalid", { name: key });
      }
      made[key] = text;
    }
    return made;
  };
  // Serializes a payload again down to the deepest allowed level, to distinguish one that is nested too deeply from
  // custom code that never ends: `stringify` fails in the same way for both.
  const checkDepth = (payload) => {
    const levels = new Levels();
    stringify(payload, function (key, value) {
      if (typeof value !== "object" || value === null) return value;
      const level = (levelOf(levels, this) ?? 0) + 1;
      if (level > bounds.depthLevels) {
        bad("too_deep", { levels: bounds.depthLevels });
      }
      setLevel(levels, value, level);
      return value;
    });
  };
  const callOf = (item, webhook, start) => {
    if (isArray(item)) bad("list_holds_list");
    if (!plainObject(item)) badValue("list_holds", item);
    if (item.cancel) return null;
    if (item !== webhook && !("payload" in item)) bad("no_payload");
    const { method = start.method, url = start.url, payload } = item;
    if (typeof method !== "string" || !has(methods, upper(method))) {
      bad("method_invalid");
    }
    if (typeof url !== "string") bad("url_not_text");
    let text;
    try {
      text = stringify(payload);
    } catch (error) {
      if (error instanceof RealRangeError) {
        try { checkDepth(payload); } catch (again) { if (again instanceof Bad) throw again; }
        throw error;
      }
      bad("payload_not_json", { error: say(error) });
    }
    if (text === undefined) {
      if (payload !== undefined) bad("payload_type", { type: typeof payload });
      text = "null";
    }
    return { method: upper(method), url, headers: headersOf(item.headers), text };
  };
  const cut = (text, chars) => wellFormed(text.length > chars ? slice(text, 0, chars) + "…" : text);
  const say = (error) => {
    try {
      const text = error instanceof RealError ? RealString(error.message) : show(error);
      return typeof text === "string" ? cut(text, 500) : "[cannot be shown]";
    } catch { return "[cannot be shown]"; }
  };
  // The handler may control a value's prototype; nothing that it throws there may leave this function.
  const isA = (error, constructor) => { try { return error instanceof constructor; } catch { return false; } };
  const failureOf = (error) => {
    if (isA(error, Bad)) return { code: error.code, values: error.values };
    let name = "";
    let stack = "";
    try {
      if (error instanceof RealError) {
        name = cut(RealString(error.name), 100);
        stack = cut(RealString(error.stack), 10000);
      }
    } catch { name = ""; }
    const message = say(error);
    if (isA(error, RealRangeError) && message === "Maximum call stack size exceeded") {
      return { code: "stack_overflow", stack };
    }
    if (name === "InternalError" && message === "out of memory") {
      return { code: "out_of_memory" };
    }
    return { code: "threw", values: { error: `${name ? name + ": " : ""}${message}` }, stack };
  };
  const clean = () => {
    for (const key of ownKeys(globalThis)) {
      if (!has(known, key) && !deleteProperty(globalThis, key)) return false;
    }
    return isExtensible(globalThis) && getPrototypeOf(globalThis) === globalPrototype;
  };
  const frozen = (value) => {
    if (typeof value === "object" && value !== null) {
      const keys = ownKeys(value);
      for (let index = 0; index < keys.length; index++) frozen(value[keys[index]]);
      freeze(value);
    }
    return value;
  };
  const partOfLedger = (name) => {
    if (ledgerText === null) {
      // The handler may catch this: the event is run again whatever it does.
      needsLedger = true;
      throw new RealTypeError(`webhook.${name} is not known yet.`);
    }
    usedLedger = true;
    if (ledger === null) ledger = frozen(parse(ledgerText));
    return ledger[name];
  };
  // The webhook's other properties can be replaced, and handlers may have used these names for values of their own. A
  // copy of the webhook is made without them, and without reading the ledger.
  const ledgerAccessors = create(null);
  for (const name of ["customer", "facts"]) {
    const { get, set } = getOwnPropertyDescriptor({
      get [name]() { return partOfLedger(name); },
      set [name](value) { defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true }); },
    }, name);
    ledgerAccessors[name] = { get: freeze(get), set: freeze(set), enumerable: false, configurable: true };
  }
  const answer = (factory, input, body) => {
    const payload = parse(body);
    original = payload;
    const before = stringify(payload);
    const start = { method: input.method, url: input.url };
    const webhook = {
      method: input.method, url: input.url, eventType: input.eventType, payload, headers: {}, env: input.env,
      transformationsParams: input.params,
    };
    defineProperty(webhook, "customer", ledgerAccessors.customer);
    defineProperty(webhook, "facts", ledgerAccessors.facts);
    const handler = factory();
    if (typeof handler !== "function") {
      bad("no_handler");
    }
    const returned = apply(handler, undefined, [webhook]);
    if (typeof returned !== "object" || returned === null) badValue("returned", returned);
    if (returned instanceof RealPromise || (returned !== webhook && typeof returned.then === "function")) {
      bad("returned_promise");
    }
    const items = isArray(returned) ? returned : [returned];
    let calls = "";
    let count = 0;
    let touched = false;
    for (let index = 0; index < items.length; index++) {
      const call = callOf(items[index], webhook, start);
      if (call === null) continue;
      touched ||= call.method !== start.method || call.url !== start.url || ownKeys(call.headers).length > 0
        || call.text !== before;
      calls += (count ? "," : "") + `{"method":${stringify(call.method)},"url":${stringify(call.url)},`
        + `"headers":${stringify(call.headers)},"payload":${call.text}}`;
      count += 1;
      // An event that is returned unchanged does not leave the child.
      if (calls.length > bounds.outputChars && (touched || count > 1)) {
        bad("output_too_large", { output_bytes: bounds.outputChars });
      }
    }
    const kind = count === 0 ? "canceled" : !touched && count === 1 ? "untouched" : "calls";
    return { head: `"kind":"${kind}"`, calls: kind === "calls" ? `[${calls}]` : "" };
  };
  const tail = () => {
    const said = linesLeftOut ? [...lines, `… ${linesLeftOut} more lines`] : lines;
    return `"console":${stringify(said)},"warnings":${stringify(warnings)},"used":${usedLedger},"clean":${clean()}}`;
  };
  return (factory) => (inputText, body, givenLedger) => {
    // Called with null after an event was stopped from outside: returns the console output until then.
    if (inputText === null) return whole("{", tail());
    const input = parse(inputText);
    ({ now, customer, identifies, bounds, exact: exactNumbers } = input);
    random = seedOf(input.seed);
    lines = [];
    linesLeftOut = 0;
    warnings = [];
    original = null;
    ledgerText = givenLedger;
    ledger = null;
    needsLedger = false;
    usedLedger = false;
    let head;
    let calls = "";
    try {
      ({ head, calls } = answer(factory, input, body));
    } catch (error) {
      head = `"kind":"broken","failure":${stringify(failureOf(error))}`;
    }
    if (needsLedger) {
      head = `"kind":"needs_ledger"`;
      calls = "";
    }
    return whole("{", head, ",", tail(), "\n", calls);
  };
})
