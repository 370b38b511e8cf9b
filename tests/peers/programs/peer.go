// Go's crypto/tls as many peers in one program: hosted.py says how they are told what to do.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

var groups = map[string]tls.CurveID{
	"secp256r1": tls.CurveP256, "secp384r1": tls.CurveP384, "secp521r1": tls.CurveP521, "x25519": tls.X25519,
	"X25519MLKEM768": tls.X25519MLKEM768, "SecP256r1MLKEM768": tls.SecP256r1MLKEM768,
	"SecP384r1MLKEM1024": tls.SecP384r1MLKEM1024,
}

var output sync.Mutex

func tell(answer url.Values) {
	output.Lock()
	defer output.Unlock()
	fmt.Println(answer.Encode())
}

// A job is one peer. What it saw is gathered in its answer.
type job struct {
	order  url.Values
	answer url.Values
	mutex  sync.Mutex
	opened []io.Closer
	gone   bool
	over   bool
}

// keep remembers what drop must close, or closes it if drop came first.
func (j *job) keep(opened io.Closer) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.opened = append(j.opened, opened)
	if j.gone {
		opened.Close()
	}
}

func (j *job) drop() {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.gone = true
	for _, opened := range j.opened {
		// Closed with something unread, a connection would be reset instead of ended.
		if tcp, ok := opened.(*net.TCPConn); ok && !j.over {
			tcp.CloseWrite()
		} else {
			opened.Close()
		}
	}
}

func (j *job) run() {
	do := j.serve
	if j.order.Get("do") == "connect" {
		do = j.connect
	}
	err := do()
	j.answer.Set("event", "over")
	j.answer.Set("ok", strconv.FormatBool(err == nil))
	if err != nil {
		j.answer.Set("error", err.Error())
	} else {
		j.answer.Set("error", "")
	}
	j.answer.Set("text", describe(err))
	j.mutex.Lock()
	j.over = true
	j.mutex.Unlock()
	j.drop()
	tell(j.answer)
}

// describe adds the number of an alert that came, which is a type of its own inside crypto/tls.
func describe(err error) string {
	if err == nil {
		return ""
	}
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "remote error" {
		if value := reflect.ValueOf(operation.Err); value.Kind() == reflect.Uint8 {
			return fmt.Sprintf("%v: received alert %d .", err, value.Uint())
		}
	}
	return err.Error()
}

func (j *job) config() (*tls.Config, error) {
	config := &tls.Config{NextProtos: j.order["application_protocols"]}
	if version := versions[j.order.Get("version")]; version != 0 {
		config.MinVersion, config.MaxVersion = version, version
	}
	for _, name := range j.order["groups"] {
		config.CurvePreferences = append(config.CurvePreferences, groups[name])
	}
	for _, suite := range tls.CipherSuites() {
		if slices.Contains(j.order["suites"], suite.Name) {
			config.CipherSuites = append(config.CipherSuites, suite.ID)
		}
	}
	if path := j.order.Get("certificate"); path != "" {
		pair, err := tls.LoadX509KeyPair(path, j.order.Get("key"))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if path := j.order.Get("trust"); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	if path := j.order.Get("keylog"); path != "" {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		j.keep(file)
		config.KeyLogWriter = file
	}
	return config, nil
}

func (j *job) serve() error {
	config, err := j.config()
	if err != nil {
		return err
	}
	config.ClientCAs = config.RootCAs
	config.ClientAuth = map[string]tls.ClientAuthType{
		"none": tls.NoClientCert, "request": tls.VerifyClientCertIfGiven, "require": tls.RequireAndVerifyClientCert,
	}[j.order.Get("client_auth")]
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		j.answer.Set("server_name", hello.ServerName)
		return nil, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	j.keep(listener)
	port := listener.Addr().(*net.TCPAddr).Port
	tell(url.Values{"job": j.order["job"], "event": {"listening"}, "port": {strconv.Itoa(port)}})
	for range j.connections() {
		tcp, err := listener.Accept()
		if err != nil {
			return err
		}
		if err := j.converse(tls.Server(tcp, config), tcp, j.answerRequest); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) connect() error {
	config, err := j.config()
	if err != nil {
		return err
	}
	config.ServerName = j.order.Get("server_name")
	config.InsecureSkipVerify = config.RootCAs == nil
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	identities := config.Certificates
	config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		j.answer["ca_names"] = append([]string{""}, names(request.AcceptableCAs)...)
		for _, identity := range identities {
			if request.SupportsCertificate(&identity) == nil {
				return &identity, nil
			}
		}
		return &tls.Certificate{}, nil
	}
	for range j.connections() {
		tcp, err := net.DialTimeout("tcp", "127.0.0.1:"+j.order.Get("port"), j.limit())
		if err != nil {
			return err
		}
		if err := j.converse(tls.Client(tcp, config), tcp, j.request); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) connections() int {
	count, _ := strconv.Atoi(j.order.Get("connections"))
	return max(count, 1)
}

func (j *job) limit() time.Duration {
	milliseconds, _ := strconv.Atoi(j.order.Get("limit"))
	return time.Duration(milliseconds) * time.Millisecond
}

func names(encoded [][]byte) []string {
	var spelled []string
	for _, der := range encoded {
		var name pkix.RDNSequence
		asn1.Unmarshal(der, &name)
		spelled = append(spelled, name.String())
	}
	return spelled
}

func (j *job) converse(connection *tls.Conn, tcp net.Conn, talk func(*tls.Conn) error) error {
	// Closing the connection would say so to the other side; drop must not.
	j.keep(tcp)
	connection.SetDeadline(time.Now().Add(j.limit()))
	if err := connection.Handshake(); err != nil {
		return err
	}
	state := connection.ConnectionState()
	j.answer.Set("version", strings.TrimPrefix(tls.VersionName(state.Version), "TLS "))
	j.answer.Set("suite", tls.CipherSuiteName(state.CipherSuite))
	j.answer.Set("resumed", strconv.FormatBool(state.DidResume))
	for name, group := range groups {
		if group == state.CurveID {
			j.answer.Set("group", name)
		}
	}
	if state.NegotiatedProtocol != "" {
		j.answer.Set("application_protocol", state.NegotiatedProtocol)
	}
	j.answer.Set("peer_subject", "")
	if len(state.PeerCertificates) > 0 {
		j.answer.Set("peer_subject", state.PeerCertificates[0].Subject.String())
	}
	if label := j.order.Get("export"); label != "" {
		material, err := state.ExportKeyingMaterial(label, nil, 32)
		if err != nil {
			return err
		}
		j.answer.Set("exported", hex.EncodeToString(material))
	}
	if err := talk(connection); err != nil {
		return err
	}
	connection.CloseWrite()
	io.Copy(io.Discard, connection)
	return tcp.Close()
}

func (j *job) answerRequest(connection *tls.Conn) error {
	whole := func(received []byte) bool { return bytes.HasSuffix(received, []byte("\r\n\r\n")) }
	if err := j.read(connection, whole); err != nil {
		return err
	}
	_, err := io.WriteString(connection, j.order.Get("response"))
	return err
}

var contentLength = regexp.MustCompile(`(?i)\r\ncontent-length: *(\d+)`)

func (j *job) request(connection *tls.Conn) error {
	if _, err := io.WriteString(connection, j.order.Get("request")); err != nil {
		return err
	}
	return j.read(connection, func(received []byte) bool {
		head, body, _ := bytes.Cut(received, []byte("\r\n\r\n"))
		found := contentLength.FindSubmatch(head)
		if found == nil {
			return false
		}
		length, _ := strconv.Atoi(string(found[1]))
		return len(body) >= length
	})
}

func (j *job) read(connection *tls.Conn, whole func([]byte) bool) error {
	var received []byte
	defer func() { j.answer.Set("received", string(received)) }()
	buffer := make([]byte, 65536)
	for !whole(received) {
		count, err := connection.Read(buffer)
		received = append(received, buffer[:count]...)
		if err == io.EOF && !whole(received) {
			return errors.New("the connection ended in the middle")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	jobs := map[string]*job{}
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadString('\n')
		if err != nil {
			return
		}
		order, err := url.ParseQuery(strings.TrimSpace(line))
		if err != nil {
			fmt.Println(err)
			continue
		}
		number := order.Get("job")
		if order.Get("do") == "drop" {
			if known := jobs[number]; known != nil {
				known.drop()
			}
			continue
		}
		jobs[number] = &job{order: order, answer: url.Values{"job": {number}}}
		go jobs[number].run()
	}
}
