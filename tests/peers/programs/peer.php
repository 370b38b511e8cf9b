<?php
// PHP's streams as a peer for one connection. See tests/peers/scripts.py for the arguments and what is printed.
[, $role, $port, $version, $trust, $certificate, $key, $ask] = $argv;
ini_set("display_errors", "stderr");
$connecting = $role === "connect";
$kinds = ["1.2" => [STREAM_CRYPTO_METHOD_TLSv1_2_CLIENT, STREAM_CRYPTO_METHOD_TLSv1_2_SERVER],
    "1.3" => [STREAM_CRYPTO_METHOD_TLSv1_3_CLIENT, STREAM_CRYPTO_METHOD_TLSv1_3_SERVER]];
$options = ["verify_peer" => $connecting || $ask === "require", "verify_peer_name" => $connecting, "peer_name" => "localhost",
    "capture_peer_cert" => true, "verify_depth" => 5];
if ($version !== "") $options["crypto_method"] = $kinds[$version][$connecting ? 0 : 1];
if ($trust !== "") $options["cafile"] = $trust;
if ($certificate !== "") $options += ["local_cert" => $certificate, "local_pk" => $key];
$context = stream_context_create(["ssl" => $options]);
if ($connecting) {
    $stream = stream_socket_client("tls://127.0.0.1:$port", $code, $text, 20, STREAM_CLIENT_CONNECT, $context);
} else {
    $listener = stream_socket_server("tcp://127.0.0.1:0", $code, $text, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN, $context);
    echo "listening|", explode(":", stream_socket_get_name($listener, false))[1], "\n";
    $stream = stream_socket_accept($listener, 20);
    $method = $options["crypto_method"] ?? STREAM_CRYPTO_METHOD_TLS_SERVER;
    if (!stream_socket_enable_crypto($stream, true, $method)) {
        stream_socket_shutdown($stream, STREAM_SHUT_WR);
        while (fread($stream, 65536));
        exit(1);
    }
}
if (!$stream) exit(1);
stream_set_timeout($stream, 20);
if ($connecting) fwrite($stream, getenv("REQUEST"));
$head = "";
while (!str_contains($head, "\r\n\r\n") && ($line = fgets($stream)) !== false && $line !== "") $head .= $line;
if (!str_contains($head, "\r\n\r\n")) exit(1);
echo $head;
if ($connecting) {
    preg_match('/Content-Length: (\d+)/i', $head, $found);
    echo stream_get_contents($stream, (int)$found[1]);
} else {
    $peer = stream_context_get_options($stream)["ssl"]["peer_certificate"] ?? null;
    echo "peer|", $peer ? openssl_x509_parse($peer)["name"] : "", "\n";
    fwrite($stream, getenv("RESPONSE"));
}
$crypto = stream_get_meta_data($stream)["crypto"];
echo "\nover|", $crypto["protocol"], "|", $crypto["cipher_name"], "\n";
fclose($stream);
