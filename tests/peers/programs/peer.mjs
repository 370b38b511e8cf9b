// node:tls, of Node, Deno or Bun, as many peers in one program: hosted.py says how they are told what to do.
import fs from "node:fs";
import net from "node:net";
import process from "node:process";
import readline from "node:readline";
import tls from "node:tls";

const GROUPS = { secp256r1: "P-256", secp384r1: "P-384", secp521r1: "P-521", x25519: "X25519", x448: "X448" };
const jobs = new Map();

function tell(answer) {
  process.stdout.write(new URLSearchParams(answer).toString() + "\n");
}

// What fails once its job is over (a socket that is reset while it closes) must not end the other jobs.
process.on("uncaughtException", (error) => process.stdout.write(`${error.stack}\n`));

// A job is one peer. What it saw is gathered in its answer.
class Job {
  constructor(order) {
    this.order = order;
    this.answer = [["job", order.get("job")]];
    this.opened = [];
    this.error = null;
    this.over = false;
    this.left = Number(order.get("connections") ?? 1);
  }

  see(name, value) {
    this.answer.push([name, String(value)]);
  }

  // Listens; an exception ends the job, not the program.
  on(emitter, event, listener) {
    emitter.on(event, (...values) => {
      try {
        listener(...values);
      } catch (error) {
        this.end(error);
      }
    });
  }

  drop() {
    for (const opened of this.opened) opened.close ? opened.close() : opened.destroy();
    this.end();
  }

  end(error = null) {
    if (this.over) return;
    this.over = true;
    for (const opened of this.opened) opened.close ? opened.close() : opened.destroy();
    const text = error === null ? "" : `${error.code ?? ""} ${error.message ?? error}`;
    tell([...this.answer, ["event", "over"], ["ok", error === null], ["error", text], ["text", text]]);
  }

  context() {
    const { order } = this;
    const options = { ALPNProtocols: order.getAll("application_protocols") };
    if (options.ALPNProtocols.length === 0) delete options.ALPNProtocols;
    if (order.has("version")) options.minVersion = options.maxVersion = `TLSv${order.get("version")}`;
    if (order.has("certificate")) {
      options.cert = fs.readFileSync(order.get("certificate"));
      options.key = fs.readFileSync(order.get("key"));
    }
    if (order.has("trust")) options.ca = fs.readFileSync(order.get("trust"));
    const groups = order.getAll("groups").map((group) => GROUPS[group] ?? group);
    if (groups.length > 0) options.ecdhCurve = groups.join(":");
    for (const [theirs, ours] of [["ciphers", "suites"], ["sigalgs", "schemes"]]) {
      if (order.has(ours)) options[theirs] = order.getAll(ours).join(":");
    }
    return options;
  }

  serve() {
    const auth = this.order.get("client_auth");
    const server = tls.createServer({
      ...this.context(),
      requestCert: auth !== "none",
      rejectUnauthorized: auth === "require",
    });
    this.opened.push(server);
    this.on(server, "error", (error) => this.end(error));
    this.on(server, "connection", (tcp) => this.opened.push(tcp));
    this.on(server, "keylog", (line) => this.log(line));
    this.on(server, "tlsClientError", (error, socket) => this.end(socket.authorizationError ?? error));
    this.on(server, "secureConnection", (socket) => {
      tell([["job", this.order.get("job")], ["event", "secured"]]);
      this.see("server_name", socket.servername || "");
      this.converse(socket, (received) => received.endsWith("\r\n\r\n"), () => socket.end(this.order.get("response")));
    });
    server.listen(0, "127.0.0.1", () => {
      tell([["job", this.order.get("job")], ["event", "listening"], ["port", server.address().port]]);
    });
  }

  connect(session) {
    const name = this.order.get("server_name");
    const tcp = net.connect(Number(this.order.get("port")), "127.0.0.1");
    const socket = tls.connect({
      ...this.context(), socket: tcp, session, rejectUnauthorized: this.order.has("trust"), servername: name ?? undefined,
    });
    this.opened.push(tcp);
    this.on(socket, "keylog", (line) => this.log(line));
    this.on(socket, "session", (ticket) => { this.session = ticket; });
    this.on(socket, "secureConnect", () => {
      const { name, size, type } = socket.getEphemeralKeyInfo();
      if (name) this.see("group", { "prime256v1": "secp256r1", "X25519": "x25519", "X448": "x448" }[name] ?? name);
      this.converse(socket, whole, () => socket.end());
      socket.write(this.order.get("request"));
    });
    this.on(socket, "error", (error) => this.end(error));
  }

  log(line) {
    if (this.order.has("keylog")) fs.appendFileSync(this.order.get("keylog"), line, { mode: 0o600 });
  }

  converse(socket, enough, answer) {
    this.see("version", socket.getProtocol().replace("TLSv", ""));
    this.see("suite", socket.getCipher().standardName);
    this.see("resumed", socket.isSessionReused());
    if (socket.alpnProtocol) this.see("application_protocol", socket.alpnProtocol);
    const subject = socket.getPeerCertificate()?.subject ?? {};
    this.see("peer_subject", Object.entries(subject).map(([key, value]) => `${key}=${value}`).join(","));
    if (this.order.has("export")) {
      this.see("exported", socket.exportKeyingMaterial(32, this.order.get("export")).toString("hex"));
    }
    let received = "";
    let done = false;
    socket.setTimeout(Number(this.order.get("limit")), () => socket.destroy(new Error("nothing came in time")));
    this.on(socket, "error", (error) => { this.error = error; });
    this.on(socket, "data", (chunk) => {
      received += chunk.toString("latin1");
      if (!done && enough(received)) {
        done = true;
        answer();
      }
    });
    this.on(socket, "close", () => {
      this.see("received", received);
      this.left -= 1;
      if (this.error !== null || !done) this.end(this.error ?? new Error("the connection ended in the middle"));
      else if (this.left === 0) this.end();
      else if (this.order.get("do") === "connect") this.connect(this.session);
    });
  }
}

function whole(response) {
  const end = response.indexOf("\r\n\r\n");
  const length = /\r\ncontent-length: *(\d+)/i.exec(response);
  return end >= 0 && length !== null && response.length - end - 4 >= Number(length[1]);
}

readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on("line", (line) => {
  const order = new URLSearchParams(line);
  const number = order.get("job");
  if (order.get("do") === "drop") {
    jobs.get(number)?.drop();
    return;
  }
  const job = new Job(order);
  jobs.set(number, job);
  try {
    if (order.get("do") === "serve") job.serve();
    else job.connect();
  } catch (error) {
    job.end(error);
  }
}).on("close", () => process.exit(0));
