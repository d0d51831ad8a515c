package k8s_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// metricsPath is the path of a worker's metrics.
const metricsPath = "/metrics"

// foreign are series of other programs, from their source: prometheus-nats-exporter (collector/jsz.go; with the prefix nats
// in the NATS Helm chart), kube-state-metrics (docs/metrics/workload/deployment-metrics.md) and KEDA
// (pkg/metricscollector/prommetrics.go).
var foreign = []string{
	waiting, strings.Replace(waiting, "nats", "jetstream", 1), held, strings.Replace(held, "jetstream", "nats", 1), ready, blind,
}

func TestAlertsAndTheDashboardUseMetricsThatExist(t *testing.T) {
	known := demoSeries(t)
	for _, series := range foreign {
		known = append(known, parsed(t, parser.NewParser(parser.Options{}).ParseMetric, series))
	}
	for _, r := range rules(t) {
		checkQuery(t, known, r.Expr.String())
	}
	for _, q := range dashboardQueries(t) {
		checkQuery(t, known, strings.NewReplacer("$__rate_interval", "5m", "$namespace", "capstan").Replace(q))
	}
}

// dashboardQueries returns the queries of each panel and variable of Grafana's dashboard.
func dashboardQueries(t *testing.T) []string {
	t.Helper()
	var dashboard struct {
		Templating struct {
			List []struct{ Type, Query string }
		}
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "../components/grafana/capstan.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			found = append(found, target.Expr)
		}
	}
	// A variable whose metric does not exist has no values, and then all panels are empty. The values of a label are those
	// that an aggregation by it keeps.
	values := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	for _, v := range dashboard.Templating.List {
		if v.Type != "datasource" {
			found = append(found, values.ReplaceAllString(v.Query, "count by ($2) ($1)"))
		}
	}
	return found
}

// checkQuery checks that each selector finds series, and that those that a query aggregates have the labels that it keeps.
func checkQuery(t *testing.T, known []labels.Labels, query string) {
	t.Helper()
	expr := parsed(t, parser.NewParser(parser.Options{}).ParseExpr, query)
	for _, matchers := range parser.ExtractSelectors(expr) {
		if !slices.ContainsFunc(known, labels.Selector(matchers).Matches) {
			t.Errorf("%s: got %v, want series that exist", query, matchers)
		}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		aggregation, ok := node.(*parser.AggregateExpr)
		if !ok {
			return nil
		}
		for _, label := range aggregation.Grouping {
			if !slices.ContainsFunc(parser.ExtractSelectors(aggregation.Expr), func(matchers []*labels.Matcher) bool {
				return slices.ContainsFunc(known, func(s labels.Labels) bool { return s.Has(label) && labels.Selector(matchers).Matches(s) })
			}) {
				t.Errorf("%s: by (%s): got no such label in %s, want one", query, label, aggregation.Expr)
			}
		}
		return nil
	})
}

// demoSeries returns the series that the worker of `capstan demo` exports when its three tasks have finished, with the
// labels of their target.
func demoSeries(t *testing.T) []labels.Labels {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "capstan")
	output(t, "go build -o "+binary+" ./cmd/capstan")
	cmd := exec.CommandContext(t.Context(), binary, "demo", "--port=0")
	cmd.Env = []string{"TMPDIR=" + t.TempDir()}
	printed, ok := printedUntil(t, cmd, "Done in ")
	address := regexp.MustCompile(`(?m)^\s+worker\s+(http://\S+)`).FindStringSubmatch(printed)
	if !ok || address == nil {
		t.Fatalf("demo: got %s, want three tasks", printed)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address[1]+metricsPath, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var found []labels.Labels
	for _, line := range regexp.MustCompile(`(?m)^[a-z].*[}\w] `).FindAllString(string(text), -1) {
		series := labels.NewBuilder(parsed(t, parser.NewParser(parser.Options{}).ParseMetric, line))
		found = append(found, series.Set("namespace", "capstan").Set("pod", "worker-1").Set("container", "worker").Labels())
	}
	return found
}
