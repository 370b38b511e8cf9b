// A server, or a client of PORT, on 127.0.0.1, made by the default factories, which go by properties; it is told in lines
// as the doctor's fixes have them, which tests.doctor.test_java puts in their places: server|client PORT CASE.

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.*;
import java.util.*;
import javax.net.ssl.*;

public final class Fixed {
    public static void main(String[] arguments) throws Exception {
        String name = arguments[2];
        if (arguments[0].equals("server")) {
            serve(name);
        } else {
            fetch(Integer.parseInt(arguments[1]), name);
        }
    }

    private static void serve(String name) throws Exception {
        SSLServerSocketFactory factory =
            name.equals("server_renews_crl") ? withLists() : (SSLServerSocketFactory) SSLServerSocketFactory.getDefault();
        SSLServerSocket sslServerSocket = (SSLServerSocket) factory.createServerSocket(0);
        sslServerSocket.setNeedClientAuth(!Boolean.getBoolean("asks_nothing"));
        ofServer(name, sslServerSocket);
        System.out.println("127.0.0.1:" + sslServerSocket.getLocalPort());
        while (true) {
            SSLSocket socket = (SSLSocket) sslServerSocket.accept();
            new Thread(() -> answer(socket)).start();
        }
    }

    private static void answer(SSLSocket socket) {
        try (socket) {
            socket.getInputStream().read(new byte[4096]);
            socket.getOutputStream().write("HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n".getBytes());
        } catch (Exception refused) {
            // A program that says nothing of it.
        }
    }

    private static void fetch(int port, String name) throws Exception {
        try (SSLSocket socket = (SSLSocket) SSLSocketFactory.getDefault().createSocket("localhost", port)) {
            SSLParameters checking = socket.getSSLParameters();
            checking.setEndpointIdentificationAlgorithm("HTTPS");
            socket.setSSLParameters(checking);
            ofClient(name, socket);
            socket.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes());
            System.out.println("answered " + new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine());
        } catch (Exception refused) {
            System.out.println(refused);
        }
    }

    private static SSLServerSocketFactory withLists() throws Exception {
        char[] password = "changeit".toCharArray();
        KeyStore trustStore = KeyStore.getInstance(new java.io.File("trust.p12"), password);
        TrustManagerFactory trustManagerFactory = TrustManagerFactory.getInstance("PKIX");
        /* server_renews_crl */
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(KeyStore.getInstance(new java.io.File("server.p12"), password), password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trustManagerFactory.getTrustManagers(), null);
        return context.getServerSocketFactory();
    }

    private static void ofServer(String name, SSLServerSocket sslServerSocket) {
        switch (name) {
            /* of a server */
            default: break;
        }
    }

    private static void ofClient(String name, SSLSocket socket) {
        switch (name) {
            /* of a client */
            default: break;
        }
    }
}
