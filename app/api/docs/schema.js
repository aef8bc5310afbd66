// Schemas of the document as tables of fields.
import { el, prose } from "./dom.js";

const NAMES = {
  integer: "whole number", string: "text", boolean: "true or false", number: "number", null: "null",
  object: "object",
};

/** Rows as a table. */
export function table(rows) {
  return el("table", {}, el("tbody", {}, rows));
}

/** A schema of a parameter: what may be left out is not told as null. */
export function given(schema) {
  if (!schema.anyOf) return schema;
  const { anyOf, ...beside } = schema;
  const choices = anyOf.filter((each) => each.type !== "null");
  return choices.length === 1 ? { ...choices[0], ...beside } : { anyOf: choices, ...beside };
}

export class Schemas {
  constructor(found) {
    this.found = found;
  }

  /** A schema with its reference followed; what stands beside the reference wins. */
  whole(schema) {
    if (!schema.$ref) return schema;
    const { $ref, ...beside } = schema;
    return { ...this.found[$ref.split("/").pop()], ...beside };
  }

  /** The type in words. */
  words(schema) {
    const full = this.whole(schema);
    if (full.enum) return "one of " + full.enum.join(", ");
    if ("const" in full) return JSON.stringify(full.const);
    if (full.anyOf) return full.anyOf.map((each) => this.words(each)).join(" or ");
    if (full.type === "array") return `list of ${this.words(full.items ?? {})}`;
    if (schema.$ref) return full.title ?? schema.$ref.split("/").pop();
    if (full.format === "date-time") return "time";
    return NAMES[full.type] ?? "any value";
  }

  /** Bounds, default and example in words. */
  limits(schema) {
    const full = this.whole(schema);
    const plain = full.anyOf ? { ...full.anyOf.find((each) => each.type !== "null"), ...full } : full;
    const said = [];
    if ("minimum" in plain && "maximum" in plain) said.push(`${plain.minimum} to ${plain.maximum}`);
    else if ("minimum" in plain) said.push(`at least ${plain.minimum}`);
    else if ("maximum" in plain) said.push(`at most ${plain.maximum}`);
    if ("exclusiveMinimum" in plain) said.push(`above ${plain.exclusiveMinimum}`);
    if ("maxLength" in plain) said.push(`at most ${plain.maxLength} characters`);
    if ("maxItems" in plain) said.push(`at most ${plain.maxItems} entries`);
    if (plain.default !== undefined && plain.default !== null) {
      said.push(`default \`${JSON.stringify(plain.default)}\``);
    }
    if (plain.examples?.length && typeof plain.examples[0] !== "object") {
      said.push(`as in \`${plain.examples[0]}\``);
    }
    if (plain.pattern && plain.pattern.length < 60) said.push(`form \`${plain.pattern}\``);
    return said.join(" · ");
  }

  /** The object that a schema holds, once lists and choices are taken off; else null. */
  inner(schema) {
    const full = this.whole(schema);
    if (full.properties) return full;
    if (full.type === "array" && full.items) return this.inner(full.items);
    const choices = (full.anyOf ?? []).map((each) => this.inner(each)).filter(Boolean);
    return choices[0] ?? null;
  }

  /** A row of name, type and what is to be known; below it one for the fields of an object. */
  row(name, schema, required, description, asked = true) {
    const limits = this.limits(schema);
    const text = description ?? this.whole(schema).description;
    const need = required ? el("span", { class: "need" }, "required") : null;
    const [type, below] = this.type(schema, asked);
    return [
      el("tr", {},
        el("td", {}, el("span", { class: "path" }, name), need),
        el("td", {}, type),
        el("td", {}, text ? prose(text.replaceAll("\n", " ")) : null,
          limits ? el("span", { class: "more" }, prose(limits)) : null)),
      ...below,
    ];
  }

  /** The type as what stands in a cell, and the row that it opens, where it holds an object. */
  type(schema, asked) {
    const object = this.inner(schema);
    if (!object) return [this.words(schema), []];
    const cell = el("td", { colspan: "3", class: "model" });
    const row = el("tr", { hidden: true }, cell);
    const state = { class: "link", type: "button", "aria-expanded": "false", onclick: turn };
    const button = el("button", state, this.words(schema));
    const inside = () => table(this.rows(object, asked));
    function turn() {
      if (!cell.childElementCount) cell.append(inside());
      row.hidden = !row.hidden;
      button.setAttribute("aria-expanded", String(!row.hidden));
    }
    return [button, [row]];
  }

  /** The fields of an object, one row each; `asked` where a client has to give them. */
  rows(object, asked) {
    const needed = new Set(asked ? object.required ?? [] : []);
    return Object.entries(object.properties ?? {})
      .flatMap(([name, field]) => this.row(name, field, needed.has(name), undefined, asked));
  }
}
