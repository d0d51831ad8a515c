package app_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/app"
)

// setting is a row of the contract: a variable, its default, another valid value, and its field.
type setting struct {
	name, def, other string
	get              func(app.Config) any
}

func settingRows() []setting {
	return []setting{
		{"ANCHORBROWSER_API_KEY", "key", "sk-1", func(c app.Config) any { return string(c.Anchor.APIKey) }}, // set by load
		{"ANCHORBROWSER_API_KEY_FILE", "", "FILE", func(c app.Config) any { return c.Anchor.APIKeyFile }},
		{"ANCHORBROWSER_BASE_URL", "https://api.anchorbrowser.io", "http://127.0.0.1:9000", func(c app.Config) any { return c.Anchor.BaseURL }},
		{"ANCHORBROWSER_REQUEST_TIMEOUT", "30s", "10s", func(c app.Config) any { return c.Anchor.RequestTimeout }},
		{"ANCHORBROWSER_RATE_LIMIT", "0", "2.5", func(c app.Config) any { return c.Anchor.RateLimit }},
		{"NATS_URL", "nats://127.0.0.1:4222", "tls://a:4222,b", func(c app.Config) any { return c.NATS.URL }},
		{"NATS_CREDS_FILE", "", "FILE", func(c app.Config) any { return c.NATS.CredsFile }},
		{"NATS_CREDS", "", "FILE", func(c app.Config) any { return c.NATS.Creds }},
		{"NATS_NKEY_SEED_FILE", "", "FILE", func(c app.Config) any { return c.NATS.NkeySeedFile }},
		{"NATS_USER", "", "ann", func(c app.Config) any { return c.NATS.User }},
		{"NATS_PASSWORD", "", "open", func(c app.Config) any { return string(c.NATS.Password) }},
		{"NATS_TOKEN", "", "t0ken", func(c app.Config) any { return string(c.NATS.Token) }},
		{"NATS_TLS_CA_FILE", "", "FILE", func(c app.Config) any { return c.NATS.TLS.CAFile }},
		{"NATS_TLS_CERT_FILE", "", "FILE", func(c app.Config) any { return c.NATS.TLS.CertFile }},
		{"NATS_TLS_KEY_FILE", "", "FILE", func(c app.Config) any { return c.NATS.TLS.KeyFile }},
		{"NATS_INBOX_PREFIX", "", "_INBOX_worker", func(c app.Config) any { return c.NATS.InboxPrefix }},
		{"NATS_JS_DOMAIN", "", "hub", func(c app.Config) any { return c.NATS.JSDomain }},
		{"NATS_PROVISION", "true", "false", func(c app.Config) any { return c.NATS.Provision }},
		{"NATS_REPLICAS", "1", "3", func(c app.Config) any { return c.NATS.Replicas }},
		{"REQUEST_STREAM", "TASKS", "JOBS", func(c app.Config) any { return c.Request.Stream }},
		{"REQUEST_SUBJECT", "tasks.request", "jobs.in", func(c app.Config) any { return c.Request.Subject }},
		{"RESULT_STREAM", "TASK_RESULTS", "ENDS", func(c app.Config) any { return c.Result.Stream }},
		{"RESULT_SUBJECT", "tasks.result", "jobs.out", func(c app.Config) any { return c.Result.Subject }},
		{"RESULT_BUCKET", "task_results", "ends", func(c app.Config) any { return c.Result.Bucket }},
		{"DEAD_STREAM", "TASK_DEAD", "DEAD", func(c app.Config) any { return c.Dead.Stream }},
		{"DEAD_KEEP", "failed", "invalid", func(c app.Config) any { return c.Dead.Keep }},
		{"SECRETS_DIR", "", "FILE", func(c app.Config) any { return c.Secrets.Dir }},
		{"SESSIONS", "off", "on", func(c app.Config) any { return c.Sessions }},
		{"SESSION_LIVE_VIEW", "off", "on", func(c app.Config) any { return c.Session.LiveView }},
		{"CONTROL_BUCKET", "task_control", "jobs_control", func(c app.Config) any { return c.Control.Bucket }},
		{"DEAD_SUBJECT", "tasks.dead", "jobs.dead", func(c app.Config) any { return c.Dead.Subject }},
		{"TRACKER_BUCKET", "task_tracker", "jobs", func(c app.Config) any { return c.Tracker.Bucket }},
		{"TRACKER_TTL", "168h0m0s", "24h0m0s", func(c app.Config) any { return c.Tracker.TTL }},
		{"CONSUMER", "worker", "workers", func(c app.Config) any { return c.Consumer }},
		{"MAX_IN_FLIGHT", "1000", "1", func(c app.Config) any { return c.MaxInFlight }},
		{"MAX_IN_FLIGHT_TOTAL", "auto", "50000", func(c app.Config) any { return c.MaxInFlightTotal }},
		{"ACK_WAIT", "1m0s", "1s", func(c app.Config) any { return c.AckWait }},
		{"SUBMIT_CONCURRENCY", "16", "1", func(c app.Config) any { return c.Submit.Concurrency }},
		{"TASK_TIMEOUT", "1h0m0s", "5m0s", func(c app.Config) any { return c.Task.Timeout }},
		{"ON_UNKNOWN_SUBMISSION", "fail", "resubmit", func(c app.Config) any { return c.OnUnknownSubmission }},
		{"POLL_INTERVAL", "2s", "15s", func(c app.Config) any { return c.Poll.Interval }},
		{"POLL_MAX_INTERVAL", "15s", "2s", func(c app.Config) any { return c.Poll.MaxInterval }},
		{"DRAIN_TIMEOUT", "40s", "31s", func(c app.Config) any { return c.Drain.Timeout }},
		{"ADMIN_ADDR", "127.0.0.1:8080", ":0", func(c app.Config) any { return c.Admin.Addr }},
		{"ADMIN_TOKEN", "", "s3cret", func(c app.Config) any { return string(c.Admin.Token) }},
		{"LOG_LEVEL", "info", "debug", func(c app.Config) any { return c.Log.Level }},
		{"LOG_FORMAT", "json", "console", func(c app.Config) any { return c.Log.Format }},
		{"WORKER_NAME", hostname(), "worker-1", func(c app.Config) any { return c.Worker.Name }},
	}
}

// companions are the other variables that must be set or empty together with a variable.
func companions(name string) map[string]string {
	switch name {
	case "SESSION_LIVE_VIEW":
		return map[string]string{"SESSIONS": "on"}
	case "ANCHORBROWSER_API_KEY_FILE":
		return map[string]string{"ANCHORBROWSER_API_KEY": ""}
	case "NATS_PASSWORD":
		return map[string]string{"NATS_USER": "ann"}
	case "NATS_TLS_CERT_FILE":
		return map[string]string{"NATS_TLS_KEY_FILE": "FILE"}
	case "NATS_TLS_KEY_FILE":
		return map[string]string{"NATS_TLS_CERT_FILE": "FILE"}
	default:
		return nil
	}
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		panic(err)
	}
	return name
}

// load sets only an API key and the variables of envs, and loads. The value FILE stands for a valid file for the variable.
func load(t *testing.T, envs ...map[string]string) (app.Config, error) {
	t.Helper()
	for _, s := range settingRows() {
		t.Setenv(s.name, "") // for its clean-up
		if err := os.Unsetenv(s.name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("ANCHORBROWSER_API_KEY", "key")
	there := files{t: t}
	for _, env := range envs {
		for name, value := range env {
			if value == "FILE" {
				value = there.named(name)
			}
			t.Setenv(name, value)
		}
	}
	return app.LoadConfig()
}

func TestDefaultsAreTheContracts(t *testing.T) {
	cfg, err := load(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settingRows() {
		if got := fmt.Sprint(s.get(cfg)); got != s.def {
			t.Errorf("%s: got %q, want %q", s.name, got, s.def)
		}
	}
}

func TestEverySettingIsRead(t *testing.T) {
	for _, s := range settingRows() {
		t.Run(s.name, func(t *testing.T) {
			cfg, err := load(t, companions(s.name), map[string]string{s.name: s.other})
			if err != nil {
				t.Fatal(err)
			}
			want := s.other
			if want == "FILE" {
				want = os.Getenv(s.name)
			}
			if got := fmt.Sprint(s.get(cfg)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestNothingButTheContractIsRead(t *testing.T) {
	all := app.Settings()
	var got, want []string
	for _, s := range all {
		got = append(got, s.Name)
		if s.Description == "" {
			t.Errorf("%s: got no description", s.Name)
		}
	}
	for _, s := range settingRows() {
		want = append(want, s.name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("settings:\n got %v\nwant %v", got, want)
	}
}

func TestHelpNamesEverySettingWithItsDefault(t *testing.T) {
	var help bytes.Buffer
	if err := app.WriteHelp(&help); err != nil {
		t.Fatal(err)
	}
	all := app.Settings()
	for _, s := range all {
		row := strings.Fields(s.Name + " " + s.Default + " " + s.Description)
		found := slices.ContainsFunc(strings.Split(help.String(), "\n"), func(line string) bool {
			return slices.Equal(strings.Fields(line), row)
		})
		if !found {
			t.Errorf("help: got no line %q", strings.Join(row, " "))
		}
	}
}

func TestEmptyWorkerNameIsTheHosts(t *testing.T) {
	cfg, err := load(t, map[string]string{"WORKER_NAME": ""})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Worker.Name, hostname(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	const secret = "hunter2"
	secrets := map[string]string{
		"ANCHORBROWSER_API_KEY": secret,
		"NATS_URL":              "nats://a:4222,nats://ann:" + secret + "@b:4222",
		"ADMIN_TOKEN":           secret,
	}
	logins := []map[string]string{
		{},
		{"NATS_URL": "nats://" + secret + "@a"},
		{"NATS_URL": "a", "NATS_USER": "ann", "NATS_PASSWORD": secret},
		{"NATS_URL": "a", "NATS_TOKEN": secret},
	}
	for _, login := range logins {
		cfg, err := load(t, secrets, login)
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			for _, value := range []any{cfg, &cfg, cfg.NATS} {
				if got := fmt.Sprintf(verb, value); strings.Contains(got, secret) {
					t.Errorf("%s: got %s, want no secret in it", verb, got)
				}
			}
		}
	}
	_, err := load(t, secrets, map[string]string{
		"NATS_URL":      "nats://ann:" + secret + "@b:port",
		"NATS_PASSWORD": secret,
		"ADMIN_TOKEN":   secret + "\n",
	})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v, want an error without the secret", err)
	}
}
