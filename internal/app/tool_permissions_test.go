package app_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/operator"
)

func TestTheOperatorMayRunEachCommand(t *testing.T) {
	t.Parallel()
	for name, conf := range ackForms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, conf)
			g.provision()
			p := g.prepareCommands()
			js, undenied := g.watched("OPERATOR")
			for command, run := range g.commands() {
				if err := run(t.Context(), g.queue(js)); err != nil {
					t.Errorf("%s: %v", command, err)
				}
			}
			undenied()
			if missed := p.denials(); len(missed) > 0 {
				t.Errorf("the worker was denied %s", strings.Join(missed, "\n"))
			}
		})
	}
}

func TestEachCommandNeedsOnlyTheDocumentedPermissions(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	documented := documentedCommands(t)
	var logins strings.Builder
	logins.WriteString("users: [")
	for command, subjects := range documented {
		fmt.Fprintf(&logins, "\n{ user: %q, password: p, permissions: { publish: [%s], subscribe: [\"_INBOX_tool.>\"] } }", command, strings.Join(subjects, ", "))
	}
	g.reload(strings.Replace(g.text, "users: [", logins.String(), 1))
	g.provision()
	g.prepareCommands()
	commands := g.commands()
	for command := range documented {
		run, ok := commands[command]
		if !ok {
			t.Errorf("%s is documented and not tested", command)
			continue
		}
		denied := make(chan error, 1000)
		nc, js := g.nats.Connect(nats.UserInfo(command, "p"), nats.CustomInboxPrefix("_INBOX_tool"),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
		err := run(t.Context(), g.queue(js))
		if flushErr := nc.Flush(); err != nil || flushErr != nil || len(denied) > 0 {
			t.Errorf("%s: got %v, %v and %d denials, want none", command, err, flushErr, len(denied))
		}
	}
	if len(documented) != len(commands) {
		t.Errorf("got %d commands in docs/permissions.md, want %d", len(documented), len(commands))
	}
}

// documentedCommands returns the subjects that each command of the tool may publish to, in quotes.
func documentedCommands(t *testing.T) map[string][]string {
	t.Helper()
	docs, err := os.ReadFile("../../docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`([^`]+)`")
	groups, commands := map[string][]string{}, map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| ([a-z ]+) \\| (`.*`) \\|$").FindAllStringSubmatch(string(docs), -1) {
		for _, subject := range code.FindAllStringSubmatch(row[2], -1) {
			groups[row[1]] = append(groups[row[1]], `"`+subject[1]+`"`)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| (`capstan .*`) \\| (.*) \\|$").FindAllStringSubmatch(string(docs), -1) {
		var subjects []string
		for name := range strings.SplitSeq(row[2], ", ") {
			if groups[name] == nil {
				t.Fatalf("got no subjects for %q, want a row", name)
			}
			subjects = append(subjects, groups[name]...)
		}
		for _, command := range code.FindAllStringSubmatch(row[1], -1) {
			commands[command[1]] = subjects
		}
	}
	return commands
}

// queue is the queue as a login sees it.
func (g *guarded) queue(js jetstream.JetStream) operator.Queue {
	g.t.Helper()
	cfg, err := app.LoadToolConfig()
	if err != nil {
		g.t.Fatal(err)
	}
	return operator.Queue{Conn: js.Conn(), JS: js, Config: cfg}
}
