package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
)

// Each try to restore a connection can fail, and so can each message: the user learns of it once, and in words.
func TestErrorsOfTheConnectionAreToldOnceAndOfALinkNot(t *testing.T) {
	var out bytes.Buffer
	denied := &atomic.Pointer[error]{}
	handle := noteErrors(denied, &terminal{err: &out})
	violation := fmt.Errorf("%w: publish", nats.ErrPermissionViolation)
	timedOut := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	for _, err := range []error{
		timedOut, io.EOF, nats.ErrMaxSubscriptionsExceeded, timedOut, nats.ErrMaxSubscriptionsExceeded, violation, errors.New("a\x1b[2J"),
	} {
		handle(nil, nil, err)
	}
	want := "capstan: NATS reported an error: nats: server maximum subscriptions exceeded\n" +
		"capstan: NATS reported an error: a\\x1b[2J\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if kept := denied.Load(); kept == nil || !errors.Is(*kept, violation) {
		t.Errorf("got %v kept for the call, want %v", kept, violation)
	}
}
