package k8s_test

import (
	"maps"
	"net/url"
	"regexp"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
)

// variables are what Prometheus puts before each text of an alert.
const variables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

var label = regexp.MustCompile(`\$labels\.(\w+)`)

// checkTexts fills in an alert's labels and annotations for what it fires for, as Prometheus does. A label that is
// absent makes an empty place there, and no error.
func checkTexts(t *testing.T, r monitoringv1.Rule, s promql.Sample) {
	t.Helper()
	for _, key := range []string{"summary", "description"} {
		if r.Annotations[key] == "" {
			t.Errorf("%s: got no %s, want one", r.Alert, key)
		}
	}
	texts := maps.Clone(r.Annotations)
	maps.Copy(texts, r.Labels)
	for key, text := range texts {
		for _, name := range label.FindAllStringSubmatch(text, -1) {
			if !s.Metric.Has(name[1]) {
				t.Errorf("%s: %s: got label %s, want one of %s", r.Alert, key, name[1], s.Metric)
			}
		}
		filled, err := fill(t, r.Alert, text, s)
		if err != nil {
			t.Errorf("%s: %s: %v", r.Alert, key, err)
		}
		if filled == "" || strings.Contains(filled, "{{") || strings.Contains(filled, "<no value>") {
			t.Errorf("%s: %s: got %q, want a text that is filled in", r.Alert, key, filled)
		}
	}
}

func fill(t *testing.T, name, text string, s promql.Sample) (string, error) {
	t.Helper()
	data := template.AlertTemplateData(s.Metric.Map(), nil, "", s)
	return template.NewTemplateExpander(t.Context(), variables+text, name, data, model.Time(s.T), nil, &url.URL{}, nil).Expand()
}

func TestTextsAreFilledInAsPrometheusDoes(t *testing.T) {
	s := promql.Sample{F: 5400}
	for text, want := range map[string]string{
		"after {{ $value | humanizeDuration }}": "after 1h 30m 0s",
		"{{ $value | humaniseDuration }}":       "",
		"{{ $labels.reason }":                   "",
		"{{ $values }}":                         "",
	} {
		if got, err := fill(t, "test", text, s); got != want && want != "" || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
}
