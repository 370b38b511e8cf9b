// Java's own TLS, JSSE, as many peers in one program: hosted.py says how they are told what to do.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.ExtendedSSLSession;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509ExtendedTrustManager;

public final class Peer {
    public static void main(String[] arguments) {
        Map<String, Job> jobs = new ConcurrentHashMap<>();
        Scanner input = new Scanner(System.in, StandardCharsets.ISO_8859_1);
        while (input.hasNextLine()) {
            Form order = Form.parse(input.nextLine());
            String number = order.get("job");
            if ("drop".equals(order.get("do"))) {
                if (jobs.containsKey(number)) {
                    jobs.get(number).drop();
                }
                continue;
            }
            Job job = new Job(order);
            jobs.put(number, job);
            Thread thread = new Thread(job);
            thread.setDaemon(true);
            thread.start();
        }
    }

    /** Names and values in their order; a name may come more than once. */
    static final class Form {
        private final List<String[]> fields = new ArrayList<>();

        static Form parse(String line) {
            Form form = new Form();
            for (String field : line.split("&")) {
                String[] parts = field.split("=", 2);
                form.add(decode(parts[0]), decode(parts.length > 1 ? parts[1] : ""));
            }
            return form;
        }

        private static String decode(String text) {
            return URLDecoder.decode(text, StandardCharsets.ISO_8859_1);
        }

        void add(String name, String value) {
            fields.add(new String[] {name, value});
        }

        /** The first value, or null. */
        String get(String name) {
            List<String> values = all(name);
            return values.isEmpty() ? null : values.get(0);
        }

        List<String> all(String name) {
            return fields.stream().filter(field -> field[0].equals(name)).map(field -> field[1]).toList();
        }

        void tell() {
            StringBuilder line = new StringBuilder();
            for (String[] field : fields) {
                line.append(line.length() > 0 ? "&" : "");
                line.append(field[0]).append('=').append(URLEncoder.encode(field[1], StandardCharsets.ISO_8859_1));
            }
            System.out.println(line);
        }
    }

    /** One peer. What it saw is gathered in its answer. */
    static final class Job implements Runnable {
        private static final Pattern LENGTH = Pattern.compile("(?i)\r\ncontent-length: *(\\d+)");
        private final Form order;
        private final Form answer = new Form();
        private final List<Closeable> opened = new ArrayList<>();
        private volatile boolean over;

        Job(Form order) {
            this.order = order;
            answer.add("job", order.get("job"));
        }

        synchronized <T extends Closeable> T keep(T resource) {
            opened.add(resource);
            return resource;
        }

        synchronized void drop() {
            for (Closeable resource : opened) {
                try {
                    if (resource instanceof Socket connection && !over) {
                        // Closed with something unread, it would be reset instead of ended.
                        connection.shutdownOutput();
                    } else {
                        resource.close();
                    }
                } catch (IOException ignored) {
                    // It was closed already.
                }
            }
        }

        @Override
        public void run() {
            String error = "";
            try {
                if (order.get("do").equals("serve")) {
                    serve();
                } else {
                    connect();
                }
            } catch (Exception exception) {
                error = exception.toString();
                for (Throwable cause = exception.getCause(); cause != null; cause = cause.getCause()) {
                    error += "; " + cause;
                }
            }
            over = true;
            drop();
            answer.add("event", "over");
            answer.add("ok", String.valueOf(error.isEmpty()));
            answer.add("error", error);
            answer.add("text", error);
            answer.tell();
        }

        private void serve() throws Exception {
            SSLContext context = context();
            ServerSocket listener = keep(new ServerSocket(0, 10, InetAddress.getByName("127.0.0.1")));
            Form listening = new Form();
            listening.add("job", order.get("job"));
            listening.add("event", "listening");
            listening.add("port", String.valueOf(listener.getLocalPort()));
            listening.tell();
            for (int left = connections(); left > 0; left--) {
                Socket tcp = keep(listener.accept());
                SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(tcp, null, true);
                socket.setUseClientMode(false);
                SSLParameters parameters = parameters();
                parameters.setNeedClientAuth(order.get("client_auth").equals("require"));
                if (order.get("client_auth").equals("request")) {
                    parameters.setWantClientAuth(true);
                }
                socket.setSSLParameters(parameters);
                handshake(socket);
                ((ExtendedSSLSession) socket.getSession()).getRequestedServerNames().forEach(
                    name -> answer.add("server_name", ((SNIHostName) name).getAsciiName()));
                read(socket, text -> text.endsWith("\r\n\r\n"));
                socket.getOutputStream().write(order.get("response").getBytes(StandardCharsets.ISO_8859_1));
                finish(socket);
            }
        }

        private void connect() throws Exception {
            SSLContext context = context();
            for (int left = connections(); left > 0; left--) {
                Socket tcp = keep(new Socket());
                tcp.connect(new InetSocketAddress("127.0.0.1", Integer.parseInt(order.get("port"))), limit());
                String name = order.get("server_name");
                int port = Integer.parseInt(order.get("port"));
                SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(tcp, name, port, true);
                SSLParameters parameters = parameters();
                if (name != null) {
                    parameters.setServerNames(List.of(new SNIHostName(name)));
                    if (order.get("trust") != null) {
                        parameters.setEndpointIdentificationAlgorithm("HTTPS");
                    }
                }
                socket.setSSLParameters(parameters);
                handshake(socket);
                socket.getOutputStream().write(order.get("request").getBytes(StandardCharsets.ISO_8859_1));
                read(socket, Job::isWhole);
                finish(socket);
            }
        }

        private int limit() {
            return Integer.parseInt(order.get("limit"));
        }

        private int connections() {
            return order.get("connections") == null ? 1 : Integer.parseInt(order.get("connections"));
        }

        private SSLParameters parameters() {
            SSLParameters parameters = new SSLParameters();
            String version = order.get("version");
            parameters.setProtocols(
                version == null ? new String[] {"TLSv1.3", "TLSv1.2"} : new String[] {"TLSv" + version});
            if (!order.all("suites").isEmpty()) {
                parameters.setCipherSuites(order.all("suites").toArray(new String[0]));
            }
            parameters.setApplicationProtocols(order.all("application_protocols").toArray(new String[0]));
            return parameters;
        }

        private void handshake(SSLSocket socket) throws IOException {
            socket.setSoTimeout(limit());
            long start = System.currentTimeMillis();
            socket.startHandshake();
            SSLSession session = socket.getSession();
            answer.add("version", session.getProtocol().replace("TLSv", ""));
            answer.add("suite", session.getCipherSuite());
            // JSSE does not tell; a session that is older than its handshake is an earlier one.
            answer.add("resumed", String.valueOf(session.getCreationTime() < start));
            if (!socket.getApplicationProtocol().isEmpty()) {
                answer.add("application_protocol", socket.getApplicationProtocol());
            }
            answer.add("peer_subject", subject(session));
            if ("request".equals(order.get("key_update"))) {
                // A second handshake is a KeyUpdate in TLS 1.3, and it asks for another.
                socket.startHandshake();
            }
        }

        private static String subject(SSLSession session) {
            try {
                return ((X509Certificate) session.getPeerCertificates()[0]).getSubjectX500Principal().getName();
            } catch (SSLPeerUnverifiedException none) {
                return "";
            }
        }

        private void read(SSLSocket socket, Predicate<String> enough) throws IOException {
            ByteArrayOutputStream received = new ByteArrayOutputStream();
            byte[] chunk = new byte[65536];
            InputStream input = socket.getInputStream();
            try {
                int count = 0;
                while (count >= 0 && !enough.test(received.toString(StandardCharsets.ISO_8859_1))) {
                    count = input.read(chunk);
                    received.write(chunk, 0, Math.max(count, 0));
                }
                if (count < 0 && !enough.test(received.toString(StandardCharsets.ISO_8859_1))) {
                    throw new IOException("the connection ended in the middle");
                }
            } finally {
                answer.add("received", received.toString(StandardCharsets.ISO_8859_1));
            }
        }

        private static boolean isWhole(String response) {
            int end = response.indexOf("\r\n\r\n");
            Matcher length = LENGTH.matcher(response);
            return end >= 0 && length.find() && response.length() - end - 4 >= Integer.parseInt(length.group(1));
        }

        private void finish(SSLSocket socket) throws IOException {
            socket.shutdownOutput();
            try {
                while (socket.getInputStream().read() >= 0) {
                    continue;
                }
            } catch (IOException ignored) {
                // The other side need not say goodbye.
            }
            socket.close();
        }

        private SSLContext context() throws Exception {
            KeyManager[] identity = {new Identity()};
            TrustManager[] trust = {new TrustEverybody()};
            if (order.get("trust") != null) {
                KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
                roots.load(null, null);
                for (X509Certificate root : certificates(order.get("trust"))) {
                    roots.setCertificateEntry("root" + roots.size(), root);
                }
                TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
                factory.init(roots);
                trust = factory.getTrustManagers();
            }
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(identity, trust, null);
            return context;
        }

        private static List<X509Certificate> certificates(String path) throws Exception {
            byte[] pem = Files.readAllBytes(Path.of(path));
            return CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(pem)).stream()
                .map(certificate -> (X509Certificate) certificate).toList();
        }

        private static PrivateKey privateKey(String path) throws Exception {
            String pem = Files.readString(Path.of(path)).replaceAll("-----[^-]*-----|\\s", "");
            PKCS8EncodedKeySpec encoded = new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem));
            for (String algorithm : new String[] {"EC", "RSA", "RSASSA-PSS", "EdDSA"}) {
                try {
                    return KeyFactory.getInstance(algorithm).generatePrivate(encoded);
                } catch (GeneralSecurityException another) {
                    continue;
                }
            }
            throw new GeneralSecurityException("a private key of an unknown kind");
        }

        /** The one identity, where its key is of the kind that is asked for. */
        private final class Identity extends X509ExtendedKeyManager {
            private final X509Certificate[] chain;
            private final PrivateKey key;

            Identity() throws Exception {
                String path = order.get("certificate");
                chain = path == null ? null : certificates(path).toArray(new X509Certificate[0]);
                key = path == null ? null : privateKey(order.get("key"));
            }

            private String alias(String... kinds) {
                if (key == null) {
                    return null;
                }
                String mine = chain[0].getPublicKey().getAlgorithm();
                return List.of(kinds).contains(mine) ? "identity" : null;
            }

            @Override
            public String chooseClientAlias(String[] kinds, Principal[] issuers, Socket socket) {
                answer.add("ca_names", "");
                for (Principal issuer : issuers == null ? new Principal[0] : issuers) {
                    answer.add("ca_names", issuer.getName());
                }
                return alias(kinds);
            }

            @Override
            public String chooseServerAlias(String kind, Principal[] issuers, Socket socket) {
                return alias(kind);
            }

            @Override
            public X509Certificate[] getCertificateChain(String alias) {
                return chain;
            }

            @Override
            public PrivateKey getPrivateKey(String alias) {
                return key;
            }

            @Override
            public String[] getClientAliases(String kind, Principal[] issuers) {
                return new String[] {"identity"};
            }

            @Override
            public String[] getServerAliases(String kind, Principal[] issuers) {
                return new String[] {"identity"};
            }
        }
    }

    /** For peers that verify nothing. */
    private static final class TrustEverybody extends X509ExtendedTrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String kind) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String kind, Socket socket) {}

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String kind, javax.net.ssl.SSLEngine engine) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String kind) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String kind, Socket socket) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String kind, javax.net.ssl.SSLEngine engine) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
