// Shows openapi.json of the service that this page came from, and sends calls to it. Text only ever becomes text.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, given] of Object.entries(attributes)) made.setAttribute(key, given);
  made.append(...children);
  return made;
}

function resolved(schema, api) {
  let found = schema ?? {};
  for (let depth = 0; found.$ref && depth < 20; depth += 1) {
    found = found.$ref.slice(2).split("/").reduce((at, step) => at[step], api);
  }
  return found;
}

function typeOf(given, api) {
  const schema = resolved(given, api);
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return [...new Set(options.map((option) => typeOf(option, api)))].join(" or ");
  if (schema.enum) return schema.enum.map((option) => JSON.stringify(option)).join(", ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items, api)}`;
  const type = [schema.type ?? "anything"].flat().join(" or ");
  return schema.format ? `${type}, ${schema.format}` : type;
}

function limitsOf(given, api) {
  const schema = resolved(given, api);
  const words = { minimum: "from", exclusiveMinimum: "above", maximum: "to", exclusiveMaximum: "below", minLength: "characters from", maxLength: "characters to", minItems: "items from", maxItems: "items to", default: "otherwise" };
  const stated = (limit) => limit !== undefined && limit !== null && !(Math.abs(limit) > Number.MAX_SAFE_INTEGER);
  const found = Object.entries(words).filter(([key]) => stated(schema[key]));
  return found.map(([key, word]) => `${word} ${JSON.stringify(schema[key])}`).join(", ");
}

function exampleOf(given, api, depth = 0) {
  const schema = resolved(given, api);
  const shown = schema.example ?? schema.examples?.[0] ?? schema.default ?? schema.const ?? schema.enum?.[0];
  if (shown !== undefined && shown !== null) return shown;
  const option = (schema.anyOf ?? schema.oneOf)?.[0];
  if (option) return exampleOf(option, api, depth);
  if (depth > 4) return null;
  if (schema.type === "array") return [exampleOf(schema.items, api, depth + 1)];
  if (schema.properties) {
    const needed = Object.entries(schema.properties).filter(([name]) => (schema.required ?? []).includes(name));
    const taken = needed.length ? needed : Object.entries(schema.properties);
    return Object.fromEntries(taken.map(([name, member]) => [name, exampleOf(member, api, depth + 1)]));
  }
  if (schema.format === "date-time") return new Date().toISOString();
  return { string: "", integer: schema.minimum ?? 1, number: schema.minimum ?? 1, boolean: true, object: {} }[schema.type] ?? null;
}

function table(headings, rows) {
  const head = make("tr", {}, ...headings.map((heading) => make("th", { scope: "col" }, heading)));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

function named(name, needed) {
  return make("span", needed ? { class: "needed" } : {}, name);
}

function fields(schema, api, asked = true) {
  const found = resolved(schema, api);
  const object = found.type === "array" ? resolved(found.items, api) : found;
  const members = Object.entries(object.properties ?? {});
  if (!members.length) return [make("p", {}, typeOf(schema, api))];
  const rows = members.map(([name, member]) => [
    named(name, asked && (object.required ?? []).includes(name)),
    typeOf(member, api),
    [resolved(member, api).description ?? member.description ?? "", limitsOf(member, api)].filter(Boolean).join("; "),
  ]);
  return [...(found.type === "array" ? [make("p", {}, "A list, each with:")] : []), table(["field", "type", "meaning"], rows)];
}

function answers(call, api) {
  const rows = Object.entries(call.responses ?? {}).map(([status, answer]) => {
    const content = Object.entries(answer.content ?? {});
    const shape = content.map(([media, { schema }]) => (schema && Object.keys(schema).length ? `${media}: ${(schema.$ref ?? "").split("/").pop() || typeOf(schema, api)}` : media));
    return [status, answer.description ?? "", shape.join(", ")];
  });
  return table(["status", "meaning", "body"], rows);
}

function tryIt(method, path, call, api) {
  const parameters = (call.parameters ?? []).map((parameter) => resolved(parameter, api));
  const inputs = parameters.map((parameter) => [parameter, make("input", { placeholder: String(exampleOf(parameter.schema, api) ?? ""), autocomplete: "off", spellcheck: "false" })]);
  const form = make("form", {});
  for (const [parameter, input] of inputs) form.append(make("label", {}, named(parameter.name, parameter.required), input));
  const media = Object.entries(call.requestBody?.content ?? {})[0];
  const body = media && make("textarea", { "aria-label": "body", spellcheck: "false" });
  if (body) {
    body.value = JSON.stringify(media[1].example ?? exampleOf(media[1].schema, api), null, 2);
    form.append(body);
  }
  const answer = make("div", { "aria-live": "polite" });
  form.append(make("button", { type: "submit" }, "Send"), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let target = path;
    const query = new URLSearchParams();
    const headers = media ? { "Content-Type": media[0] } : {};
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value || input.placeholder));
      else if (input.value && parameter.in === "query") query.append(parameter.name, input.value);
      else if (input.value && parameter.in === "header") headers[parameter.name] = input.value;
    }
    const url = query.size ? `${target}?${query}` : target;
    try {
      const response = await fetch(url, { method: method.toUpperCase(), headers, body: body?.value });
      const text = await response.text();
      let shown = text;
      if ((response.headers.get("Content-Type") ?? "").includes("json")) shown = JSON.stringify(JSON.parse(text), null, 2);
      answer.replaceChildren(make("p", response.ok ? {} : { class: "bad" }, `${response.status} ${response.statusText} from ${url}`), make("pre", { tabindex: "0" }, shown));
    } catch (error) {
      answer.replaceChildren(make("p", { class: "bad" }, `No answer from ${url}: ${error.message}`));
    }
  });
  return form;
}

function opened(method, path, call, api) {
  const inside = make("div", { class: "call" });
  for (const paragraph of (call.description ?? "").split("\n\n").filter(Boolean)) inside.append(make("p", {}, paragraph));
  const parameters = (call.parameters ?? []).map((parameter) => resolved(parameter, api));
  if (parameters.length) {
    const rows = parameters.map((parameter) => [named(parameter.name, parameter.required), `${parameter.in}: ${typeOf(parameter.schema, api)}`, [parameter.description ?? "", limitsOf(parameter.schema, api)].filter(Boolean).join("; ")]);
    inside.append(make("h3", {}, "Parameters"), table(["name", "where and type", "meaning"], rows));
  }
  const media = Object.entries(call.requestBody?.content ?? {});
  if (media.length) inside.append(make("h3", {}, `Body, ${media.map(([type]) => type).join(" or ")}`), ...fields(media[0][1].schema, api));
  const good = Object.entries(call.responses ?? {}).find(([status]) => status.startsWith("2"))?.[1];
  const schema = Object.values(good?.content ?? {})[0]?.schema;
  if (schema && Object.keys(schema).length) inside.append(make("h3", {}, "Answer"), ...fields(schema, api, false));
  inside.append(make("h3", {}, "Statuses"), answers(call, api), make("h3", {}, "Try it"), tryIt(method, path, call, api));
  return inside;
}

function callOf(method, path, call, api) {
  const id = `${method}${path}`.replace(/[^a-z0-9]+/gi, "-");
  const summary = make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), make("span", { class: "path" }, path), make("span", { class: "says" }, call.summary ?? ""));
  const details = make("details", { id }, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(opened(method, path, call, api));
  });
  return details;
}

function show(api) {
  document.title = api.info.title;
  document.querySelector("#title").textContent = `${api.info.title} ${api.info.version}`;
  document.querySelector("#about").replaceChildren(`${api.info.description ?? ""} `, make("a", { href: "/openapi.json" }, "openapi.json"));
  const groups = new Map();
  for (const [path, calls] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((each) => calls[each])) {
      const tag = calls[method].tags?.[0] ?? "calls";
      groups.set(tag, [...(groups.get(tag) ?? []), callOf(method, path, calls[method], api)]);
    }
  }
  const last = (tag) => (tag === "actuator" ? 1 : 0);
  for (const [tag, calls] of [...groups].sort(([left], [right]) => last(left) - last(right))) {
    document.querySelector("#contents").append(make("a", { href: `#group-${tag}` }, tag));
    document.querySelector("#calls").append(make("h2", { id: `group-${tag}` }, tag), ...calls);
  }
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted) {
    if (wanted.matches("details")) wanted.open = true;
    wanted.scrollIntoView();
  }
}

fetch("/openapi.json")
  .then((response) => response.json())
  .then(show)
  .catch((error) => document.querySelector("#about").replaceChildren(make("span", { class: "bad" }, `openapi.json cannot be read: ${error.message}`)));
