// A client of Go's net/http: so many requests at once over HTTP/2. Prints how many were answered right, and who it was.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
)

func main() {
	port, ca, cert, key := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	roots := x509.NewCertPool()
	trusted, err := os.ReadFile(ca)
	if err != nil || !roots.AppendCertsFromPEM(trusted) {
		panic("no CA")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		panic(err)
	}
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: "localhost"}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	url := "https://127.0.0.1:" + port
	first, err := client.Get(url + "/")
	if err != nil {
		panic(err)
	}
	who, _ := io.ReadAll(first.Body)
	first.Body.Close()
	body := bytes.Repeat([]byte("handfast "), 3000)
	var right atomic.Int64
	var all sync.WaitGroup
	for range 150 {
		all.Add(1)
		go func() {
			defer all.Done()
			request, _ := http.NewRequest("POST", url+"/print", bytes.NewReader(body))
			answer, err := client.Do(request)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			defer answer.Body.Close()
			got, _ := io.ReadAll(answer.Body)
			if answer.ProtoMajor == 2 && bytes.Equal(got, body) {
				right.Add(1)
			}
		}()
	}
	all.Wait()
	fmt.Printf("%d right, HTTP/%d, %s", right.Load(), first.ProtoMajor, who[:13])
}
