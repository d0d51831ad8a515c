package k8s_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Where containers cannot run, the file is tried with the same commands in the same environment, as processes.
func TestTheComposeFileRunsTheRequestOfTheREADME(t *testing.T) {
	c := newComposition(t)
	c.start("nats", "nats", "--addr=127.0.0.1", "--port="+c.port("nats", "4222"))
	c.healthy("nats")
	c.start("stub", "stub")
	c.start("worker", "worker-1")
	c.start("worker", "worker-2")
	names := []string{"stub", "worker-1", "worker-2"}
	if strings.Contains(output(t, c.bin+"/capstan help"), "\n  dashboard ") {
		c.start("dashboard", "dashboard")
		names = append(names, "dashboard")
	}
	for _, name := range names {
		c.healthy(name)
	}
	if got := c.event(readmeRequest(t)); got.TaskID != "ord-1842" || got.Status != "succeeded" {
		t.Errorf("event: got %+v, want that ord-1842 succeeded", got)
	}
	for _, name := range names {
		c.stop(name)
	}
}

// readmeRequest returns what the README publishes with the nats command, and its subject.
func readmeRequest(t *testing.T) (subject, request string) {
	t.Helper()
	found := regexp.MustCompile(`(?m)^nats pub --jetstream --no-templates (\S+) '(.*)'$`).FindStringSubmatch(read(t, root+"/README.md"))
	if len(found) != 3 || !strings.Contains(read(t, root+"/compose.yaml"), found[0]) {
		t.Fatal("README.md: got no request by the nats command that compose.yaml has as well, want one")
	}
	return found[1], found[2]
}

// taskEvent is how a task ended.
type taskEvent struct {
	TaskID string `json:"task_id"`
	Status string `json:"status"`
}

// event publishes a request to the composition's NATS, and returns the event that follows.
func (c *composition) event(subject, request string) (event taskEvent) {
	c.t.Helper()
	nc, err := nats.Connect("nats://127.0.0.1:" + c.port("nats", "4222"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer nc.Close()
	events, err := nc.SubscribeSync(defaults(c.t)["RESULT_SUBJECT"])
	if err != nil {
		c.t.Fatal(err)
	}
	if ack, err := nc.Request(subject, []byte(request), patience); err != nil || !strings.Contains(string(ack.Data), `"stream":"TASKS"`) {
		c.t.Fatalf("publish: got %v, %v, want that the stream has it", ack, err)
	}
	msg, err := events.NextMsg(patience)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(msg.Data, &event); err != nil {
		c.t.Fatal(err)
	}
	return event
}

// healthy waits until the health check of a container passes, as often as Docker runs it.
func (c *composition) healthy(name string) {
	c.t.Helper()
	run := c.runs[name]
	deadline, tick := time.NewTimer(patience), time.NewTicker(100*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for {
		printed, err := c.healthCheck(run)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case err := <-run.exited:
			c.t.Fatalf("%s ended: %v\n%s", name, err, run.log)
		case <-deadline.C:
			c.t.Fatalf("%s: health check: got %v, %s\n%s", name, err, printed, run.log)
		}
	}
}

// stop stops a container as Docker does, which kills it after the grace period.
func (c *composition) stop(name string) {
	c.t.Helper()
	run := c.runs[name]
	grace := 10 * time.Second
	if run.service.StopGracePeriod != nil {
		grace = time.Duration(*run.service.StopGracePeriod)
	}
	if err := run.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	killed := time.NewTimer(grace)
	defer killed.Stop()
	select {
	case err := <-run.exited:
		if err != nil && !strings.Contains(fmt.Sprint(err), "exit status 143") { // a tool that SIGTERM ends
			c.t.Errorf("%s: got %v after SIGTERM, want status 0\n%s", name, err, run.log)
		}
	case <-killed.C:
		c.t.Errorf("%s: got no end within %v, want one\n%s", name, grace, run.log)
	}
}
