// fetch URL gets it; fetch serve CERT KEY serves on a free port of 127.0.0.1, which it prints, and logs to stderr.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	if os.Args[1] == "serve" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		fmt.Println(listener.Addr().(*net.TCPAddr).Port)
		check(http.ServeTLS(listener, http.NotFoundHandler(), os.Args[2], os.Args[3]))
	}
	answer, err := http.Get(os.Args[1])
	check(err)
	fmt.Println(answer.Status)
}
