package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// program is a file that uses a client. It reads a request from standard input, and prints the event or the error as JSON.
type program string

// runsWith is the program as a client, run by an interpreter.
func (p program) runsWith(interpreter string) client {
	return func(ctx context.Context, url, request string) printed {
		var out, errOut bytes.Buffer
		cmd := exec.CommandContext(ctx, interpreter, string(p))
		cmd.Env = append(os.Environ(), "NATS_URL="+url)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(request), &out, &errOut
		cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 30*time.Second
		err := cmd.Run()
		var got printed
		if unread := json.Unmarshal(out.Bytes(), &got); unread != nil {
			return printed{Error: fmt.Sprintf("%v, %v: %s%s", err, unread, &out, &errOut)}
		}
		return got
	}
}
