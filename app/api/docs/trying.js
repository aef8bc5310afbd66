// A request from the page: its fields, its command line, its answer.
import { code, el } from "./dom.js";

const LIMIT = 200_000;

function field(parameter) {
  const schema = parameter.schema ?? {};
  return el("input", {
    "aria-label": parameter.name,
    placeholder: String(schema.examples?.[0] ?? schema.default ?? ""),
    spellcheck: "false",
  });
}

/** The form of one operation; `token()` gives the token that was entered. */
export function trying(method, path, operation, example, token) {
  const fields = (operation.parameters ?? []).map((each) => [each, field(each)]);
  const body = operation.requestBody
    ? el("textarea", { "aria-label": "Body", spellcheck: "false" }, JSON.stringify(example, null, 2))
    : null;
  const key = fields.find(([each]) => each.name === "Idempotency-Key");
  if (key) key[1].value = randomKey();
  const answer = el("div", { "aria-live": "polite" });
  const send = el("button", { class: "main", type: "button", onclick: ask }, `Send ${method.toUpperCase()}`);
  const tell = () => answer.replaceChildren(code(curl(request())));
  const show = el("button", { type: "button", onclick: tell }, "Show as curl");

  function request() {
    let where = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const [each, input] of fields) {
      const value = input.value.trim();
      if (each.in === "path") where = where.replace(`{${each.name}}`, encodeURIComponent(value));
      else if (value && each.in === "query") query.set(each.name, value);
      else if (value) headers[each.name] = value;
    }
    if (operation.security?.length && token()) headers.Authorization = `Bearer ${token()}`;
    if (body) headers["Content-Type"] = "application/json";
    const url = new URL(where.slice(1) + (query.size ? `?${query}` : ""), document.baseURI);
    return { url: url.href, headers, body: body?.value };
  }

  function curl(asked) {
    const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    const shown = { ...asked.headers };
    if (operation.security?.length) shown.Authorization = "Bearer $TOKEN";
    const lines = [`curl -X ${method.toUpperCase()} ${quoted(asked.url)}`];
    for (const [name, value] of Object.entries(shown)) {
      lines.push(name === "Authorization" ? `-H "${name}: ${value}"` : `-H ${quoted(`${name}: ${value}`)}`);
    }
    if (asked.body) lines.push(`-d ${quoted(asked.body)}`);
    return lines.join(" \\\n  ");
  }

  async function ask() {
    const { url, headers, body: text } = request();
    send.disabled = true;
    const began = performance.now();
    try {
      const asked = { method: method.toUpperCase(), headers, body: text, credentials: "omit" };
      const given = await fetch(url, asked);
      const said = await given.text();
      const took = Math.round(performance.now() - began);
      const kind = given.ok ? "status good" : "status bad";
      answer.replaceChildren(
        el("p", {}, el("span", { class: kind }, String(given.status)),
          ` ${given.statusText} in ${took} ms`,
          given.headers.has("Location") ? ` · Location ${given.headers.get("Location")}` : ""),
        said ? code(readable(said).slice(0, LIMIT)) : "");
    } catch {
      answer.replaceChildren(el("p", { class: "bad" }, "The API did not answer; is it running?"));
    } finally {
      send.disabled = false;
    }
  }

  const lines = fields.flatMap(([each, input]) => [el("span", { class: "path" }, each.name), input]);
  if (body) lines.push(el("span", { class: "path" }, "body"), body);
  return [el("div", { class: "grid" }, lines), el("div", { class: "row" }, send, show), answer];
}

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
}

function readable(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
