package k8s_test

import (
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
)

// Series are written as for promtool, with a sample a minute. Promtool's own tester, the package rules and promqltest need
// Alertmanager or the clients of three clouds, some sixty modules. Prometheus's engine and its templates do not, so the
// little that connects them is here.
const minute = time.Minute

const (
	waiting = `nats_consumer_num_pending{stream_name="TASKS", consumer_name="worker", is_consumer_leader="true"} `
	held    = `jetstream_consumer_num_ack_pending{stream_name="TASKS", consumer_name="worker", is_consumer_leader="true"} `
	ready   = `kube_deployment_status_replicas_ready{namespace="capstan", deployment="worker"} `
	blind   = `keda_scaler_detail_errors_total{scaledObject="worker"} `
	in      = `{namespace="capstan", pod="worker-1"`
)

func TestAlerts(t *testing.T) {
	tests := []struct {
		name, alert string
		series      []string
		at          time.Duration
		want        bool
	}{
		{"a key that is refused, probe after probe", "CapstanSubmissionsStopped", []string{paused("unauthorized", "1 1 0 1 1 0 1 1 0 1 1 0 1 1 0")}, 14 * minute, true},
		{"a key that was good until now", "CapstanSubmissionsStopped", []string{paused("unauthorized", "0x30 1x30"), accepted("0+5x30 150x30")}, 45 * minute, true},
		{"a gateway's page in place of the API", "CapstanSubmissionsStopped", []string{paused("not_the_api", "1x60"), accepted("0x60")}, 14 * minute, true},
		{"a proxy that wants a login", "CapstanSubmissionsStopped", []string{paused("proxy_login", "1x60")}, 14 * minute, true},
		{"refusals only", "CapstanSubmissionsStopped", []string{paused("refusing", "1x60")}, 14 * minute, true},
		{"one worker without the new key", "CapstanSubmissionsStopped", []string{paused("unauthorized", "1x60"), `capstan_submissions_total{namespace="capstan", pod="worker-2", result="accepted"} 0+5x60`}, 14 * minute, true},
		{"one task's own 403", "CapstanSubmissionsStopped", []string{paused("forbidden", "0 0 1 0x20")}, 14 * minute, false},
		{"403s of some tasks, between others", "CapstanSubmissionsStopped", []string{paused("forbidden", "1x60"), accepted("0+5x60")}, 30 * minute, false},
		{"a full plan is not for the pager", "CapstanSubmissionsStopped", []string{paused("rate_limited", "1x60")}, 60 * minute, false},
		{"an API that is down for long", "CapstanSubmissionsHeldUp", []string{paused("unreachable", "1x60"), accepted("5x60")}, 40 * minute, true},
		{"an API that comes back", "CapstanSubmissionsHeldUp", []string{paused("unreachable", "1x15 0x45")}, 40 * minute, false},
		{"an API that is slow", "CapstanSubmissionsHeldUp", []string{paused("unavailable", "1x60"), accepted("0+1x60")}, 40 * minute, false},
		{"reasons that take turns", "CapstanSubmissionsHeldUp", []string{paused("unready", "1x20 0x40"), paused("unavailable", "0x20 1x40")}, 32 * minute, false},
		{"no credits are the other alert's", "CapstanSubmissionsHeldUp", []string{paused("no_credits", "1x60")}, 40 * minute, false},
		{"a full plan for a night", "CapstanPlanIsFull", []string{paused("rate_limited", "1x300"), accepted("0 0x50 25x60 50x60 75x60 100x60")}, 290 * minute, false},
		{"a plan that others fill", "CapstanPlanIsFull", []string{paused("rate_limited", "1x300"), accepted("25x300")}, 200 * minute, true},
		{"polls that are refused", "CapstanPollsPaused", []string{`capstan_polls_paused` + in + `} 1x60`}, 40 * minute, true},
		{"polls that are refused at times", "CapstanPollsPaused", []string{`capstan_polls_paused` + in + `} ` + strings.Repeat("1 0 ", 30)}, 40 * minute, false},
		{"an answer that was lost", "CapstanSubmissionsUnknown", []string{`capstan_submissions_total` + in + `, result="unknown"} 0x10 1x10`}, 15 * minute, true},
		{"an answer that was lost long ago", "CapstanSubmissionsUnknown", []string{`capstan_submissions_total` + in + `, result="unknown"} 1x60`}, 60 * minute, false},
		{"submissions that are accepted", "CapstanSubmissionsUnknown", []string{`capstan_submissions_total` + in + `, result="accepted"} 0+60x60`}, 60 * minute, false},
		{"a queue that grows from day to day", "CapstanTasksWait", []string{waiting + "100000+50x1700", begun("0+60x1700")}, 1600 * minute, true},
		{"a queue of two days from today", "CapstanTasksWait", []string{waiting + "172800x150", begun("0+60x150")}, 140 * minute, false},
		{"a batch for three days", "CapstanTasksWait", []string{waiting + "260000-60x1700", begun("0+60x1700")}, 1600 * minute, false},
		{"a batch for four hours", "CapstanTasksWait", []string{waiting + "50000-200x240", begun("0+200x240")}, 140 * minute, false},
		{"a batch of tasks that run for an hour", "CapstanTasksWait", []string{waiting + `100x300`, begun("25x59 50x59 75x59 100x59 125x59")}, 290 * minute, false},
		{"no queue and no work", "CapstanTasksWait", []string{waiting + `0x150`, begun("7x150")}, 140 * minute, false},
		{"a request that no worker takes", "CapstanOldestWaits", []string{`capstan_oldest_waiting_seconds` + in + `, where="stream"} 0+60x100`}, 80 * minute, true},
		{"a worker whose pause does not end", "CapstanOldestWaits", []string{`capstan_oldest_waiting_seconds` + in + `, where="worker"} 0+60x200`, accepted("0+5x50 250x150")}, 180 * minute, true},
		{"a batch for four hours", "CapstanOldestWaits", []string{`capstan_oldest_waiting_seconds` + in + `, where="stream"} 0+60x240`, accepted("0+200x240")}, 230 * minute, false},
		{"a batch that the plan lets through one by one", "CapstanOldestWaits", []string{`capstan_oldest_waiting_seconds` + in + `, where="worker"} 0+60x240`, accepted("0x29 1x29 2x29 3x29 4x29 5x29 6x29 7x29")}, 230 * minute, false},
		{"requests wait no longer than half an hour", "CapstanOldestWaits", []string{`capstan_oldest_waiting_seconds` + in + `, where="worker"} 1800x100`}, 80 * minute, false},
		{"a stream that takes no event", "CapstanNATSRetries", retries("0+60x40", "5x40"), 30 * minute, true},
		{"one retry among many calls", "CapstanNATSRetries", retries("0x10 1x30", "0+600x40"), 14 * minute, false},
		{"tasks wait, no worker is ready", "CapstanNoReadyWorker", []string{waiting + `5x20`, ready + `0x20`}, 10 * minute, true},
		{"tasks were held, no Deployment any more", "CapstanNoReadyWorker", []string{held + `5x20`}, 10 * minute, true},
		{"scaled to 0 when idle", "CapstanNoReadyWorker", []string{waiting + `0x20`, held + `0x20`, ready + `0x20`}, 10 * minute, false},
		{"tasks wait, a worker is ready", "CapstanNoReadyWorker", []string{waiting + `5x20`, ready + `1x20`}, 10 * minute, false},
		{"a pause that does not end", "CapstanNoReadyWorker", []string{waiting + `5x20`, ready + `3x20`, paused("unauthorized", "1x20")}, 10 * minute, false},
		{"workers that die again and again", "CapstanRedeliveries", []string{`capstan_redeliveries_total` + in + `} 0+20x120`, `capstan_tasks_total` + in + `, status="succeeded"} 0+60x120`}, 100 * minute, true},
		{"a deploy", "CapstanRedeliveries", []string{`capstan_redeliveries_total` + in + `} 0x30 1000x90`, `capstan_tasks_total` + in + `, status="succeeded"} 0+60x120`}, 40 * minute, false},
		{"a pause for a night", "CapstanOldestWaits", []string{`capstan_oldest_waiting_seconds` + in + `, where="worker"} 0+60x240`, pausedByOperator("1x240")}, 230 * minute, false},
		{"a pause that is long over", "CapstanOldestWaits", []string{`capstan_oldest_waiting_seconds` + in + `, where="worker"} 0+60x240`, pausedByOperator("1x60 0x180")}, 230 * minute, true},
		{"a pause for a day", "CapstanTasksWait", []string{waiting + "100x1700", begun("0x1700"), pausedByOperator("1x1700")}, 1600 * minute, false},
		{"a queue that does not move", "CapstanTasksWait", []string{waiting + "100x1700", begun("0x1700")}, 1600 * minute, true},
		{"a pause for a night", "CapstanPauseForgotten", []string{pausedByOperator("1x600")}, 590 * minute, false},
		{"a pause that nobody ends", "CapstanPauseForgotten", []string{pausedByOperator("1x1600")}, 1500 * minute, true},
		{"a request that cannot be read", "CapstanDeadLetters", []string{letters("invalid_request", "0x10 1x10")}, 15 * minute, true},
		{"no dead letter", "CapstanDeadLetters", []string{letters("poisoned", "3x60")}, 60 * minute, false},
		{"tasks that fail", "CapstanDeadLetters", []string{letters("workflow_failed", "0+5x60")}, 60 * minute, false},
		{"a full stream of dead letters", "CapstanDeadLettersRefused", []string{`capstan_dead_letters_refused_total` + in + `} 0x10 1x10`}, 15 * minute, true},
		{"no letter is refused", "CapstanDeadLettersRefused", []string{`capstan_dead_letters_refused_total` + in + `} 0x60`}, 60 * minute, false},
		{"a panic", "CapstanPanics", []string{`capstan_handler_panics_total` + in + `} 0x10 1x10`}, 15 * minute, true},
		{"no panic", "CapstanPanics", []string{`capstan_handler_panics_total` + in + `} 0x60`}, 60 * minute, false},
		{"ends are detected late", "CapstanDetectionDelay", detected("0+1x60", "0+10x60"), 50 * minute, true},
		{"ends are detected in time", "CapstanDetectionDelay", detected("0+10x60", "0+10x60"), 50 * minute, false},
		{"KEDA sees errors only", "CapstanScalerBlind", []string{blind + `0+4x30`}, 20 * minute, true},
		{"KEDA saw an error", "CapstanScalerBlind", []string{blind + `0x5 1x30`}, 14 * minute, false},
	}
	tested := 0
	for _, r := range rules(t) {
		fired := false
		for _, tt := range tests {
			if tt.alert != r.Alert {
				continue
			}
			tested++
			fired = fired || tt.want
			t.Run(tt.alert+"/"+tt.name, func(t *testing.T) {
				firing := fires(t, r, load(t, tt.series), tt.at)
				if got := len(firing) > 0; got != tt.want {
					t.Errorf("fires after %v: got %v, want %v", tt.at, got, tt.want)
				}
				for _, s := range firing {
					checkTexts(t, r, s)
				}
			})
		}
		url := "https://github.com/capstan-worker/capstan/blob/main/docs/runbook.md#" + strings.ToLower(r.Alert)
		if got := r.Annotations["runbook_url"]; got != url || !fired {
			t.Errorf("alert %s: got runbook_url %s, and a test in which it fires: %v, want %s and one", r.Alert, got, fired, url)
		}
	}
	if tested != len(tests) {
		t.Errorf("got tests of %d alerts that exist, want %d", tested, len(tests))
	}
}

// paused says whether one worker's submissions are paused for a reason.
func paused(reason, values string) string {
	return `capstan_submissions_paused` + in + `, reason="` + reason + `"} ` + values
}

// accepted counts the submissions of one worker that the API accepted.
func accepted(values string) string {
	return `capstan_submissions_total` + in + `, result="accepted"} ` + values
}

// pausedByOperator says whether an operator has paused submissions.
func pausedByOperator(values string) string { return `capstan_operator_pause` + in + `} ` + values }

// letters counts the dead letters of one worker with a code.
func letters(code, values string) string {
	return `capstan_dead_letters_total` + in + `, code="` + code + `"} ` + values
}

// begun counts the tasks of one worker whose workflow has begun.
func begun(values string) string { return `capstan_task_queued_seconds_count` + in + `} ` + values }

// retries counts repeated attempts to publish events, and finished calls.
func retries(repeated, ended string) []string {
	const event = in + `, call="publish_event"} `
	return []string{`capstan_nats_retries_total` + event + repeated, `capstan_nats_call_seconds_count` + event + ended}
}

// detected is a histogram of ends: those that were detected within 15 s, and all.
func detected(soon, all string) []string {
	const name = `capstan_task_detection_delay_seconds_bucket` + in
	return []string{name + `, le="15"} ` + soon, name + `, le="40.96"} ` + all, name + `, le="+Inf"} ` + all}
}

// checkTexts fills in the texts of an alert that fires, as Prometheus does. There, a missing label leaves a gap and is no
// error.
func checkTexts(t *testing.T, r monitoringv1.Rule, s promql.Sample) {
	t.Helper()
	const variables = "{{$labels := .Labels}}{{$value := .Value}}" // which Prometheus puts before each text
	for _, text := range []string{r.Annotations["summary"], r.Annotations["description"], r.Labels["severity"]} {
		data := template.AlertTemplateData(s.Metric.Map(), nil, "", s)
		filled, err := template.NewTemplateExpander(t.Context(), variables+text, r.Alert, data, model.Time(s.T), nil, nil, []string{"missingkey=error"}).Expand()
		if err != nil || filled == "" {
			t.Errorf("%s: %q: got %q, %v, want a text without gaps", r.Alert, text, filled, err)
		}
	}
}

// fires returns the samples that the alert fires for: those that its expression has returned in each minute of its duration,
// with their present value.
func fires(t *testing.T, r monitoringv1.Rule, data storage.Queryable, at time.Duration) []promql.Sample {
	t.Helper()
	var lasting model.Duration
	if r.For != nil {
		lasting = parsed(t, model.ParseDuration, string(*r.For))
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	end := time.Unix(0, 0).Add(at)
	q, err := engine.NewRangeQuery(t.Context(), data, nil, r.Expr.String(), end.Add(-time.Duration(lasting)), end, minute)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	matrix, err := q.Exec(t.Context()).Matrix()
	if err != nil {
		t.Fatal(err)
	}
	var firing []promql.Sample
	for _, s := range matrix {
		if last := len(s.Floats) - 1; last == int(time.Duration(lasting)/minute) {
			firing = append(firing, promql.Sample{Metric: s.Metric, T: s.Floats[last].T, F: s.Floats[last].F})
		}
	}
	return firing
}

func rules(t *testing.T) []monitoringv1.Rule {
	t.Helper()
	return only[monitoringv1.PrometheusRule](t, production(t, "", "")).Spec.Groups[0].Rules
}

// load returns a storage with the series, which begin at time 0.
func load(t *testing.T, lines []string) storage.Queryable {
	t.Helper()
	var all []storage.Series
	for _, line := range lines {
		name, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		s := promql.Series{Metric: name}
		for i, v := range values {
			s.Floats = append(s.Floats, promql.FPoint{T: int64(i) * minute.Milliseconds(), F: v.Value})
		}
		all = append(all, promql.NewStorageSeries(s))
	}
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			found := []storage.Series{nil} // Next comes before At
			for _, s := range all {
				if labels.Selector(matchers).Matches(s.Labels()) {
					found = append(found, s)
				}
			}
			return &set{storage.EmptySeriesSet(), found}
		},
	}}
}

// set is a storage.SeriesSet without errors and warnings.
type set struct {
	storage.SeriesSet
	rest []storage.Series
}

func (s *set) Next() bool {
	s.rest = s.rest[1:]
	return len(s.rest) > 0
}

func (s *set) At() storage.Series { return s.rest[0] }
