"use strict";
// Draws the page from the data in it. What a peer said reaches the document as text only: never as markup.
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const ROOT = document.getElementById("page");
  const CLIENT = "C>S";
  const SHOWN_BY = { traffic: "--secrets", all: "--secrets=all" };
  const LIBRARY = { traffic: 'secrets="traffic"', all: 'secrets="all"' };
  const stories = new Map();
  let language = DATA.language;

  // Words

  const t = (text, ...values) => {
    const said = (language === "zh" && DATA.chinese[text]) || text;
    // All at once, by a function: a value may hold what stands for another, or "$&".
    return values.length ? said.replace(/\{(\d)\}/g, (mark, at) => values[at] ?? mark) : said;
  };
  const many = (number, one, more) => t(number === 1 ? one : more, number);
  const milliseconds = (seconds) => `${(seconds * 1000).toFixed(seconds < 0.1 ? 2 : 1)} ms`;
  const sender = (direction) => (direction === CLIENT ? "client" : "server");
  const hidden = (level) =>
    level === "cut"
      ? t("not kept: a page holds the first bytes only")
      : t("hidden; {0} shows it (in a program: {1})", SHOWN_BY[level] || "--secrets", LIBRARY[level] || "");

  // Elements

  const el = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === undefined || value === false || value === "") continue;
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.flat(2).filter((one) => one || one === 0));
    return made;
  };
  const svg = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  // Its contents are made when it is first opened.
  const fold = (attributes, summary, make) => {
    const made = el("details", attributes, el("summary", {}, summary));
    let ready = false;
    made.build = () => {
      if (ready) return;
      ready = true;
      made.append(...[make()].flat().filter(Boolean));
    };
    made.addEventListener("toggle", () => made.open && made.build());
    return made;
  };
  const unfold = (details) => {
    details.build?.();
    details.open = true;
  };
  const pairs = (hex) => hex.match(/../g)?.join(" ") ?? "";
  const section = (text) => {
    const found = /^RFC (\d+)(?: ([\dA-Z][\d.]*))?/.exec(text || "");
    if (!found) return "";
    const where = found[2] ? `#section-${found[2]}` : "";
    const address = `https://www.rfc-editor.org/rfc/rfc${found[1]}${where}`;
    return el("a", { href: address, rel: "noreferrer", target: "_blank" }, text);
  };
  const copyable = (text, title) => {
    const said = el("span", { role: "status" });
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(text);
        said.textContent = t("copied");
      } catch {
        said.textContent = t("select it and copy it");
      }
    };
    return el("div", { class: "shell" }, title && el("p", { class: "muted" }, title), el("pre", { tabindex: "0" }, text),
      el("button", { type: "button", onclick: copy }, t("copy")), said);
  };

  const story = (number) => {
    if (!stories.has(number)) {
      const told = JSON.parse(document.getElementById(`story-${number}`).textContent);
      told.number = number;
      stories.set(number, told);
    }
    return stories.get(number);
  };
  const wordsOf = (told, numbers) => (numbers || []).map((number) => told.words[number]);
  // Plain words, each with its section; the section of the first may stand in a heading.
  const saying = (told, numbers, headed) => wordsOf(told, numbers).map(([sentence, where], at) =>
    (sentence || (where && (at || !headed))) && el("p", {}, sentence && `${t(sentence)} `, at || !headed ? section(where) : ""));
  const firstSection = (told, numbers) => section(wordsOf(told, numbers)[0]?.[1]);

  // Fields and bytes: what is pointed at in one is shown in the other, and explained below

  const withPaths = (told, rows, home) => {
    const stack = [];
    let message = home;
    return rows.map((row) => {
      if (row.m !== undefined) {
        message = told.messages[row.m].id;
        stack.length = 0;
        return { ...row, key: message, path: message };
      }
      // What stands outside of messages is not indented.
      if (!row.d) message = home;
      const depth = (row.d || 0) - (message === home ? 0 : 1);
      stack.length = depth;
      stack[depth] = row.n;
      const path = stack.filter((name) => name !== undefined).join(".");
      return { ...row, key: `${message}/${path}`, path };
    });
  };

  const valueOf = (row, most) => {
    if (row.h && row.h !== "cut") return t("{0} bytes, hidden", row.e - row.s);
    if (row.l?.length) return row.l[0];
    if (row.t) return row.t.length > most ? `${row.t.slice(0, most)}…` : row.t;
    if (row.k === "container") return "";
    if (row.s === row.e) return t("(empty)");
    const hex = row.x || "";
    return hex.length > most ? `${hex.slice(0, most)}… (${t("{0} bytes", row.e - row.s)})` : hex;
  };

  const bytesOf = (told, rows) => {
    const pane = el("div", { class: "bytes", tabindex: "0", role: "group", "aria-label": t("bytes") });
    let shade = 0;
    rows.forEach((row, at) => {
      if (row.k === "container" || row.s === row.e) return;
      const size = row.e - row.s;
      const shown = row.x ? row.x.length / 2 : 0;
      const rest = size - shown;
      const leaf = el("span", { class: `leaf ${row.k || "value"}${row.h ? " hid" : ""}${shade++ % 2 ? " odd" : ""}` });
      const [sentence, where] = wordsOf(told, row.w)[0] || [];
      leaf.title = [row.path, valueOf(row, 60), sentence && t(sentence), where].filter(Boolean).join("\n");
      leaf.dataset.at = at;
      leaf.dataset.size = size;
      leaf.append(pairs(row.x || ""));
      if (rest > 0) leaf.append(`${shown ? " " : ""}▒▒ ${many(rest, "{0} byte", "{0} bytes")}`);
      pane.append(leaf, " ");
    });
    return pane;
  };

  const explain = (told, row, panel) => {
    const facts = [];
    const fact = (name, ...value) => facts.push(el("dt", {}, name), el("dd", {}, ...value));
    if (row.k !== "container" && row.s !== row.e) {
      const range = `${row.s}–${row.e - 1}`;
      fact(t("bytes"), row.e - row.s > 1 ? `${range} (${t("{0} bytes", row.e - row.s)})` : `${row.s}`);
    }
    if (row.h) fact(t("value"), hidden(row.h));
    if (row.t && !row.h) fact(t("value"), row.t);
    if (row.x && row.k !== "length" && row.x.length <= 4096) fact(t("hexadecimal"), el("code", {}, pairs(row.x)));
    if (row.c) fact(t("part"), t("it began in an earlier record"));
    panel.replaceChildren(
      el("h5", {}, row.path, " ", firstSection(told, row.w)),
      ...saying(told, row.w, true).filter(Boolean),
      (row.l || []).length ? el("ul", { class: "lines" }, row.l.map((line) => el("li", {}, line))) : "",
      facts.length ? el("dl", {}, facts) : "",
    );
  };

  const listOf = (rows) => {
    const list = el("ul", { class: "fields", role: "listbox", "aria-label": t("fields") });
    rows.forEach((row, at) => {
      const kind = row.m !== undefined ? "message" : row.k || "value";
      const item = el("li", { role: "option", tabindex: at ? "-1" : "0", "aria-selected": "false", class: `${kind} d${Math.min(row.d || 0, 6)}` },
        el("span", { class: "name" }, row.n, row.c ? ` (${t("continued")})` : ""),
        valueOf(row, 96) && el("span", { class: `text${row.t || row.l || row.h ? "" : " hex"}` }, valueOf(row, 96)));
      item.dataset.at = at;
      list.append(item);
    });
    return list;
  };

  const annotated = (told, title, data, home, address) => {
    const rows = withPaths(told, data, home);
    const bytes = bytesOf(told, rows);
    const list = listOf(rows);
    const panel = el("div", { class: "words", "aria-live": "polite" },
      el("p", { class: "muted" }, t("Point at bytes or fields, or walk through the fields with the arrow keys.")));
    const leaves = new Map([...bytes.children].map((leaf) => [Number(leaf.dataset.at), leaf]));
    const items = [...list.children];
    // Of a container, all that is in it.
    const within = (at) => {
      const row = rows[at];
      if (row.k !== "container") return [at];
      return [...leaves.keys()].filter((one) => rows[one].s >= row.s && rows[one].e <= row.e);
    };
    let hot = [];
    const point = (at) => {
      hot.forEach((one) => one.classList.remove("hot"));
      hot = at === null ? [] : [items[at], ...within(at).map((one) => leaves.get(one))].filter(Boolean);
      hot.forEach((one) => one.classList.add("hot"));
    };
    let chosen = null;
    const choose = (at, { focus = false, link = true } = {}) => {
      if (chosen !== null) {
        items[chosen].setAttribute("aria-selected", "false");
        items[chosen].tabIndex = -1;
        bytes.querySelectorAll(".on").forEach((one) => one.classList.remove("on"));
      } else items[0].tabIndex = -1;
      chosen = at;
      items[at].setAttribute("aria-selected", "true");
      items[at].tabIndex = 0;
      const marked = within(at).map((one) => leaves.get(one)).filter(Boolean);
      marked.forEach((one) => one.classList.add("on"));
      if (marked[0]) bytes.scrollTop += marked[0].getBoundingClientRect().top - bytes.getBoundingClientRect().top - 40;
      if (focus) items[at].focus();
      explain(told, rows[at], panel);
      if (link) history.replaceState(null, "", `#${address}/${rows[at].key.split("/").map(encodeURIComponent).join("/")}`);
    };
    const atOf = (event) => {
      const found = event.target.closest("[data-at]");
      return found ? Number(found.dataset.at) : null;
    };
    for (const side of [bytes, list]) {
      side.addEventListener("pointerover", (event) => point(atOf(event)));
      side.addEventListener("pointerleave", () => point(null));
      side.addEventListener("click", (event) => atOf(event) !== null && choose(atOf(event), { focus: side === list }));
    }
    list.addEventListener("focusin", (event) => {
      const at = atOf(event);
      if (at !== null && at !== chosen) choose(at, { link: false });
    });
    const move = (event) => {
      const at = chosen ?? 0;
      const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1,
        PageDown: at + 10, PageUp: at - 10 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      choose(Math.max(0, Math.min(items.length - 1, next)), { focus: true });
    };
    list.addEventListener("keydown", move);
    const block = el("div", { class: `annotated${home === "record" && title ? " brief" : ""}` }, title && el("h4", {}, title),
      el("div", { class: "panes" }, bytes, list, panel));
    block.find = (key) => {
      const at = rows.findIndex((row) => row.key === key);
      if (at < 0) return false;
      choose(at, { focus: true, link: false });
      items[at].scrollIntoView({ block: "center" });
      return true;
    };
    return block;
  };

  // One record

  const lock = (item) => (item.epoch ? el("span", { class: "tag" }, t(`${item.epoch} keys`)) : "");

  const titleOf = (item) => {
    if (item.unread) return t("a record that was not opened");
    if (item.type === "handshake") return t("handshake bytes that are no whole message");
    return item.alert ? `${item.type}: ${item.alert}` : item.type;
  };

  const recordBody = (told, item, address) => {
    const blocks = [];
    const wire = item.inner ? t("On the wire") : "";
    blocks.push(annotated(told, wire, item.rows, "record", address));
    if (item.unread) blocks.push(el("p", { class: "muted" }, item.unread));
    if (item.epoch && item.inner) {
      const [nonce, how, extra, what] = item.opened;
      const level = el("span", { class: "muted" }, hidden("traffic"));
      blocks.push(el("dl", { class: "opens" },
        el("dt", {}, t("nonce")), el("dd", {}, nonce ? [el("code", {}, pairs(nonce)), ` ${t(how)}`] : level),
        el("dt", {}, t("additional data")),
        el("dd", {}, extra ? [el("code", {}, pairs(extra)), ` ${t(what)}`] : level.cloneNode(true))));
      blocks.push(annotated(told, t("Decrypted"), item.inner, "inside", address));
    }
    for (const at of item.messages) {
      const message = told.messages[at];
      if (message.inside) blocks.push(annotated(told, t("Inside, once it is inflated"), message.inside, "inflated", address));
    }
    return el("div", { class: "body" }, blocks);
  };

  const record = (told, item) => {
    const address = `${told.number}/${item.n}`;
    const messages = item.messages.map((at) => told.messages[at]);
    const sentences = messages.map((one) => [one.id, wordsOf(told, one.w)[0]]).filter(([, said]) => said?.[0]);
    const tags = [el("span", { class: "size" }, t("{0} bytes", item.size)), lock(item),
      told.differing?.has(item.n) && el("span", { class: "tag differs" }, t("differs"))];
    const line = (name, facts, more) => el("div", { class: "line" }, el("b", {}, name), more, facts && el("span", { class: "facts" }, facts));
    const named = messages.length ? messages.map((one, at) => line(one.name, one.facts, at ? "" : tags)) : line(titleOf(item), "", tags);
    const summary = el("div", {}, named);
    const made = fold({ class: "record", id: address }, summary, () => {
      const body = recordBody(told, item, address);
      if (sentences.length) body.prepend(el("dl", { class: "sentences" },
        sentences.map(([name, [sentence, where]]) => [el("dt", {}, name), el("dd", {}, t(sentence), " ", section(where))])));
      return body;
    });
    // Not when it is opened by a link, which says more.
    made.firstChild.addEventListener("click", () => made.open || history.replaceState(null, "", `#${address}`));
    return made;
  };

  // What happened between records

  const node = (told, at) => told.keys[at];
  const covers = (names) => (names || []).join(", ");

  const step = (told, item) => {
    const side = item.d ? t(sender(item.d)) : "";
    switch (item.k) {
      case "secret": {
        const found = node(told, item.node);
        const jump = el("a", { href: `#${told.number}/keys/${item.node}` }, found.name);
        return [t("secret derived: "), jump];
      }
      case "keys":
        return item.epoch === "plaintext" ? t("the {0} goes back to plaintext", side)
          : t("from here on the {0}'s records are protected by {1} keys ({2})", side, t(item.epoch), item.suite);
      case "check": {
        const over = covers(item.covers);
        return [t(item.ok ? "{0} of the {1} is right" : "{0} of the {1} is WRONG", item.what, side),
          over ? `: ${t("over {0}", over)}` : "",
          item.shell?.length && copyable(item.shell.join("\n"), t("The same by openssl:"))];
      }
      case "negotiated": return t("the parameters are settled: {0}", item.facts.map(([, text]) => text).join(", "));
      case "closed": return t("the {0} ends its direction: {1}", side, item.how);
      case "alert": return t("the {0} says {1}", side, item.name);
      case "complete": return t("the {0} has finished its handshake", t(item.who));
      case "wait": return t("waiting for {0} ({1})", item.what, item.where);
      case "answer": return t("{0} came after {1}", item.what, milliseconds(item.seconds));
      default: return item.text || "";
    }
  };

  const card = (told, item) => {
    const side = item.d ? t(sender(item.d)) : "";
    const more = [];
    let title = "", kind = "plain";
    switch (item.k) {
      case "choice":
        title = item.who ? t("The {0} chooses its certificate: {1}", side, item.who) : t("The {0} shows no certificate", side);
        more.push(el("p", {}, item.why, item.scheme ? ` · ${item.scheme}` : ""));
        if (item.considered.length > 1)
          more.push(el("ul", {}, item.considered.map(([who, shown, why]) =>
            el("li", {}, `${shown ? "✓" : "✗"} ${who}: ${why}`))));
        break;
      case "verdict":
        title = item.ok ? t("The {0} is accepted: {1}", side, item.who || t("without a certificate"))
          : t("The {0} is refused: {1}", side, item.who || t("without a certificate"));
        kind = item.ok ? "good" : "bad";
        if (language === "zh" && item.code) more.push(el("p", {}, DATA.chinese[`verdict ${item.code}`] || ""));
        more.push(item.why && el("p", {}, item.why), item.advice && el("p", {}, `${t("What to do:")} ${item.advice}`));
        if (item.path.length > 1) more.push(el("p", { class: "muted" }, `${t("path")}: ${item.path.join(" → ")}`));
        if (item.more.length) more.push(el("ul", {}, item.more.map((one) => el("li", {}, one))));
        break;
      case "alert":
        title = t("The {0} sends the alert {1}", side, item.name);
        kind = item.fatal ? "bad" : "plain";
        more.push(...saying(told, item.w));
        if (!item.trusted) more.push(el("p", {}, t("It is not authenticated: anyone on the path can send it.")));
        more.push(item.why && el("p", {}, item.why), item.hint && el("p", {}, `${t("What to do:")} ${item.hint}`));
        break;
      case "check":
        title = [step(told, item)].flat().filter(Boolean).join("");
        kind = "bad";
        break;
      default: title = item.text;
    }
    return el("div", { class: `card ${kind}` }, el("p", { class: "title" }, title), more);
  };

  const isCard = (item) => ["choice", "verdict", "note"].includes(item.k) || (item.k === "alert" && (item.fatal || !item.trusted))
    || (item.k === "check" && !item.ok);

  const steps = (told, items) => {
    const counted = new Map();
    for (const item of items) counted.set(item.k, (counted.get(item.k) || 0) + 1);
    const parts = [];
    if (counted.get("secret")) parts.push(many(counted.get("secret"), "{0} secret derived", "{0} secrets derived"));
    for (const item of items) if (item.k === "keys") parts.push(t("{0}: {1} keys on", t(sender(item.d)), t(item.epoch)));
    for (const item of items) if (item.k === "check") parts.push(t("{0} is right", item.what));
    if (counted.get("complete")) parts.push(t("handshake complete"));
    for (const item of items) if (item.k === "closed") parts.push(step(told, item));
    if (!parts.length) parts.push(many(items.length, "{0} step", "{0} steps"));
    return fold({ class: "steps" }, parts.join(" · "), () => el("ul", {}, items.map((item) => el("li", {}, step(told, item)))));
  };

  const between = (told, items) => {
    const made = [];
    let run = [];
    const flush = () => {
      if (run.length) made.push(steps(told, run));
      run = [];
    };
    for (const item of items) {
      if (!isCard(item)) { run.push(item); continue; }
      flush();
      made.push(card(told, item));
    }
    flush();
    return made;
  };

  // The ladder

  const flightsOf = (told) => {
    const flights = [];
    for (const item of told.items) {
      let last = flights.at(-1);
      if (item.k === "record" && (!last || last.d !== item.d)) flights.push((last = { d: item.d, at: item.at, parts: [] }));
      if (!last) flights.push((last = { d: "", at: item.at || 0, parts: [] }));
      last.parts.push(item);
    }
    return flights;
  };

  const flight = (told, one, before) => {
    const records = one.parts.filter((item) => item.k === "record");
    const size = records.reduce((sum, item) => sum + item.size, 0);
    const children = [];
    let waiting = [];
    for (const item of one.parts) {
      if (item.k !== "record") { waiting.push(item); continue; }
      children.push(...between(told, waiting), record(told, item));
      waiting = [];
    }
    children.push(...between(told, waiting));
    const gap = before === null ? "" : ` (+${milliseconds(one.at - before)})`;
    const title = one.d === CLIENT ? t("client → server") : t("server → client");
    const side = one.d === CLIENT ? "client" : one.d ? "server" : "none";
    return el("section", { class: `flight ${side}`, "aria-label": title },
      one.d && el("div", { class: "arrow" }, el("h4", {}, title),
        el("span", { class: "muted" }, many(records.length, "{0} record", "{0} records"), ", ", t("{0} bytes", size), " · ",
          `${milliseconds(one.at)}${gap}`)),
      children);
  };

  const ladder = (told) => {
    const flights = flightsOf(told);
    let before = null;
    const made = flights.map((one) => {
      const drawn = flight(told, one, before);
      before = one.at;
      return drawn;
    });
    if (told.left_out) made.push(el("p", { class: "muted" }, t("{0} more records crossed the wire and are not kept in this page.", told.left_out)));
    return el("div", { class: "ladder" },
      el("div", { class: "lanes" }, el("div", { class: "client" }, el("b", {}, t("client")), " ", told.client),
        el("div", { class: "server" }, el("b", {}, t("server")), " ", told.server)), made,
      el("div", { class: "ending" }, banner(told.end)));
  };

  // Who they are

  const person = (told, side) => {
    const known = told.people[side];
    const made = [el("h4", {}, t(side))];
    const resumed = told.facts.some(([name]) => name === "session");
    if (!known.chain) made.push(el("p", {}, resumed ? t("The session was resumed, so no certificate was shown.") : t("No certificate message was seen.")));
    else if (!known.chain.length) made.push(el("p", {}, t("It was asked for a certificate and showed none.")));
    for (const [at, lines] of (known.chain || []).entries())
      made.push(el("div", { class: "certificate" }, el("p", { class: "muted" }, at ? t("certificate {0} of the chain", at + 1) : t("its own certificate")),
        el("dl", {}, lines.map((line) => {
          const colon = line.indexOf(": ");
          return [el("dt", {}, line.slice(0, colon)), el("dd", {}, line.slice(colon + 2))];
        }))));
    if (side === "client" && known.asked)
      made.push(el("p", {}, known.asked.length ? t("The server asked for a certificate of one of these CAs:") : t("The server asked for a certificate, of any CA.")),
        known.asked.length ? el("ul", {}, known.asked.map((name) => el("li", {}, name))) : "");
    if (side === "client" && !known.asked) made.push(el("p", {}, t("The server asked for no client certificate.")));
    for (const item of [known.choice, known.verdict]) if (item) made.push(card(told, item));
    return el("div", { class: `person ${side}` }, made);
  };

  const people = (told) =>
    [el("h3", { id: `${told.number}/people` }, t("Who they are")),
      el("div", { class: "people" }, person(told, "client"), person(told, "server"))];

  // The key schedule, drawn as a graph: one row for each value, lines from what it was made of

  const ROW = 42, LANE = 20;
  const SPINE = new Set(["early_secret", "derived_from_early_secret", "handshake_secret", "derived_from_handshake_secret", "main_secret", "key_block"]);

  const ordered = (keys) => {
    const children = keys.map(() => []);
    for (const one of keys) for (const parent of one.inputs || []) children[parent].push(one);
    const lanes = new Map(), placed = [];
    const place = (one) => {
      if (lanes.has(one.number)) return;
      const inputs = (one.inputs || []).map((at) => keys[at]);
      for (const input of inputs) if (!lanes.has(input.number)) { if (input.inputs?.length) return; lanes.set(input.number, 0); placed.push(input); }
      const lane = SPINE.has(one.name) ? 1 : inputs.length ? Math.max(...inputs.map((input) => lanes.get(input.number))) + 1 : 0;
      lanes.set(one.number, lane);
      placed.push(one);
      const after = children[one.number];
      for (const child of after.filter((next) => !SPINE.has(next.name))) place(child);
      for (const child of after.filter((next) => SPINE.has(next.name))) place(child);
    };
    for (const one of keys) if (one.inputs?.length || !children[one.number].length) place(one);
    for (const one of keys) place(one);
    return { placed, lanes };
  };

  const toneOf = (one) => (!one.inputs?.length ? "source" : one.name.startsWith("client") ? "client" : one.name.startsWith("server") ? "server" : "");

  const lines = (keys, placed, lanes) => {
    const y = new Map(placed.map((one, at) => [one.number, at * ROW + ROW / 2]));
    const x = (one) => LANE / 2 + 4 + lanes.get(one.number) * LANE;
    const widest = Math.max(...lanes.values()) + 1;
    const drawing = svg("svg", { width: widest * LANE + 8, height: placed.length * ROW, "aria-hidden": "true", focusable: "false" });
    for (const one of placed)
      for (const parent of one.inputs || []) {
        const [px, py, cx, cy] = [x(keys[parent]), y.get(parent), x(one), y.get(one.number)];
        const turn = px === cx ? `V${cy}` : `V${cy - 8} Q${px} ${cy} ${px + Math.sign(cx - px) * 8} ${cy} H${cx}`;
        const edge = svg("path", { d: `M${px} ${py} ${turn}`, class: "edge" });
        edge.dataset.from = parent;
        edge.dataset.to = one.number;
        drawing.append(edge);
      }
    for (const one of placed)
      drawing.append(svg("circle", { cx: x(one), cy: y.get(one.number), r: 5, class: `dot ${toneOf(one)}` }));
    return drawing;
  };

  // It stands in the first node that needs it.
  const hashingOf = (told, one) =>
    one.shell?.length && one.context && told.keys.find((other) => other.context === one.context && other.hashing)?.hashing;

  const aboutNode = (told, one, panel) => {
    const facts = [];
    const fact = (name, ...value) => facts.push(el("dt", {}, name), el("dd", {}, ...value));
    fact(t("made by"), el("code", {}, one.formula));
    if (one.label) fact(t("label"), el("code", {}, one.label));
    if (one.context) fact(t(one.context_from || "context"), el("code", {}, pairs(one.context)));
    if (one.covers?.length) fact(t("a hash of"), covers(one.covers));
    for (const part of one.parts || []) fact(t("joined of"), part);
    fact(t("value"), one.value ? el("code", {}, pairs(one.value)) : hidden(one.level || "traffic"));
    panel.replaceChildren(el("h5", {}, one.name, " ", firstSection(told, one.w)),
      ...saying(told, one.w, true).filter(Boolean),
      el("dl", {}, facts),
      one.shell?.length ? copyable(one.shell.join("\n"), t("The same by openssl:")) : "",
      hashingOf(told, one) ? copyable(hashingOf(told, one), t("The transcript hash, in bash:")) : "");
  };

  const keySchedule = (told) => {
    if (!told.keys.length) return [];
    const { placed, lanes } = ordered(told.keys);
    const panel = el("div", { class: "words node", "aria-live": "polite" });
    const list = el("ul", { class: "nodes", role: "listbox", "aria-label": t("Key schedule") });
    const drawing = lines(told.keys, placed, lanes);
    const items = placed.map((one, at) => {
      const what = one.value ? el("span", { class: "text hex" }, one.value) : el("span", { class: "text" }, one.label ? `“${one.label}”` : one.formula);
      const item = el("li", { role: "option", tabindex: at ? "-1" : "0", "aria-selected": "false", id: `${told.number}/keys/${one.number}` },
        el("span", { class: "name" }, one.name), what);
      item.dataset.at = at;
      return item;
    });
    list.append(...items);
    const choose = (at, link = true) => {
      items.forEach((item, other) => {
        item.setAttribute("aria-selected", String(other === at));
        item.tabIndex = other === at ? 0 : -1;
      });
      const mine = new Set();
      const climb = (number) => {
        if (mine.has(number)) return;
        mine.add(number);
        (told.keys[number].inputs || []).forEach(climb);
      };
      climb(placed[at].number);
      drawing.querySelectorAll(".edge").forEach((edge) =>
        edge.classList.toggle("on", mine.has(Number(edge.dataset.from)) && mine.has(Number(edge.dataset.to))));
      aboutNode(told, placed[at], panel);
      if (link) history.replaceState(null, "", `#${told.number}/keys/${placed[at].number}`);
    };
    list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (item) { choose(Number(item.dataset.at)); item.focus(); }
    });
    list.addEventListener("keydown", (event) => {
      const at = Number(event.target.closest("li")?.dataset.at ?? 0);
      const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1, Enter: at, " ": at }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      const wanted = Math.max(0, Math.min(items.length - 1, next));
      choose(wanted);
      items[wanted].focus();
    });
    const first = placed.findIndex((one) => one.name.startsWith("client_handshake_traffic"));
    choose(first < 0 ? placed.length - 1 : first, false);
    const made = el("div", { class: "graph" }, el("div", { class: "drawn" }, drawing, list), panel);
    made.find = (number) => {
      const at = placed.findIndex((one) => one.number === number);
      if (at < 0) return false;
      choose(at, false);
      items[at].focus();
      items[at].scrollIntoView({ block: "center" });
      return true;
    };
    const shown = told.secrets.length ? "" : el("p", { class: "muted" }, t("The values are hidden; --secrets shows them, with the openssl commands that compute them."));
    return [el("h3", { id: `${told.number}/keys` }, t("Key schedule")), shown, made];
  };

  // One connection

  const banner = (end) =>
    el("div", { class: `banner ${end.failed ? "bad" : "good"}` },
      el("p", { class: "title" }, el("b", {}, end.failed ? t("It failed") : t("It worked")), ": ", end.line),
      end.hint && el("p", {}, el("b", {}, t("What to do:")), " ", end.hint));

  const redaction = (told) => {
    if (told.secrets.includes("all")) return el("p", { class: "notice bad" }, t("This page shows secrets: whoever has it can read the connection, and resume its session."));
    if (told.secrets.length) return el("p", { class: "notice bad" }, t("This page shows secrets: it lets its readers read the connection and, with a capture of its tickets, resume the session. Tickets are hidden; --secrets=all shows them."));
    return el("p", { class: "notice" }, t("Secrets, tickets and application data are hidden, so this page can be shared as far as names and certificates may be. --secrets shows them."));
  };

  const connection = (number) => {
    const told = story(number);
    return el("div", { class: "story" }, banner(told.end), redaction(told),
      told.facts.length ? el("dl", { class: "chosen" }, told.facts.map(([name, text]) => el("div", {}, el("dt", {}, t(name)), el("dd", {}, text)))) : "",
      el("h3", { id: `${number}/ladder` }, t("What crossed the wire")),
      ladder(told), people(told), keySchedule(told));
  };

  // What one of two has and the other has not, by the names of the messages in their order

  const differences = (one, other) => {
    const names = [one, other].map((told) => told.messages.map((message) => `${message.d} ${message.name}`));
    const [a, b] = names;
    const table = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
    for (let i = a.length - 1; i >= 0; i--)
      for (let j = b.length - 1; j >= 0; j--)
        table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    const alone = [new Set(), new Set()];
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) { i++; j++; }
      else if (j >= b.length || (i < a.length && table[i + 1][j] >= table[i][j + 1])) alone[0].add(i++);
      else alone[1].add(j++);
    }
    [one, other].forEach((told, side) => {
      told.differing = new Set(told.items.filter((item) => item.k === "record" && item.messages.some((at) => alone[side].has(at))).map((item) => item.n));
    });
    return [one, other].map((told, side) => [...alone[side]].map((at) => `${t(sender(told.messages[at].d))}: ${told.messages[at].name}`));
  };

  const comparison = () => {
    const found = differences(story(1), story(2));
    if (!found.flat().length) return "";
    return el("div", { class: "difference" }, el("h2", {}, t("What differs")),
      found.map((names, side) => el("div", {}, el("h3", {}, DATA.connections[side].title),
        names.length ? el("ul", {}, names.map((name) => el("li", {}, name))) : el("p", {}, t("nothing that the other has not")))));
  };

  const heading = (one, at) => one.title || t("Connection {0}", at + 1);

  const folded = (one, at) => {
    const summary = el("div", { class: "line" }, el("span", { class: `mark ${one.failed ? "bad" : "good"}` }, one.failed ? "✗" : "✓"),
      el("b", {}, heading(one, at)), el("span", { class: "size" }, `${one.client} → ${one.server}`),
      el("span", { class: "facts" }, one.line));
    return fold({ class: "connection", id: String(at + 1) }, summary, () => connection(at + 1));
  };

  const summaryOf = (connections) => {
    const failed = connections.filter((one) => one.failed).length;
    return el("p", { class: "summary" }, failed ? t("{0} connections, {1} of them failed.", connections.length, failed) : t("{0} connections, none of which failed.", connections.length),
      DATA.more ? ` ${t("{0} more are not in this page.", DATA.more)}` : "");
  };

  const body = () => {
    const all = DATA.connections;
    if (!all.length) return [el("p", {}, t("There was no connection."))];
    if (all.length === 1) return [el("section", { class: "connection", id: "1" }, connection(1))];
    if (DATA.compared && all.length === 2) {
      const differ = comparison();
      return [summaryOf(all), differ, el("div", { class: "beside" }, all.map((one, at) =>
        el("section", { class: "connection", id: String(at + 1) }, el("h2", {}, heading(one, at)), connection(at + 1))))];
    }
    return [summaryOf(all), el("div", { class: "list" }, all.map(folded))];
  };

  // Links into the page: #1/5/ClientHello/random is a field of a message in record 5 of the first connection

  const follow = () => {
    const parts = location.hash.slice(1).split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
    const holder = parts[0] && document.getElementById(parts[0]);
    if (!holder) return;
    if (holder.tagName === "DETAILS") unfold(holder);
    if (parts[1] === "keys" && parts[2] !== undefined) {
      holder.querySelector(".graph")?.find(Number(parts[2]));
      return;
    }
    const found = document.getElementById(parts.slice(0, 2).join("/"));
    if (!found) { holder.scrollIntoView(); return; }
    if (found.tagName !== "DETAILS") { found.scrollIntoView(); return; }
    unfold(found);
    const key = parts.slice(2).join("/");
    if (key) for (const block of found.querySelectorAll(".annotated")) if (block.find(key)) return;
    found.scrollIntoView({ block: "start" });
    found.querySelector("summary").focus({ preventScroll: true });
  };

  const openEverything = (within = ROOT) => {
    const closed = [...within.querySelectorAll("details:not([open])")].filter((one) => !one.classList.contains("connection"));
    closed.forEach(unfold);
    return closed;
  };

  const tools = () => {
    const other = language === "zh" ? "en" : "zh";
    const choice = (code, name) =>
      el("button", { type: "button", lang: code === "zh" ? "zh-Hans" : "en", "aria-pressed": String(language === code),
        onclick: () => { if (code === other) { language = code; draw(); } } }, name);
    const close = () => ROOT.querySelectorAll("details[open]").forEach((one) => { one.open = false; });
    return el("div", { class: "tools" },
      el("div", { class: "switch", role: "group", "aria-label": "Language / 语言" }, choice("en", "English"), choice("zh", "中文")),
      el("button", { type: "button", onclick: () => openEverything() }, t("Open all")),
      el("button", { type: "button", onclick: close }, t("Close all")));
  };

  const draw = () => {
    const open = [...ROOT.querySelectorAll("details[open][id]")].map((one) => one.id);
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    ROOT.replaceChildren(
      el("header", {}, el("div", {}, el("p", { class: "brand" }, "handfast"),
        el("h1", {}, DATA.connections.length === 1 ? DATA.connections[0].title || t("A TLS handshake, byte by byte") : t("TLS handshakes, byte by byte")),
        DATA.connections[0]?.started ? el("p", { class: "muted" }, new Date(DATA.connections[0].started * 1000).toISOString().replace("T", " ").slice(0, 19), " UTC") : ""),
        tools()),
      el("main", {}, body()));
    for (const id of open) { const found = document.getElementById(id); if (found?.tagName === "DETAILS") unfold(found); }
    follow();
  };

  const printed = [];
  addEventListener("beforeprint", () => printed.push(...openEverything()));
  addEventListener("afterprint", () => printed.splice(0).forEach((one) => { one.open = false; }));
  addEventListener("hashchange", follow);
  draw();
})();
