package app_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/settings"
)

func TestMisspelledSettingsAreFound(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]string{
		"MAX_INFLIGHT":                 "MAX_IN_FLIGHT",
		"MAX_INFLIGHT_TOTAL":           "MAX_IN_FLIGHT_TOTAL",
		"max_in_flight":                "MAX_IN_FLIGHT",
		"ANCHOR_API_KEY":               "ANCHORBROWSER_API_KEY",
		"ANCHOR_BROWSER_API_KEY":       "ANCHORBROWSER_API_KEY",
		"ANCHOR_BASE_URL":              "ANCHORBROWSER_BASE_URL",
		"ANCHORBROWSER_REQUESTTIMEOUT": "ANCHORBROWSER_REQUEST_TIMEOUT",
		"NATS_URLS":                    "NATS_URL",
		"NATS_URI":                     "NATS_URL",
		"NATS_NKEY_SEED":               "NATS_NKEY_SEED_FILE",
		"NATS_REPLICA":                 "NATS_REPLICAS",
		"NATS_PASSWD":                  "NATS_PASSWORD",
		"POLL_INTERVALL":               "POLL_INTERVAL",
		"POLL_INTREVAL":                "POLL_INTERVAL",
		"ACKWAIT":                      "ACK_WAIT",
		"LOGLEVEL":                     "LOG_LEVEL",
		"ADMIN_ADDRESS":                "ADMIN_ADDR",
		"DRAIN_TIME_OUT":               "DRAIN_TIMEOUT",
		"TASK_TIMEOUTS":                "TASK_TIMEOUT",
	} {
		got := settings.Misspelled(app.Settings(), []string{"HOME=/root", variable + "=10"})
		if want := []settings.Misspelling{{Variable: variable, Nearest: want}}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestVariablesOfOthersAreNoMisspelledSettings(t *testing.T) {
	t.Parallel()
	all := app.Settings()
	var environ []string
	for _, s := range all {
		environ = append(environ, s.Name+"=x")
	}
	others := `PATH HOME HOSTNAME USER PWD TERM LANG TZ TMPDIR GOMEMLIMIT GOMAXPROCS GOGC NO_COLOR HTTPS_PROXY NO_PROXY
		KUBERNETES_SERVICE_HOST KUBERNETES_PORT_443_TCP_ADDR NATS_PORT NATS_SERVICE_HOST NATS_SERVICE_PORT NATS_SERVICE_PORT_CLIENT
		NATS_PORT_4222_TCP NATS_PORT_4222_TCP_PROTO NATS_PORT_4222_TCP_PORT NATS_PORT_4222_TCP_ADDR NATS_VERSION NATS_SERVER
		NATS_CA NATS_CERT NATS_KEY NATS_NKEY NATS_CONTEXT NATS_TIMEOUT NATS_COLOR NATS_SOCKS_PROXY
		WORKER_SERVICE_HOST WORKER_PORT WORKER_PORT_80_TCP WORKER_ID LOG_DIR LOG_FILE RESULT_BACKEND TASK_ID TASK_NAME REQUEST_METHOD
		CONSUMER_KEY ADMIN_EMAIL ADMIN_USER OTEL_SERVICE_NAME OTEL_EXPORTER_OTLP_ENDPOINT OTEL_TRACES_SAMPLER OTEL_EXPORTER_OTLP_TIMEOUT`
	for name := range strings.FieldsSeq(others) {
		environ = append(environ, name+"=x")
	}
	if found := settings.Misspelled(all, environ); len(found) > 0 {
		t.Errorf("got %v, want none", found)
	}
}

// The name of the key is the one that is misspelled most: without it the worker does not start.
func TestAMissingSettingIsReportedWithItsMisspelling(t *testing.T) {
	t.Setenv("ANCHORBROWSER_APIKEY", "sk-1")
	t.Setenv("ANCHORBROWSER_API_KEY", "")
	want := "ANCHORBROWSER_APIKEY is ignored: no setting has this name. Did you mean ANCHORBROWSER_API_KEY?\n"
	if status, _, got := command(); status != 1 || !strings.HasPrefix(got, "set ANCHORBROWSER_API_KEY") || !strings.HasSuffix(got, want) {
		t.Errorf("got %d, %s, want what is missing, and %s", status, got, want)
	}
}

func TestAWorkerLogsMisspelledSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1", "MAX_INFLIGHT=10", "NATS_SERVICE_HOST=10.0.0.1")
	for _, want := range []string{`"variable":"MAX_INFLIGHT"`, `"did_you_mean":"MAX_IN_FLIGHT"`, `"level":"warn"`} {
		if err := p.logged(want); err != nil {
			t.Error(err)
		}
	}
	if p.logged("NATS_SERVICE_HOST") == nil {
		t.Error("the worker warned of a variable that Kubernetes sets")
	}
}
