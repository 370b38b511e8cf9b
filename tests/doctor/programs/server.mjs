// A server on 127.0.0.1 for any number of clients: CERTIFICATE KEY CA CRL VERSION. CA "" asks for no certificate.
import fs from "node:fs";
import https from "node:https";
import process from "node:process";

const [certificate, key, ca, crl, version] = process.argv.slice(2);
const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
options.minVersion = options.maxVersion = `TLSv${version}`;
if (ca) Object.assign(options, { ca: fs.readFileSync(ca), requestCert: true, rejectUnauthorized: true });
// Of a string with several lists it takes the first alone.
if (crl) options.crl = fs.readFileSync(crl, "ascii").split(/(?=-----BEGIN)/);
const server = https.createServer(options, (_, response) => response.end("hello\n"));
server.on("tlsClientError", (error) => console.log(`${error.code} ${error.message}`));
server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
