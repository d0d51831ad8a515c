package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	_, err := load(t, map[string]string{
		"ANCHORBROWSER_REQUEST_TIMEOUT": "soon",
		"NATS_PROVISION":                "perhaps",
		"MAX_IN_FLIGHT":                 "many",
		"MAX_IN_FLIGHT_TOTAL":           "0",
		"ACK_WAIT":                      "",
		"LOG_LEVEL":                     "loud",
	})
	if err == nil {
		t.Fatal("got no error")
	}
	want := []string{
		`ANCHORBROWSER_REQUEST_TIMEOUT must be a duration such as "30s" or "1h30m" (got "soon")`,
		`NATS_PROVISION must be true or false (got "perhaps")`,
		`MAX_IN_FLIGHT must be a whole number (got "many")`,
		`ACK_WAIT must be a duration such as "30s" or "1h30m" (got "")`,
		`MAX_IN_FLIGHT_TOTAL must be auto, or a whole number from 1 to 100000 (got "0")`,
		`LOG_LEVEL must be trace, debug, info, warn or error (got "loud")`,
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", err, strings.Join(want, "\n"))
	}
}

func TestLoadingLeavesTheEnvironmentAsItWas(t *testing.T) {
	if _, err := load(t, map[string]string{"MAX_IN_FLIGHT": "many", "ACK_WAIT": ""}); err == nil {
		t.Fatal("got no error")
	}
	if got := os.Getenv("MAX_IN_FLIGHT"); got != "many" {
		t.Errorf("MAX_IN_FLIGHT: got %q, want %q", got, "many")
	}
	if got, ok := os.LookupEnv("ACK_WAIT"); !ok || got != "" {
		t.Errorf("ACK_WAIT: got %q, set: %v, want it set and empty", got, ok)
	}
}

func TestWrongSettingsAreRefusedByName(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []map[string]string{
		{"ANCHORBROWSER_API_KEY": ""},
		{"ANCHORBROWSER_BASE_URL": "api.anchorbrowser.io"},
		{"ANCHORBROWSER_RATE_LIMIT": "-1"},
		{"NATS_URL": ""},
		{"NATS_URL": "nats://a:4222,"},
		{"NATS_URL": "http://a:4222"},
		{"NATS_URL": "nats://a:port"},
		{"NATS_CREDS_FILE": missing},
		{"NATS_CREDS_FILE": "."},
		{"NATS_CREDS": missing},
		{"NATS_NKEY_SEED_FILE": missing},
		{"NATS_PASSWORD": "open"},
		{"NATS_TLS_CA_FILE": missing},
		{"NATS_TLS_KEY_FILE": "FILE"},
		{"NATS_INBOX_PREFIX": "_INBOX.>"},
		{"NATS_INBOX_PREFIX": "_INBOX."},
		{"NATS_JS_DOMAIN": "a.b"},
		{"NATS_REPLICAS": "0"},
		{"NATS_REPLICAS": "6"},
		{"REQUEST_STREAM": ""},
		{"REQUEST_STREAM": "a.b"},
		{"REQUEST_STREAM": "a b"},
		{"REQUEST_SUBJECT": "tasks.*"},
		{"REQUEST_SUBJECT": "tasks..request"},
		{"REQUEST_SUBJECT": "tasks. request"},
		{"RESULT_STREAM": "a/b"},
		{"RESULT_STREAM": "TASKS"},
		{"RESULT_SUBJECT": ">"},
		{"RESULT_SUBJECT": "tasks.request"},
		{"RESULT_BUCKET": "a.b"},
		{"DEAD_STREAM": ""},
		{"DEAD_STREAM": "TASK_RESULTS"},
		{"DEAD_SUBJECT": ""},
		{"DEAD_KEEP": "all"},
		{"DEAD_KEEP": ""},
		{"SECRETS_DIR": missing},
		{"SECRETS_DIR": os.Args[0]}, // a file
		{"CONTROL_BUCKET": "a.b"},
		{"CONTROL_BUCKET": "task_tracker"},
		{"DEAD_SUBJECT": "tasks.request"},
		{"TRACKER_BUCKET": "é"},
		{"TRACKER_TTL": "999ms"},
		{"CONSUMER": "a*"},
		{"MAX_IN_FLIGHT": "0"},
		{"MAX_IN_FLIGHT": "120001"},
		{"MAX_IN_FLIGHT": "99999999999999999999"},
		{"MAX_IN_FLIGHT_TOTAL": "-1"},
		{"ACK_WAIT": "999ms"},
		{"ACK_WAIT": "60"},
		{"SUBMIT_CONCURRENCY": "0"},
		{"TASK_TIMEOUT": "0"},
		{"ON_UNKNOWN_SUBMISSION": "maybe"},
		{"ON_UNKNOWN_SUBMISSION": "fence"}, // without SESSIONS=on
		{"SESSIONS": "true"},
		{"SESSIONS": ""},
		{"SESSION_LIVE_VIEW": "on"}, // likewise
		{"SESSION_LIVE_VIEW": "yes"},
		{"POLL_INTERVAL": "0s"},
		{"POLL_MAX_INTERVAL": "1s"},
		{"DRAIN_TIMEOUT": "30s"},
		{"ADMIN_ADDR": "8080"},
		{"ADMIN_ADDR": ":http"},
		{"ADMIN_ADDR": ":65536"},
		{"ADMIN_TOKEN": "s3cret\n"},
		{"LOG_LEVEL": ""},
		{"LOG_FORMAT": "xml"},
		{"WORKER_NAME": " "},
		{"WORKER_NAME": "a\nb"},
	}
	for _, env := range tests {
		for name, value := range env {
			t.Run(name+"="+value, func(t *testing.T) {
				_, err := load(t, env)
				wantMistake(t, err, name)
			})
		}
	}
}

// wantMistake checks that err is one line, and that this line is about a variable.
func wantMistake(t *testing.T, err error, variable string) {
	t.Helper()
	line := regexp.MustCompile("^(set )?" + variable + "( must be |: cannot read | or [A-Z_]+$).*$")
	if err == nil || !line.MatchString(err.Error()) {
		t.Errorf("got %v, want one line about %s", err, variable)
	}
}

func TestWhatNeedsSessionsSaysSo(t *testing.T) {
	for name, c := range map[string]struct{ value, want string }{
		"SESSION_LIVE_VIEW":     {"on", `SESSION_LIVE_VIEW must be off without SESSIONS=on (got "on")`},
		"ON_UNKNOWN_SUBMISSION": {"fence", `ON_UNKNOWN_SUBMISSION must be fail or resubmit without SESSIONS=on (got "fence")`},
	} {
		if _, err := load(t, map[string]string{name: c.value}); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if _, err := load(t, map[string]string{name: c.value, "SESSIONS": "on"}); err != nil {
			t.Errorf("%s with SESSIONS=on: got %v, want nil", name, err)
		}
	}
}

func TestCertificateAndKeyMustBeReadable(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for name, other := range map[string]string{
		"NATS_TLS_CERT_FILE": "NATS_TLS_KEY_FILE",
		"NATS_TLS_KEY_FILE":  "NATS_TLS_CERT_FILE",
	} {
		_, err := load(t, map[string]string{name: missing, other: "FILE"})
		wantMistake(t, err, name)
	}
}

func TestOneWayToLogIn(t *testing.T) {
	ways := []map[string]string{
		{"NATS_URL": "nats://ann:open@a:4222"},
		{"NATS_CREDS_FILE": "FILE"},
		{"NATS_NKEY_SEED_FILE": "FILE"},
		{"NATS_USER": "ann", "NATS_PASSWORD": "open"},
		{"NATS_TOKEN": "t0ken"},
	}
	for i, way := range ways {
		if _, err := load(t, way); err != nil {
			t.Errorf("%v alone: got %v, want nil", way, err)
		}
		for _, other := range ways[i+1:] {
			if _, err := load(t, way, other); err == nil || !strings.Contains(err.Error(), "only one of") {
				t.Errorf("%v and %v: got %v, want that only one of them may be set", way, other, err)
			}
		}
	}
}
