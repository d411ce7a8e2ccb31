// Identifies an occurrence, so that it counts once even if it arrives under several webhook ids. Undefined if a part is
// unknown; then each webhook id counts.
function key(...parts) {
  const isKnown = (part) => (typeof part === "string" && part !== "") || typeof part === "number";
  return parts.every(isKnown) ? parts.join("/") : undefined;
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
  return Number.isInteger(minorUnits) && currency ? nicobar.money(minorUnits, currency) ?? null : null;
}

// As text with all decimals of its currency, such as 54.50.
function amountText(minorUnits, currency) {
  const value = amount(minorUnits, currency);
  return value === null ? null : value.toFixed(Math.round(-Math.log10(nicobar.money(1, currency))));
}

function money(fact) {
  const value = amount(fact?.amount, fact?.currency);
  return {
    amount: value,
    amount_minor: value === null ? null : fact.amount,
    amount_text: amountText(fact?.amount, fact?.currency),
    currency: fact?.currency ?? null,
  };
}

// Unix milliseconds to the Unix seconds of Customer.io.
function seconds(at) { return Number.isFinite(at) ? Math.floor(at / 1000) : null; }

function time(isoText) { return isoText ? nicobar.unix(isoText) ?? null : null; }
