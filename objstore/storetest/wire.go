package storetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Wire is a TCP proxy before an HTTP server, below any SDK: it breaks connections in the
// ways networks and servers do.
type Wire struct {
	Addr     string // host:port to connect to
	upstream string
	l        net.Listener

	mu    sync.Mutex
	rule  func(r *http.Request) WireFault
	conns map[net.Conn]bool
	seen  []string // method and what became of it
}

// A WireFault is what becomes of one request.
type WireFault uint8

// The faults.
const (
	Pass        WireFault = iota
	Unavailable           // 503 with Retry-After, not passed on
	Throttled             // 429 with Retry-After, not passed on
	ResetBefore           // the connection is reset, nothing is passed on
	ResetMid              // half of the answer, then a reset
	LostReply             // the server acts, the answer is lost in a reset
	HangBefore            // no answer, nothing is passed on
	HangAfter             // the server acts, no answer
)

func (f WireFault) String() string {
	return [...]string{"pass", "503", "429", "reset before", "reset mid-body", "lost reply", "hang", "hang after"}[f]
}

// NewWire returns a proxy before upstream (host:port) that ends with t.
func NewWire(t *testing.T, upstream string) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &Wire{Addr: l.Addr().String(), upstream: upstream, l: l, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if !w.track(c) {
				continue
			}
			wg.Go(func() { w.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		open := w.conns
		w.conns = nil
		w.mu.Unlock()
		for c := range open {
			c.Close()
		}
		wg.Wait()
	})
	return w
}

func (w *Wire) track(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		c.Close()
		return false
	}
	w.conns[c] = true
	return true
}

// Set makes rule decide about the requests from now on; nil passes all.
func (w *Wire) Set(rule func(r *http.Request) WireFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rule, w.seen = rule, nil
}

// Seen lists the requests since Set.
func (w *Wire) Seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.seen...)
}

func (w *Wire) decide(r *http.Request) WireFault {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := Pass
	if w.rule != nil {
		f = w.rule(r)
	}
	w.seen = append(w.seen, r.Method+" "+r.URL.Path+": "+f.String())
	return f
}

// reset closes c so that its peer sees a reset and not an end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

func (w *Wire) serve(c net.Conn) {
	defer func() {
		w.mu.Lock()
		delete(w.conns, c)
		w.mu.Unlock()
		c.Close()
	}()
	in := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		fault := w.decide(req)
		var answer []byte
		switch fault {
		case Pass, ResetMid, LostReply, HangAfter:
			if answer, err = w.forward(req, body); err != nil {
				reset(c)
				return
			}
		case Unavailable:
			answer = canned("503 Service Unavailable")
		case Throttled:
			answer = canned("429 Too Many Requests")
		}
		switch fault {
		case ResetBefore, LostReply:
			reset(c)
			return
		case HangBefore, HangAfter:
			_, _ = in.Peek(1) // until the client goes away
			return
		case ResetMid:
			head := bytes.Index(answer, []byte("\r\n\r\n")) + 4
			_, _ = c.Write(answer[:head+(len(answer)-head)/2])
			reset(c)
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func canned(status string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %s\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n", status)
}

// forward asks the server on a connection of its own and returns the whole answer.
func (w *Wire) forward(req *http.Request, body []byte) ([]byte, error) {
	up, err := net.Dial("tcp", w.upstream)
	if err != nil {
		return nil, err
	}
	defer up.Close()
	req.Body, req.ContentLength, req.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	req.Header.Del("Expect")
	if !strings.HasPrefix(req.Header.Get("Authorization"), "AWS4-") { // which signs the name that was dialled
		req.Host = w.upstream // some servers go by their own name
	}
	if err := req.Write(up); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(up), req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return httputil.DumpResponse(res, true)
}
