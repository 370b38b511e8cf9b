// A server, or a client of PORT, on 127.0.0.1 that is told in lines of the doctor's, which tests.doctor.test_go puts at
// the end of this file: fixed server|client CASE ... -- PORT. It says "ready" when it has read its files, and a client
// goes on with the next line of its input.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"reflect"
	"time"
)

var (
	cases  = map[string]func(*tls.Config, *x509.CertPool, tls.Certificate){}
	server = &http.Server{Handler: http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) { io.WriteString(response, "hello\n") })}
)

func main() {
	role, last := os.Args[1], len(os.Args)-1
	names := map[string][]string{"server": {"server.pem", "server.key", "client-ca.pem"}, "client": {"client.pem", "client.key", "ca.pem"}}[role]
	pair, err := tls.LoadX509KeyPair(names[0], names[1])
	check(err)
	pool := poolOf(names[2])
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}
	if role == "server" {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, pool
	}
	for _, name := range os.Args[2:last] {
		cases[name](config, pool, pair)
	}
	if role == "server" {
		serve(config)
	}
	fetch(config, os.Args[last])
}

func serve(config *tls.Config) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	check(err)
	fmt.Println(listener.Addr().String())
	check(server.Serve(listener))
}

func fetch(config *tls.Config, port string) {
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: config, TLSHandshakeTimeout: handshakeLimit()}
	response, err := (&http.Client{Transport: transport}).Get("https://localhost:" + port + "/")
	check(err)
	_, err = io.ReadAll(response.Body)
	check(err)
	fmt.Println("answered", response.StatusCode)
}

func handshakeLimit() time.Duration {
	limit, err := time.ParseDuration(os.Getenv("HANDSHAKE_LIMIT"))
	check(err)
	return limit
}

// told changes a configuration, or a server, as a line says: the fields that it names take its values.
func told(changed, line any, names ...string) {
	for _, name := range names {
		reflect.ValueOf(changed).Elem().FieldByName(name).Set(reflect.ValueOf(line).Elem().FieldByName(name))
	}
}

func poolOf(name string) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read(name))
	return pool
}

func read(name string) []byte {
	content, err := os.ReadFile(name)
	check(err)
	return content
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// current is what a program does with a revocation list: it refuses everybody where the list has ended.
func current(list *x509.RevocationList) error {
	if time.Now().After(list.NextUpdate) {
		return fmt.Errorf("the revocation list has ended")
	}
	return nil
}

func parsed(content []byte) *x509.RevocationList {
	block, _ := pem.Decode(content)
	list, err := x509.ParseRevocationList(block.Bytes)
	check(err)
	return list
}
