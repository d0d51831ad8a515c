package anchortest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// BenchmarkServer measures the cost of a call over a kept-alive connection. Its client is cheap, so that most of the cost
// is the server's: about 20 µs of net/http and, for a submission, 10 µs of JSON.
func BenchmarkServer(b *testing.B) {
	s := anchortest.New()
	if err := s.Start("127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	_, id := submit(b, s, body("x"))
	b.Run("submit", func(b *testing.B) {
		callInParallel(b, s.Addr(), func(n int) string {
			return rawRequest("POST", webTask, body(fmt.Sprintf("task-%d Open the page and read the heading", n)))
		})
	})
	b.Run("status", func(b *testing.B) {
		poll := rawRequest("GET", webTask+"/"+id+"/status", "")
		callInParallel(b, s.Addr(), func(int) string { return poll })
	})
}

func rawRequest(method, target, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAnchor-Api-Key: stand-in-key\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body)
}

// callInParallel makes b.N calls over 32 connections for each core.
func callInParallel(b *testing.B, addr string, request func(n int) string) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		answers := bufio.NewReader(conn)
		for n := 0; pb.Next(); n++ {
			if _, err := io.WriteString(conn, request(n)); err != nil {
				b.Error(err)
				return
			}
			resp, err := http.ReadResponse(answers, nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				b.Errorf("got %v, %v, want 200", resp, err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
