package k8s_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// patience bounds what a test waits for.
const patience = 3 * time.Minute

// composition runs the services of compose.yaml as processes of this machine: each has the command and the environment of
// the file and nothing else. In place of containers' addresses they have free ports.
type composition struct {
	t     *testing.T
	bin   string               // the binaries of the image, and nats-server
	data  string               // the volume of NATS
	all   types.Services       // of the file
	ports map[string]string    // by container and its port, such as "nats:4222"
	runs  map[string]*instance // by container, such as "worker-1"
}

// instance is a process in place of a container.
type instance struct {
	name    string
	service types.ServiceConfig
	cmd     *exec.Cmd
	log     *logText
	exited  chan error
}

// newComposition builds the binaries of the image.
func newComposition(t *testing.T) *composition {
	t.Helper()
	c := &composition{
		t: t, bin: t.TempDir(), data: t.TempDir(), all: services(t), ports: map[string]string{}, runs: map[string]*instance{},
	}
	output(t, "go build -o "+c.bin+"/capstan ./cmd/capstan && ln -s capstan "+c.bin+"/worker && go build -o "+c.bin+" github.com/nats-io/nats-server/v2")
	return c
}

// start starts a container of a service, with more arguments. It is stopped at the end of the test.
func (c *composition) start(service, name string, more ...string) {
	c.t.Helper()
	s := c.all[service]
	command := slices.Clone([]string(s.Command))
	if service != "nats" {
		command = append([]string{"/worker"}, command...) // the entry point of the image
	}
	run := &instance{name: name, service: s, cmd: c.command(name, s, command), log: &logText{}, exited: make(chan error, 1)}
	run.cmd.Args = append(run.cmd.Args, more...)
	run.cmd.Stdout, run.cmd.Stderr = run.log, run.log
	if err := run.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		run.exited <- run.cmd.Wait()
		close(ended)
	}()
	c.t.Cleanup(func() {
		_ = run.cmd.Process.Kill()
		<-ended
	})
	c.runs[name] = run
}

// healthCheck runs the health check of a container once.
func (c *composition) healthCheck(run *instance) (printed string, err error) {
	test := []string(run.service.HealthCheck.Test)[1:]
	if test[0] == "wget" { // of the image of NATS; not every machine has it
		return "", getOK(c.t.Context(), c.local(run.name, test[len(test)-1]))
	}
	out, err := c.command(run.name, run.service, test).CombinedOutput()
	return string(out), err
}

// getOK returns an error unless a server answers with 200.
func getOK(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("got %s", response.Status)
	}
	return nil
}

// command returns a command in a container.
func (c *composition) command(name string, s types.ServiceConfig, args []string) *exec.Cmd {
	for i, arg := range args {
		args[i] = c.local(name, arg)
	}
	cmd := exec.CommandContext(context.WithoutCancel(c.t.Context()), filepath.Join(c.bin, filepath.Base(args[0])), args[1:]...)
	cmd.Env = []string{"WORKER_NAME=" + name} // the default is the name of the host, which Docker makes up
	for variable := range s.Environment {
		cmd.Env = append(cmd.Env, variable+"="+c.local(name, value(s, variable)))
	}
	return cmd
}

// address is one in a flag, a variable or a URL: of another service, by its name, or of the container itself.
var address = regexp.MustCompile(`(^|=|//)(nats|stub|127\.0\.0\.1|):(\d+)|(--http_port=)(\d+)`)

// local returns a text of a container with the addresses and the folder of this machine.
func (c *composition) local(container, text string) string {
	text = address.ReplaceAllStringFunc(text, func(match string) string {
		part := address.FindStringSubmatch(match)
		switch {
		case part[4] != "":
			return part[4] + c.port(container, part[5])
		case part[2] == "nats" || part[2] == "stub":
			return part[1] + "127.0.0.1:" + c.port(part[2], part[3])
		default:
			return part[1] + "127.0.0.1:" + c.port(container, part[3])
		}
	})
	return strings.Replace(text, "=/data", "="+c.data, 1)
}

// port returns the port of this machine that stands for one of a container.
func (c *composition) port(container, port string) string {
	c.t.Helper()
	name := container + ":" + port
	if c.ports[name] == "" {
		var config net.ListenConfig
		listener, err := config.Listen(c.t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			c.t.Fatal(err)
		}
		_, c.ports[name], _ = net.SplitHostPort(listener.Addr().String())
		_ = listener.Close() // another program may take it before the container does: then that one says so
	}
	return c.ports[name]
}

// logText collects what a process writes, while a test reads it.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
