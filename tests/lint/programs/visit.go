// Connects to each "NAME PORT HOST" line of the second file, trusting the roots in the first; prints "NAME: WORDS".
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

func main() {
	pem, _ := os.ReadFile(os.Args[1])
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	lines, _ := os.Open(os.Args[2])
	for scanner := bufio.NewScanner(lines); scanner.Scan(); {
		var name, port, host string
		fmt.Sscan(scanner.Text(), &name, &port, &host)
		connection, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: roots, ServerName: host})
		if err != nil {
			fmt.Printf("%s: %s\n", name, err)
			continue
		}
		fmt.Printf("%s: ok\n", name)
		connection.Close()
	}
}
