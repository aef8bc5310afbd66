// The document as a page: groups of operations, each with parameters, body and answers.
import { code, el, folded, paragraphs, prose } from "./dom.js";
import { Schemas, given, table } from "./schema.js";
import { trying } from "./trying.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const byId = (id) => document.getElementById(id);
const token = () => byId("token").value.trim();

function operationsOf(spec) {
  return Object.entries(spec.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ method, path, ...item[method] })));
}

function withNames(path) {
  return path.split(/(\{\w+\})/).map((part) => (part.startsWith("{") ? el("b", {}, part) : part));
}

function contentOf(answer) {
  return Object.values(answer.content ?? {})[0] ?? {};
}

function parametersOf(operation, schemas) {
  const rows = (operation.parameters ?? []).flatMap((each) => {
    const place = each.in === "query" ? "" : `in the ${each.in}`;
    const text = [each.description, place].filter(Boolean).join("; ");
    return schemas.row(each.name, given(each.schema ?? {}), each.required, text);
  });
  return rows.length ? [el("h3", {}, "Parameters"), table(rows)] : [];
}

function bodyOf(operation, schemas) {
  if (!operation.requestBody) return [];
  const schema = contentOf(operation.requestBody).schema ?? {};
  const whole = schemas.whole(schema);
  const object = schemas.inner(schema);
  const examples = (whole.examples ?? []).map((each) => code(JSON.stringify(each, null, 2)));
  return [
    el("h3", {}, "Body"),
    ...paragraphs(whole.description),
    object ? table(schemas.rows(object, true)) : el("p", {}, schemas.words(schema)),
    examples.length ? el("h3", {}, examples.length > 1 ? "Examples" : "Example") : null,
    ...examples,
  ];
}

function answersOf(operation, schemas) {
  return Object.entries(operation.responses).map(([status, answer]) => {
    const good = status.startsWith("2");
    const text = answer.description === "Successful Response" ? "success" : answer.description;
    const summary = [el("span", { class: `status ${good ? "good" : "bad"}` }, status), prose(text)].flat();
    return folded("answer", summary, () => {
      const { schema, example } = contentOf(answer);
      const object = schema ? schemas.inner(schema) : null;
      const rows = Object.entries(answer.headers ?? {})
        .flatMap(([name, each]) => schemas.row(name, each.schema ?? {}, false, `${each.description}; a header`));
      if (object) rows.push(...schemas.rows(object, false));
      const bare = schema ? schemas.words(schema) : "Without a body.";
      return [
        ...(rows.length ? [table(rows)] : []),
        example === undefined ? el("p", { class: "dim" }, bare) : code(JSON.stringify(example, null, 2)),
      ];
    });
  });
}

function exampleOf(operation, schemas) {
  if (!operation.requestBody) return null;
  return schemas.whole(contentOf(operation.requestBody).schema ?? {}).examples?.[0] ?? {};
}

function card(operation, schemas) {
  const { method, path } = operation;
  const summary = [
    el("span", { class: `verb ${method}` }, method.toUpperCase()),
    el("span", { class: "path" }, withNames(path)),
    el("span", { class: "what" }, operation.summary),
  ];
  const inside = () => el("div", { class: "body" },
    paragraphs(operation.description), parametersOf(operation, schemas), bodyOf(operation, schemas),
    el("h3", {}, "Answers"), answersOf(operation, schemas),
    el("h3", {}, "Try it"), trying(method, path, operation, exampleOf(operation, schemas), token));
  return folded("operation", summary, inside, { id: operation.operationId });
}

function entry(operation) {
  return el("a", { href: `#${operation.operationId}`, title: operation.path },
    el("span", { class: `verb ${operation.method}` }, operation.method.toUpperCase()), operation.summary);
}

/** Show what holds every word; groups without any are hidden too. */
function search(operations, groups) {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const each of operations) {
    const text = `${each.method} ${each.path} ${each.summary} ${each.description} ${each.tags}`.toLowerCase();
    const shown = words.every((word) => text.includes(word));
    each.card.hidden = each.entry.hidden = !shown;
  }
  for (const { parts, members } of groups) {
    for (const part of parts) part.hidden = members.every((each) => each.card.hidden);
  }
}

function openNamed() {
  const named = byId(decodeURIComponent(location.hash.slice(1)));
  if (!named) return;
  if (named.tagName === "DETAILS" && !named.open) {
    // Its inside is made when it opens, and the page is as long as it will be after that.
    named.addEventListener("toggle", () => named.scrollIntoView(), { once: true });
    named.open = true;
  } else {
    named.scrollIntoView();
  }
}

function show(spec) {
  const schemas = new Schemas(spec.components?.schemas ?? {});
  const operations = operationsOf(spec);
  for (const each of operations) Object.assign(each, { card: card(each, schemas), entry: entry(each) });
  const groups = (spec.tags ?? []).map((tag) => {
    const members = operations.filter((each) => each.tags?.[0] === tag.name);
    const listed = el("div", {}, el("h2", {}, tag.name), members.map((each) => each.entry));
    const section = el("section", { id: `tag-${tag.name.replaceAll(" ", "-")}` }, el("h2", {}, tag.name),
      el("p", { class: "dim" }, tag.description), members.map((each) => each.card));
    return { members, parts: [listed, section] };
  });
  byId("version").textContent = spec.info.version;
  byId("index").replaceChildren(...groups.map(({ parts }) => parts[0]));
  byId("main").replaceChildren(
    el("div", { class: "intro" }, el("h1", {}, `${spec.info.title} API`), paragraphs(spec.info.description),
      el("p", { class: "dim" }, `${operations.length} operations. The document itself: `,
        el("a", { href: "openapi.json" }, "openapi.json"))),
    ...groups.map(({ parts }) => parts[1]));
  byId("search").addEventListener("input", () => search(operations, groups));
  window.addEventListener("hashchange", openNamed);
  openNamed();
}

try {
  const answer = await fetch("openapi.json", { credentials: "omit" });
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  show(await answer.json());
} catch (error) {
  byId("state").textContent = `openapi.json could not be shown: ${error.message}`;
}
