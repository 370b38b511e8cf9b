// A server, or a client of PORT, on 127.0.0.1 that is told in lines as the doctor's fixes have them:
// server|client PORT OPTIONS LINE. OPTIONS is an object in JavaScript, whose parts replace those of options that are right.
// Once its files are read a client says "ready", and goes on with the next line of its input; a server takes lines there.
import fs from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import process from "node:process";
import readline from "node:readline";
import tls from "node:tls";

const [role, port, broken, line] = process.argv.slice(2);
const [cert, key, ca] = (
  role === "server" ? ["server.pem", "server.key", "client-ca.pem"] : ["client.pem", "client.key", "ca.pem"]
).map((name) => fs.readFileSync(name));
const app = (_, response) => response.end("hello\n");
const right =
  role === "server"
    ? { cert, key, ca, requestCert: true, rejectUnauthorized: true }
    : { host: "localhost", port, cert, key, ca };
const options = { ...right, ...eval(`(${broken || "{}"})`) };
const input = readline.createInterface({ input: process.stdin });
if (role === "server") {
  const server = line ? eval(line) : https.createServer(options, app);
  input.on("line", (one) => { eval(one); console.log("done"); });
  server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
} else {
  console.log("ready");
  input.once("line", () => {
    input.close();
    const request = line ? eval(line) : https.request(options);
    if (process.env.HANDSHAKE_LIMIT) request.setTimeout(Number(process.env.HANDSHAKE_LIMIT), () => request.destroy());
    request.on("response", (response) => { console.log("answered", response.statusCode); response.resume(); });
    request.on("error", (error) => console.log(`${error.code} ${error.message}`));
    request.end();
  });
}
