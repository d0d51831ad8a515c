package k8s_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// series are the labels of a metric with their possible values; nil: any.
type series map[string]map[string]bool

// foreign are metrics of other programs, from their source: prometheus-nats-exporter (collector/jsz.go; with the prefix nats
// in the NATS Helm chart), kube-state-metrics (docs/metrics/workload/deployment-metrics.md) and KEDA
// (pkg/metricscollector/prommetrics.go).
var foreign = map[string]series{
	"jetstream_consumer_num_pending":        {"stream_name": nil, "consumer_name": nil, "is_consumer_leader": nil},
	"jetstream_consumer_num_ack_pending":    {"stream_name": nil, "consumer_name": nil, "is_consumer_leader": nil},
	"nats_consumer_num_pending":             {"stream_name": nil, "consumer_name": nil, "is_consumer_leader": nil},
	"nats_consumer_num_ack_pending":         {"stream_name": nil, "consumer_name": nil, "is_consumer_leader": nil},
	"kube_deployment_status_replicas_ready": {"namespace": nil, "deployment": nil},
	"keda_scaler_detail_errors_total":       {"scaledObject": nil},
}

// metricsPath is the path of a worker's metrics.
const metricsPath = "/metrics"

// ofTarget are the labels that the Prometheus operator adds to the metrics of pods.
var ofTarget = []string{"namespace", "pod", "container", "instance", "job"}

func TestEveryAlertUsesMetricsThatExist(t *testing.T) {
	for _, r := range rules(t) {
		checkQuery(t, r.Alert, r.Expr.String())
	}
}

func TestEveryPanelUsesMetricsThatExist(t *testing.T) {
	for title, queries := range panels(t) {
		if len(queries) == 0 {
			t.Errorf("panel %s: got no query, want one", title)
		}
		for _, q := range queries {
			checkQuery(t, title, strings.NewReplacer("$__rate_interval", "5m", "$namespace", "capstan").Replace(q))
		}
	}
}

// A variable whose metric does not exist has no values, and then all panels are empty.
func TestEveryVariableOfTheDashboardUsesMetricsThatExist(t *testing.T) {
	values := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	for _, v := range readDashboard(t).Templating.List {
		if v.Type == "datasource" {
			continue
		}
		asked := values.FindStringSubmatch(v.Query)
		if v.Type != "query" || asked == nil {
			t.Errorf("variable %s: got %s %s, want a query for the values of a label", v.Name, v.Type, v.Query)
			continue
		}
		// The values of a label are those that an aggregation by it keeps.
		checkQuery(t, v.Name, "count by ("+asked[2]+") ("+asked[1]+")")
	}
}

func TestTheDashboardShowsEveryMetricOfTheWorker(t *testing.T) {
	var shown strings.Builder
	for _, queries := range panels(t) {
		shown.WriteString(strings.Join(queries, "\n"))
	}
	for name := range exported(t) {
		plain := regexp.MustCompile("_(bucket|sum|count)$").ReplaceAllString(name, "")
		if strings.HasPrefix(name, "capstan_") && !strings.Contains(shown.String(), plain) {
			t.Errorf("dashboard: got no panel with %s, want one", plain)
		}
	}
}

func rules(t *testing.T) []monitoringv1.Rule {
	t.Helper()
	r := only[*monitoringv1.PrometheusRule](t, overlays(t)["base and prometheusrule"], "PrometheusRule")
	return r.Spec.Groups[0].Rules
}

// dashboard is the checked part of Grafana's dashboard.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		Type, Title string
		Targets     []struct{ Expr string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "../components/grafana/capstan.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// panels returns the queries of each panel of the dashboard, without the rows.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			found[p.Title] = append(found[p.Title], target.Expr)
		}
		if p.Type != "row" && found[p.Title] == nil {
			found[p.Title] = []string{}
		}
	}
	return found
}

// checkQuery checks each selector, and the labels that each aggregation keeps.
func checkQuery(t *testing.T, name, query string) {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			checkSelector(t, name, n)
		case *parser.AggregateExpr:
			for _, s := range selectors(n) {
				for _, label := range n.Grouping {
					if _, ok := labelsOf(t, s)[label]; !ok {
						t.Errorf("%s: by (%s): got no such label of %s, want one", name, label, s)
					}
				}
			}
		}
		return nil
	})
}

func checkSelector(t *testing.T, name string, s *parser.VectorSelector) {
	t.Helper()
	known := labelsOf(t, s)
	if known == nil {
		t.Errorf("%s: got %s, want a metric that exists", name, s)
	}
	for _, m := range s.LabelMatchers {
		values, ok := known[m.Name]
		if m.Name != model.MetricNameLabel && !ok {
			t.Errorf("%s: %s: got label %s, want one that exists", name, s, m.Name)
		}
		if values != nil && !matchesOne(m, values) {
			t.Errorf("%s: %s: got %v, want one that matches something", name, s, m)
		}
	}
}

func matchesOne(m *labels.Matcher, values map[string]bool) bool {
	for v := range values {
		if m.Matches(v) {
			return true
		}
	}
	return false
}

// selectors returns the selectors whose labels an expression keeps. A set operation such as `unless` keeps its left side.
func selectors(n parser.Node) []*parser.VectorSelector {
	if s, ok := n.(*parser.VectorSelector); ok {
		return []*parser.VectorSelector{s}
	}
	if b, ok := n.(*parser.BinaryExpr); ok && b.Op.IsSetOperator() && b.Op != parser.LOR {
		return selectors(b.LHS)
	}
	var found []*parser.VectorSelector
	for child := range parser.ChildrenIter(n) {
		found = append(found, selectors(child)...)
	}
	return found
}

// labelsOf returns the labels of one of the metrics that the selector matches; nil: there is none.
func labelsOf(t *testing.T, s *parser.VectorSelector) series {
	t.Helper()
	i := slices.IndexFunc(s.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == model.MetricNameLabel })
	for _, metrics := range []map[string]series{exported(t), foreign} {
		for name, known := range metrics {
			if s.LabelMatchers[i].Matches(name) {
				return known
			}
		}
	}
	return nil
}

// exported returns the series of the demo's worker, which has run three tasks.
func exported(t *testing.T) map[string]series {
	t.Helper()
	families, err := demo()
	if err != nil {
		t.Fatalf("metrics of the demo's worker: %v", err)
	}
	found := map[string]series{}
	for name, family := range families {
		known := series{}
		for _, label := range ofTarget {
			known[label] = nil
		}
		for _, m := range family.Metric {
			for _, l := range m.Label {
				if known[l.GetName()] == nil {
					known[l.GetName()] = map[string]bool{}
				}
				known[l.GetName()][l.GetValue()] = true
			}
		}
		if family.GetType() != dto.MetricType_HISTOGRAM {
			found[name] = known
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			found[name+suffix] = known
		}
		known["le"] = nil
	}
	return found
}

// demo scrapes the worker of `capstan demo` when its tasks have finished.
var demo = sync.OnceValues(func() (map[string]*dto.MetricFamily, error) {
	dir, err := os.MkdirTemp("", "capstan-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "capstan"), "./cmd/capstan")
	build.Dir = filepath.FromSlash(root)
	if err := build.Run(); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "capstan"), "demo", "--port=0")
	cmd.Env = []string{"TMPDIR=" + dir}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Signal(syscall.SIGINT) }()
	address := regexp.MustCompile(`^\s+worker\s+(http://\S+)`)
	var url string
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.HasPrefix(lines.Text(), "Done in "); {
		if found := address.FindStringSubmatch(lines.Text()); found != nil {
			url = found[1]
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+metricsPath, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text := expfmt.NewTextParser(model.UTF8Validation)
	return text.TextToMetricFamilies(answer.Body)
})
