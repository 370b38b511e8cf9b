"""Every limit handfast sets, with the source of its value. Sizes are bytes, times are seconds unless a name says more.

A peer controls what these bound; each has a test that crosses it.
"""

from __future__ import annotations

# Records. RFC 9846 5.1, 5.2 and 5.4.
RECORD_HEADER = 5
MAX_PLAINTEXT = 2**14
# ... and, of recordings of old connections only, compressed (RFC 5246 6.2.2).
MAX_COMPRESSED = MAX_PLAINTEXT + 1024
MAX_INNER_PLAINTEXT = 2**14 + 1
MAX_CIPHERTEXT_13 = 2**14 + 256
# The content type and the tag: a protected record of TLS 1.3 has no less.
MIN_PROTECTED = 17
MAX_CIPHERTEXT_12 = 2**14 + 2048

# One handshake message: OpenSSL's max_cert_list is 100 KiB, Go's and rustls's bound is 64 KiB.
MAX_HANDSHAKE_MESSAGE = 64 * 1024
# A ClientHello comes before anything is known of the peer; browsers with hybrid shares send under 2 KiB.
MAX_CLIENT_HELLO = 32 * 1024
# Messages and shapes of hellos that came before and are not parsed again: how many of each kind, the longest, and bytes
# of each kind. Strangers choose them, and what is parsed takes up to some forty times its bytes.
RECALLED_MESSAGES = 256
MAX_RECALLED_MESSAGE = 4096
RECALLED_BYTES = 256 * 1024
# What a server's configuration remembers of the shapes of hellos, and a client's of the servers that it talks to: how
# many, and bytes.
NEGOTIATIONS_KEPT = 256
NEGOTIATIONS_KEPT_BYTES = 128 * 1024
HELLOS_KEPT = 256
HELLOS_KEPT_BYTES = 512 * 1024
# Items of one list, and extensions of one message, that are read: each costs an object, and some are compared with each
# other. Numbers, as of suites and groups, are read at once, so their list may be as long as its message; of CA names a
# CertificateRequest may have those of a whole trust store. Browsers send 20 extensions and 2 key shares.
MAX_LIST_ITEMS = 128
MAX_CA_NAMES = 1024
# All messages of one handshake: two certificate chains at their bound and room for the rest.
MAX_HANDSHAKE_BYTES = 256 * 1024

# Beside those messages: bytes that came and wait until the handshake goes on, because a verdict, a signature or another
# answer is awaited; what a shell of ours reads at once. No record is longer.
UNJUDGED_BYTES = 64 * 1024

# What a zstd frame may make its reader reserve; RFC 8878 3.1.1.1.2 recommends to support 8 MiB.
MAX_ZSTD_WINDOW = 2**23

# One is sent by a client with a session id; a second can follow a HelloRetryRequest. BoringSSL allows 32.
MAX_CHANGE_CIPHER_SPECS = 32
# BoringSSL kMaxWarningAlerts is 4; user_canceled is the only alert TLS 1.3 lets pass.
MAX_USER_CANCELED = 4
# ... and for all warnings of TLS 1.2, and attempts to renegotiate, each of which makes us send one.
MAX_WARNINGS = 4
MAX_RENEGOTIATIONS = 4
# BoringSSL kMaxEmptyRecords; Go's maxUselessRecords is 16.
MAX_EMPTY_RECORDS = 32
# BoringSSL kMaxKeyUpdates: consecutive ones, application data resets the count.
MAX_CONSECUTIVE_KEY_UPDATES = 32

# CertificateRequests after the handshake: each makes a client sign. So many may wait for their answer, at either side,
# and so many may come over one connection; their contexts are kept, since none may come twice.
MAX_PENDING_CERTIFICATE_REQUESTS = 8
MAX_CERTIFICATE_REQUESTS = 256
# Application data that a blocking socket holds while it waits for such an answer.
HELD_DATA = 1024 * 1024

# Presented certificates are looked at before any trust exists: bound their number and the work each can cause.
MAX_PRESENTED_CERTIFICATES = 10
# Paths that a verifier remembers unless it is told another number; each is of a chain of at most MAX_STORED_CHAIN.
REMEMBERED_PATHS = 64
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
MAX_RSA_EXPONENT = 2**32
# Signatures tried by ways of our own, beside the library's path check, which has its own bound of 128: enough for three
# CAs on the way that each have two certificates.
MAX_PATH_SIGNATURES = 64
# Signatures tried to explain a refusal.
MAX_ANALYSIS_SIGNATURES = 32
# Comparisons of names with one CA's name constraints, by us; the path check has its own bound of 2^20.
MAX_NAME_COMPARISONS = 2**16

# CA keys of which one revocation list remembers whether they signed it; more than one takes CAs of the same name.
MAX_CRL_ISSUER_KEYS = 8
# A stapled OCSP response with a responder's RSA-4096 certificate has 4 KiB; so many signatures in one are looked at.
MAX_OCSP_RESPONSE = 16 * 1024
MAX_OCSP_RESPONDERS = 4
# By how much the clocks of a responder and ours may differ; nginx and `openssl ocsp` allow the same five minutes.
OCSP_CLOCK_SKEW = 300

# CA names in CertificateRequest that come from a trust store by themselves; JSSE has a 32 KiB handshake record limit.
MAX_AUTOMATIC_CA_NAMES = 16 * 1024

# AEAD confidentiality limits, in records per key. RFC 9846 5.5: 2^24.5 full-size records for AES-GCM.
AES_GCM_RECORDS_PER_KEY = 2**24
CHACHA20_RECORDS_PER_KEY = 2**62

# Sessions. A ticket's life in seconds: OpenSSL's default, and the most that RFC 9846 4.7.1 allows.
TICKET_LIFETIME = 2 * 60 * 60
MAX_TICKET_LIFETIME = 7 * 24 * 60 * 60
# ... and how long after the last signature a session may be renewed by resuming it.
SESSION_LIFETIME = 24 * 60 * 60
# Tickets on one connection: OpenSSL sends 2; a client that asks for more (RFC 9149) gets no more than this.
TICKETS_PER_CONNECTION = 2
MAX_TICKETS_SENT = 8
# ... and what a client keeps of what one connection brings, and of what all brought that trusted alike.
MAX_TICKETS_KEPT = 8
SESSIONS_PER_PARTITION = 4
CACHED_PARTITIONS = 1024
# ... and bytes of all of them, tickets and chains included: servers choose those.
CACHED_SESSION_BYTES = 16 * 1024 * 1024
STORED_TICKETS = 10_000
# ... and how many bytes of them, chains included; a session with a chain of two certificates has 1.5 KiB.
STORED_TICKET_BYTES = 32 * 1024 * 1024
# A session with a longer chain, OCSP response and timestamps included, and at a client its ticket, is not kept.
MAX_STORED_CHAIN = 16 * 1024
# One random AES-GCM key: nonces are random, so the number of tickets is bounded. NIST SP 800-38D 8.3.
TICKETS_PER_KEY = 2**31
TICKET_KEY_ROTATION = 60 * 60
# PSK identities of one hello that are looked at.
MAX_PSK_IDENTITIES = 4
# Early data: by how much a ticket's age may differ from our clock (RFC 9846 8.3), how many hellos are remembered, and
# how many bytes of what we refused are skipped (OpenSSL's and BoringSSL's bound).
EARLY_DATA_TOLERANCE = 10.0
REMEMBERED_HELLOS = 100_000
SKIPPED_EARLY_DATA = 16 * 1024

# A fleet that shares a Redis (docs/scale.md). Keys of a fleet: two while it is changed, and room for a mistake.
FLEET_KEYS = 4
# For one answer of Redis, which in one data centre takes a millisecond: a client waits for it in its handshake. And to
# connect to it, for which no client waits.
FLEET_TIMEOUT = 0.5
FLEET_CONNECT_TIMEOUT = 5.0
# ... what it may be set to: no Redis is as quick as the first, and no client as patient as the second, twice what a
# handshake may take.
FLEET_TIMEOUT_LEAST = 0.001
FLEET_TIMEOUT_MOST = 60.0
# How often a node looks for new keys and whether Redis is the same; and how long it lets a Redis alone that failed
# again and again, where each time may have cost handshakes a timeout.
FLEET_BEAT = 2.0
FLEET_PAUSE = 10.0
# Questions of one process that wait, each with up to a stored chain, and how many go out together.
FLEET_PENDING = 1024
FLEET_BATCH = 128
# Bytes of one answer of Redis. A session is at most MAX_STORED_CHAIN and a KiB or two, a batch of ticket keys 13 KiB.
FLEET_ANSWER = 64 * 1024
# By how much the clocks of a node and of Redis may differ, beyond which no early data is taken: NTP keeps them within
# some milliseconds, and clients' hellos are kept for five times as long more.
FLEET_CLOCK_SKEW = 5.0
# Sessions and hellos that Redis keeps for a fleet at once; docs/scale.md has their bytes. A session is counted once for
# so many bytes begun of it: with one certificate of P-256 it has less, with the longest chain it counts for 17.
FLEET_SESSIONS = 1_000_000
FLEET_PLACE = 1024
FLEET_HELLOS = 1_000_000
# ... the most that a sorted set of Redis takes, and that may be asked of a store in memory.
KEPT_MOST = 2**32 - 1
# Seconds for which one ticket key may seal. Below the first, a server holds those of a week by the ten thousand, and
# nodes of a fleet that look every FLEET_BEAT with clocks that differ might not know a key in time; beyond the second, a
# key that is stolen opens older sessions than any client keeps.
TICKET_KEY_ROTATION_LEAST = 60.0
TICKET_KEY_ROTATION_MOST = float(MAX_TICKET_LIFETIME)

# From the first byte to the peer's Finished and verdict.
HANDSHAKE_TIMEOUT = 30.0
# Bytes behind the peer's close_notify that are kept for a protocol that goes on in plaintext: the most that a shell of
# ours reads at once.
TRAILING_DATA = 256 * 1024
# After close_notify, how long to wait for the peer's; after a fatal alert, how long and how much a server still reads
# so that the alert is not overtaken by a reset.
SHUTDOWN_TIMEOUT = 5.0
LINGER_TIMEOUT = 1.0
LINGER_BYTES = 64 * 1024
# What a client still reads after a failed write: in TLS 1.3 the reason for the refusal is in that data.
DRAIN_TIMEOUT = 1.0
DRAIN_BYTES = 64 * 1024

# What a file of servers and their keys, as first met, may have: some ten thousand names, which a program that follows
# redirects lets peers choose. None is forgotten to make room for another one.
FIRST_USE_STORE_BYTES = 1024 * 1024
# A file of who is let in (--allow-file): some ten thousand names.
ALLOW_FILE_BYTES = 1024 * 1024
# How often a watcher looks at its files though the system told of no change, as on a network's file system.
RELOAD_INTERVAL = 5.0
# Two changes of a file within so many seconds may get the same time: FAT, the coarsest of file systems, counts in twos.
FILE_TIMES = 2.0
# SPIFFE-ID 2.4: bytes of an ID, and of its trust domain.
MAX_SPIFFE_ID = 2048
MAX_SPIFFE_TRUST_DOMAIN = 255

# A distinguished name that is remembered taken apart, which takes a hundred times its room; CAs' names have 100 bytes.
MAX_KEPT_NAME = 512

# Characters of one text from a peer or a certificate that a sentence shows.
MAX_PEER_TEXT = 256
# ... and of one part of an error's sentence, or of what a verifier says; of one line in the log, or in a trace. Syslog
# servers take 8 KiB (RFC 5424 6.1 asks for 2).
MAX_DETAIL_TEXT = 2048
MAX_LOG_LINE = 8192

# Failed handshakes in the log: so many at once, then so many per second; who reaches the port can cause any number.
# Each caller of a key-holder has such a limit of its own, for what it is refused.
LOGGED_FAILURES_AT_ONCE = 20
LOGGED_FAILURES_PER_SECOND = 2.0

# The HTTP of the commands: a request body held in memory, and the head of a request, as text and with what HPACK counts
# for each field; nginx takes 32 KiB, Apache and h11 half of that.
HTTP_BODY = 1024 * 1024
HTTP_HEAD = 16 * 1024
# How long a client may take, from the end of an answer, until the head of its next request is there, however slowly it
# sends; then for a body; and to take 16 KiB of an answer, or the rest of it, over HTTP/2, where it says when it takes.
HTTP_IDLE_TIMEOUT = 30.0
HTTP_BODY_TIMEOUT = 60.0
HTTP2_STALL_TIMEOUT = 30.0
# HTTP/2: streams at once of one connection (RFC 9113 6.5.2 recommends at least 100), and bytes of bodies of all of them
# that are held, of requests and of answers made of these.
HTTP2_STREAMS = 100
HTTP2_BODIES = 4 * HTTP_BODY
# ... streams that a client resets, or has us reset, before they are answered (CVE-2023-44487, CVE-2025-8671): so many
# at once, then so many per second; a browser that leaves a page resets all it had asked for.
HTTP2_RESETS_AT_ONCE = 200
HTTP2_RESETS_PER_SECOND = 20.0
# ... and frames that ask for nothing: SETTINGS, PING, PRIORITY, empty DATA, windows for no answer (CVE-2019-9512,
# 9515, 9518).
HTTP2_IDLE_FRAMES_AT_ONCE = 500
HTTP2_IDLE_FRAMES_PER_SECOND = 50.0
# ... and the headers of an HTTP/2 response, as hpack counts them (RFC 7541 4.1): Chromium's bound is 256 KiB, nginx's
# answers have some hundred bytes.
HTTP_HEADERS = 64 * 1024
# Redirects that are followed with -L: curl's default.
MAX_REDIRECTS = 50
# What is read of a file that a configuration names: revocation lists are the largest, and a device never ends.
FILE_BYTES = 256 * 1024 * 1024
# `handfast connect --session FILE`: sessions in the file, of all servers, and its bytes.
SESSIONS_IN_FILE = 64
SESSION_FILE_BYTES = 1024 * 1024
# What a server may say before it starts TLS on request (STARTTLS), all of it, and how long that may take: greetings and
# capabilities are some hundred bytes, XMPP's features a few thousand.
STARTTLS_BYTES = 64 * 1024
STARTTLS_TIMEOUT = HANDSHAKE_TIMEOUT
# `handfast doctor`: the most connections that one run makes; how many seconds one may take in its handshake, and how
# long a server that was asked nothing may take to refuse a client; how much of an answer is read, which is a few
# thousand bytes of a page that says what is wrong with a certificate.
MAX_PROBES = 5
PROBE_TIMEOUT = 10.0
PROBE_PATIENCE = 2.0
PROBE_ANSWER_BYTES = 64 * 1024
# A log that the doctor is given: its bytes and its lines, each of which is searched for some hundred texts, a second or
# two of work in all; and how many of its lines are told of.
MAX_LOG_BYTES = 4 * 1024 * 1024
MAX_LOG_LINES = 20_000
MAX_LOG_LINES_TOLD = 20
# Connections `handfast serve` handles at once; the next ones wait in the listen queue.
SERVE_CONNECTIONS = 128
# A proxy's backend: seconds for TCP and TLS together. nginx gives it 60, Envoy 5; a person who waits gives up between.
PROXY_CONNECT_TIMEOUT = 10.0
# Clients of a proxy at once, in each of its processes: some 100 KiB each with both ends, so a GiB at most.
# nginx takes 512 of each worker by default, haproxy what the descriptors allow.
PROXY_CONNECTIONS = 8192
# ... of one address: many people behind one NAT, and no more than a sixteenth of all.
PROXY_CONNECTIONS_PER_CLIENT = 512
# ... in handshakes: each takes a millisecond or two, so that the last one still waits less than two seconds.
PROXY_HANDSHAKES = 1024
# ... the largest number that any of these may be: Linux counts the open files of a process in 31 bits. And seconds for
# anything that a proxy waits for: a year, beyond which clocks and timers of C libraries end.
PROXY_MOST = 2**31
PROXY_SECONDS = 365 * 24 * 60 * 60.0
# ... a burst of new connections from one address, in seconds of the rate that it is given, and addresses whose rate is
# remembered: a hundred bytes each.
PROXY_BURST_SECONDS = 10.0
PROXY_RATES = 10_000
# Its access log: a line, which a pipe takes whole up to PIPE_BUF, as Linux has it; and bytes of lines that wait to be
# written, some ten thousand requests.
PROXY_LOG_LINE = 4096
PROXY_LOG_WAITING = 4 * 1024 * 1024
# Its metrics: codes that are told apart, of some forty that there are.
PROXY_METRIC_CODES = 200
# Its admin listener: requests at once, and seconds for one.
PROXY_ADMIN_CONNECTIONS = 16
PROXY_ADMIN_TIMEOUT = 10.0
# Its file: a hundred listeners with a hundred names each; and listeners, of which workers are handed the sockets (Linux
# takes 253 in one message, SCM_MAX_FD). Workers: one for each processor of a large machine.
PROXY_CONFIG_BYTES = 1024 * 1024
PROXY_LISTENERS = 200
PROXY_WORKERS = 256
# Connections that are accepted in one go, so that other workers, and the clients that are there, get their turn; and
# seconds without, when there are no descriptors left: asyncio's.
PROXY_ACCEPTS = 16
PROXY_ACCEPT_PAUSE = 1.0
# Seconds to wait for room in the queue of a service manager that has not read yet what it was told.
SYSTEMD_TIMEOUT = 1.0
# Its workers: a message of theirs; seconds to start in, where Python loads on a busy machine, and to answer in. One
# that ends by itself is started again at once, the next time after this pause and then twice that, up to the second.
PROXY_CHANNEL_MESSAGE = 1024 * 1024
PROXY_WORKER_START = 60.0
PROXY_WORKER_ANSWER = 30.0
PROXY_WORKER_FIRST_PAUSE = 0.05
PROXY_WORKER_PAUSE = 30.0
# Captures on demand: that are waited for at once; and one's bytes and seconds, so that a forgotten one fills no disk.
PROXY_CAPTURES = 16
PROXY_CAPTURE_BYTES = 64 * 1024 * 1024
PROXY_CAPTURE_SECONDS = 60 * 60.0
# Descriptors of the process besides those of clients and backends: libraries, logs, listeners, the loop.
PROXY_OWN_DESCRIPTORS = 128
# Connections of a listener that wait to be accepted: Linux cuts it to net.core.somaxconn, which is 4096.
PROXY_BACKLOG = 1024
# Seconds that clients have to end in order when a proxy ends: what Kubernetes gives a process before it kills it.
PROXY_GRACE = 30.0
# TCP mode: seconds in which nothing came from either side (Envoy's idle_timeout is an hour too: databases' connections
# lie idle for long), and bytes that wait for a side that does not read, in each direction, before the other is stopped.
PROXY_IDLE_TIMEOUT = 60 * 60.0
PROXY_RELAY_BUFFER = 64 * 1024
# A proxy's HTTP. How long a client may be silent between two requests, and take for the head of one; nginx gives it 75
# and 60.
PROXY_HTTP_IDLE = 60.0
PROXY_HEAD_TIMEOUT = 30.0
# ... how long a side that is to send or to take some of a body may do nothing, and how long a backend may think about
# its answer: nginx's 60.
PROXY_STALL_TIMEOUT = 60.0
PROXY_ANSWER_TIMEOUT = 60.0
# ... connections to one backend that wait for the next request, and for how long; nginx keeps as many as it is told,
# for 60 seconds. A request that cannot be sent twice gets one only that was busy a moment ago, since backends close
# those that are idle: uvicorn after 5 seconds, gunicorn after 2.
PROXY_KEPT = 64
PROXY_KEPT_IDLE = 30.0
PROXY_FRESH = 1.0
# ... interim responses (1xx) before an answer; Go's client takes 5.
PROXY_INTERIM_RESPONSES = 8
# ... bytes of further requests that wait for the answer to the one before: as much as asyncio reads at once.
PROXY_PIPELINED = 256 * 1024
# ... bytes that are read of a backend at once, all of which may have to wait for the client: as much as asyncio reads,
# and less for a stream of HTTP/2, of which there may be many.
PROXY_READ = 256 * 1024
PROXY_STREAM_READ = 64 * 1024
# ... bytes of requests' bodies in one HTTP/2 connection that a backend has not taken yet: sixteen streams at their own
# bound, RFC 9113's initial window.
PROXY_HTTP2_WINDOW = 1024 * 1024
# ... streams at once of one HTTP/2 connection to a backend, whose windows of 64 KiB all may have to wait for clients:
# what most servers allow.
PROXY_BACKEND_STREAMS = 100
# ... proxies of this kind that one request may pass: more is a circle.
PROXY_HOPS = 10
# ... of a client's certificate (DER) and of the further ones, in headers: Cloudflare's bounds are 10 KiB and 16 KiB of
# text. A longer certificate is refused, a longer chain is left out.
PROXY_CLIENT_CERT = 10 * 1024
PROXY_CLIENT_CHAIN = 16 * 1024

# Seconds after which a command can be told to give up: poll(2) takes milliseconds in 31 bits, which is a little more.
COMMAND_SECONDS_MOST = 2_000_000
# `decode -i`: seconds that packets wait for their keys, which the program that they are for writes a moment later, and
# later still on a busy machine; and the most that can be asked for, as what waits is held in memory.
LIVE_DELAY = 0.3
LIVE_DELAY_MOST = 60.0

# Of a recording: bytes of one direction that wait for a missing segment; Linux lets a window grow to 6 MiB (tcp_rmem).
REASSEMBLY_BYTES = 8 * 1024 * 1024
# ... and bytes of one direction that came last, with which those that are sent again are compared: a record.
RETRANSMISSION_BYTES = 16 * 1024
# ... and what compressed records (RFC 3749) may inflate to in each direction: so many times what came, after the first
# MiB. Text shrinks to a tenth; DEFLATE can make a thousandth of zeros.
INFLATION_RATIO = 100
INFLATED_FREELY = 1024 * 1024
# ... and connections that are followed at once; the one that was silent longest makes room.
RECORDED_CONNECTIONS = 16 * 1024
# ... and connections that are over, of which late segments are known to be theirs.
RECORDED_OVER = 1024
# ... and bytes of another protocol (STARTTLS, a proxy) in each direction, behind which TLS is still looked for: SMTP's
# greetings and capabilities are some hundred bytes, an LDAP or XMPP client may do some work before.
RECORDED_PROLOGUE = 64 * 1024
# ... and bytes of all connections that wait for missing segments.
RECORDED_WAITING = 64 * 1024 * 1024
# Text that is read of a paste: some hundred handshakes as openssl -msg prints them.
PASTED_BYTES = 4 * 1024 * 1024
# PSK binders of a recorded hello that are checked; real clients offer one or two.
BINDERS_CHECKED = 16
# What is read of a file that is appended to, to know that it is of the right kind. Ours: the first of its lines tell.
APPENDED_TO_BYTES = 64 * 1024
# Values of one secret that a key log may hold, as merged ones do: each may have to be tried.
KEY_LOG_VALUES = 8
# A block of a capture file, which is held in memory: Wireshark's limit (WTAP_MAX_PACKET_SIZE_DBUS). And the interfaces
# of a section, of which Wireshark lets there be any number.
CAPTURE_BLOCK = 128 * 1024 * 1024
CAPTURE_INTERFACES = 4096
# Fragmented IP packets that wait for their rest at once: Linux gives up on one after 30 seconds, a capture has no clock
# that must go on. The one that has waited longest makes room. What a packet's fragments may hold is IP's own limit.
RECORDED_FRAGMENTS = 256
# Headers around a packet (VLAN tags, tunnels) that are looked into.
MAX_ENCAPSULATIONS = 16

# The smallest plaintext fragment that a configuration may ask for; record_size_limit's minimum. RFC 8449 4.
MIN_FRAGMENT = 64

# How much application data a shell seals before it waits for the transport: whole writes of megabytes cost more than
# they save, in memory and in time.
SEAL_STEP = 64 * 1024

# The most that a transport which joins writes lets wait for the next one. The head of an answer is no longer; to copy
# more costs as much as to send it by itself.
JOINED_WRITE = 4 * 1024

# A remote key-holder (docs/keyholder.md). The most that a request can hold is a client's whole handshake of TLS 1.2,
# with room for the length around it; the longest signature is RSA's; and what stands around each in its frame.
HOLDER_CONTENTS = MAX_HANDSHAKE_BYTES + 16
HOLDER_SIGNATURE = MAX_RSA_BITS // 8
HOLDER_REQUEST_FRAME = HOLDER_CONTENTS + 64
HOLDER_ANSWER_FRAME = HOLDER_SIGNATURE + 64
# Connections to one holder, requests of one connection that wait, and signatures for one caller: so many at once, then
# so many per second. A process that makes a handshake in 0.3 ms asks for no more.
HOLDER_CONNECTIONS = 256
# ... and of one caller, whose every process has one: half of them, so that there is room for another caller always.
HOLDER_CONNECTIONS_PER_CALLER = HOLDER_CONNECTIONS // 2
# How long nothing may happen on a connection, no request and no answer taken. To connect anew costs a caller less than
# a handshake, so it need not be long; a signer of ours uses none that was idle for half of it, lest both act at once.
HOLDER_IDLE_TIMEOUT = 300.0
LINK_IDLE = HOLDER_IDLE_TIMEOUT / 2
HOLDER_PENDING = 1024
# ... and bytes of those requests: those of TLS 1.3 have a hundred each, a client's of TLS 1.2 hold its handshake.
HOLDER_PENDING_BYTES = 16 * 1024 * 1024
# ... and of all connections of one caller: as many requests as it has signatures at once, and four connections' bytes.
HOLDER_PENDING_PER_CALLER = 4 * HOLDER_PENDING
HOLDER_PENDING_BYTES_PER_CALLER = 4 * HOLDER_PENDING_BYTES
# Callers of whom a holder knows what they have used up, more than can be connected: the names in a certificate say who
# calls, in any combination of those that are allowed. One that is not connected and has not called for longest goes.
HOLDER_CALLERS = 4 * HOLDER_CONNECTIONS
HOLDER_SIGNATURES_AT_ONCE = 4096
HOLDER_SIGNATURES_PER_SECOND = 4096.0
# How long a signature may take, connecting included; it must end before the handshake does. While the holder is away,
# the signer tries again after the first time, then after twice that, up to the second.
REMOTE_SIGNER_TIMEOUT = 10.0
RECONNECT_FIRST = 0.05
RECONNECT_MOST = 2.0

# A page (docs/page.md), which a browser holds as a whole. Connections told: more are counted. Bytes of one connection
# that are kept: some forty full handshakes. Bytes shown of one record of application data, and of what a proof is over,
# which in TLS 1.2 is the whole handshake. Bytes of a transcript that stand in the command that hashes them. Events of
# one connection, most of which are records of application data.
PAGE_CONNECTIONS = 200
PAGE_CONNECTION_BYTES = 256 * 1024
PAGE_DATA_BYTES = 1024
PAGE_TRANSCRIPT_BYTES = 16 * 1024
# Characters of what is said of one certificate, which stands in a page a dozen times.
PAGE_NAME = 2048
PAGE_EVENTS = 4000
