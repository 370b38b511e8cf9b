# Ruby's OpenSSL as a peer for one connection. See tests/peers/scripts.py for the arguments and what is printed.
require "openssl"
require "socket"

role, port, version, trust, certificate, key, ask = ARGV
context = OpenSSL::SSL::SSLContext.new
chosen = { "1.2" => OpenSSL::SSL::TLS1_2_VERSION, "1.3" => OpenSSL::SSL::TLS1_3_VERSION }[version]
context.min_version = context.max_version = chosen if chosen
context.ca_file = trust unless trust.empty?
unless certificate.empty?
  leaf, *above = OpenSSL::X509::Certificate.load_file(certificate)
  context.add_certificate(leaf, OpenSSL::PKey.read(File.read(key)), above)
end

def read_head(tls)
  data = +""
  data << tls.readpartial(65536) until data.include?("\r\n\r\n")
  data
end

if role == "connect"
  context.verify_mode = OpenSSL::SSL::VERIFY_PEER
  tls = OpenSSL::SSL::SSLSocket.new(TCPSocket.new("127.0.0.1", port.to_i), context)
  tls.hostname = "localhost"
  tls.connect
  tls.post_connection_check("localhost")
  tls.write(ENV.fetch("REQUEST"))
  data = read_head(tls)
  length = data[/Content-Length: (\d+)/i, 1].to_i
  data << tls.readpartial(65536) while data.split("\r\n\r\n", 2)[1].bytesize < length
  puts data
else
  context.verify_mode = { "none" => 0, "request" => 1, "require" => 3 }[ask]
  listener = TCPServer.new("127.0.0.1", 0)
  puts "listening|#{listener.addr[1]}"
  $stdout.flush
  socket = listener.accept
  tls = OpenSSL::SSL::SSLSocket.new(socket, context)
  begin
    tls.accept
    puts read_head(tls)
    puts "peer|#{tls.peer_cert ? tls.peer_cert.subject : ""}"
    tls.write(ENV.fetch("RESPONSE"))
  rescue StandardError => error
    warn error.message
    socket.close_write
    socket.read
    exit 1
  end
end
puts "over|#{tls.ssl_version}|#{tls.cipher[0]}"
tls.close
