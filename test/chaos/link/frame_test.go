package link_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/test/chaos/link"
)

func TestEveryOperationIsReadWhole(t *testing.T) {
	for _, tc := range []struct {
		wire string
		want link.Frame
	}{
		{"PING\r\n", link.Frame{Verb: "PING"}},
		{"\r\n", link.Frame{}},
		{"-ERR 'Stale Connection'\r\n", link.Frame{Verb: "-ERR"}},
		{"SUB tasks.> q 7\r\n", link.Frame{Verb: "SUB"}},
		{"PUB a 2\r\nhi\r\n", link.Frame{Verb: "PUB", Subject: "a", Payload: []byte("hi")}},
		{"pub a\t_INBOX.1  0\r\n\r\n", link.Frame{Verb: "PUB", Subject: "a", Reply: "_INBOX.1"}},
		{"PUB a 4\r\n\r\nhi\r\n", link.Frame{Verb: "PUB", Subject: "a", Payload: []byte("\r\nhi")}},
		{"HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", link.Frame{Verb: "HPUB", Subject: "a", Reply: "r", Header: []byte("NATS/1.0\r\n\r\n"), Payload: []byte("hi")}},
		{"MSG a 3 1\r\nx\r\n", link.Frame{Verb: "MSG", Subject: "a", Payload: []byte("x")}},
		{"MSG a 3 r 1\r\nx\r\n", link.Frame{Verb: "MSG", Subject: "a", Reply: "r", Payload: []byte("x")}},
		{"HMSG a 3 12 12\r\nNATS/1.0\r\n\r\n\r\n", link.Frame{Verb: "HMSG", Subject: "a", Header: []byte("NATS/1.0\r\n\r\n")}},
	} {
		r := bufio.NewReaderSize(strings.NewReader(tc.wire+"PONG\r\n"), 16)
		got, err := link.ReadNATS(r)
		if err != nil {
			t.Errorf("%q: %v", tc.wire, err)
			continue
		}
		if got.Verb != tc.want.Verb || got.Subject != tc.want.Subject || got.Reply != tc.want.Reply ||
			!bytes.Equal(got.Header, tc.want.Header) || !bytes.Equal(got.Payload, tc.want.Payload) || string(got.Raw) != tc.wire {
			t.Errorf("%q: got %+v, want %+v", tc.wire, got, tc.want)
		}
		if next, err := link.ReadNATS(r); err != nil || next.Verb != "PONG" {
			t.Errorf("%q: got %+v, %v behind it, want PONG", tc.wire, next, err)
		}
	}
}

func TestWhatCannotBeIsAnError(t *testing.T) {
	for _, wire := range []string{
		"PUB\r\n", "PUB a\r\n", "PUB a b c 1\r\nx\r\n", "PUB a -1\r\n", "PUB a x\r\n", "PUB a 99999999999\r\n",
		"PUB a 1\r\nxyz", "HPUB a 5 3\r\nabc\r\n", "MSG a 1\r\nx\r\n",
	} {
		if f, err := link.ReadNATS(bufio.NewReader(strings.NewReader(wire))); err == nil {
			t.Errorf("%q: got %+v, want an error", wire, f)
		}
	}
	if _, err := link.ReadNATS(bufio.NewReader(strings.NewReader(strings.Repeat("x", 2<<20)))); err == nil {
		t.Error("got a line of 2 MiB, want an error")
	}
}

func TestAnEndInTheMiddleIsUnexpected(t *testing.T) {
	for _, wire := range []string{"PIN", "PUB a 2\r\n", "PUB a 2\r\nh", "PUB a 2\r\nhi\r"} {
		if _, err := link.ReadNATS(bufio.NewReader(strings.NewReader(wire))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: got %v, want %v", wire, err, io.ErrUnexpectedEOF)
		}
	}
	if _, err := link.ReadNATS(bufio.NewReader(strings.NewReader(""))); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want %v", err, io.EOF)
	}
}

// Whatever passes a link has to come out as it came in.
func FuzzReadNATS(f *testing.F) {
	f.Add([]byte("PUB a 2\r\nhi\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"))
	f.Add([]byte("MSG a 3 r 1\r\nx\r\n+OK\r\n"))
	f.Add([]byte("PUB a 67108864\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bufio.NewReader(bytes.NewReader(wire))
		var out []byte
		for {
			frame, err := link.ReadNATS(r)
			if err != nil {
				break
			}
			out = append(out, frame.Raw...)
		}
		if !bytes.HasPrefix(wire, out) {
			t.Errorf("got %q, want a beginning of %q", out, wire)
		}
	})
}
