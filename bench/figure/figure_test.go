package figure_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/bench/figure"
)

func TestQuantileInterpolatesBetweenNeighbors(t *testing.T) {
	values := []float64{50, 10, 20, 30, 40}
	for q, want := range map[float64]float64{0: 10, 0.25: 20, 0.5: 30, 0.99: 49.6, 1: 50} {
		if got := figure.Quantile(values, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("Quantile(%v): got %v, want %v", q, got, want)
		}
	}
	if got := figure.Median(nil); !math.IsNaN(got) {
		t.Errorf("Median of no values: got %v, want NaN", got)
	}
}

// A busy machine slows both sides of a round, so the median of the rounds' ratios counts, not the ratio of the medians.
func TestGoalsBoundTheMedianRatioOrTheValue(t *testing.T) {
	row := figure.Row{Values: []float64{1, 300, 3}, Than: "floor", Others: []float64{1, 200, 2}} // ratios 1, 1.5, 1.5
	for _, tt := range []struct {
		goal figure.Goal
		met  bool
	}{
		{figure.Goal{Most: 1.5}, true},
		{figure.Goal{Most: 1.4}, false},
		{figure.Goal{Least: 1.6}, false},
		{figure.Goal{Least: 1.2, Most: 1.6}, true},
		{figure.Goal{Most: 2.9, OfValue: true}, false},
		{figure.Goal{Most: 3, OfValue: true}, true},
	} {
		row.Goal = tt.goal
		if got := row.Met(); got != tt.met {
			t.Errorf("goal %+v: got %v, want %v", tt.goal, got, tt.met)
		}
	}
	negative := figure.Row{Values: []float64{-35}, Goal: figure.Goal{Most: 8}}
	if negative.Met() {
		t.Error("a negative amount: got met, want missed")
	}
}

func TestShortKeepsThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.854: "0.85", 12.34: "12.3", 99.97: "100.0", 1234.4: "1234", 90000: "90,000", 1234567: "1,234,567"} {
		if got := figure.Short(v); got != want {
			t.Errorf("Short(%v): got %q, want %q", v, got, want)
		}
	}
}

func TestADocumentShowsTheLatestReports(t *testing.T) {
	dir := t.TempDir()
	figures, document := filepath.Join(dir, "figures.json"), filepath.Join(dir, "figures.md")
	const head = "# Figures\n<!-- headlines: written by make bench -->\nold\n<!-- end -->\n"
	const tail = "text\n<!-- tables: written by make bench -->\nold\n<!-- end -->\nthe end\n"
	if err := os.WriteFile(document, []byte(head+tail), 0o600); err != nil {
		t.Fatal(err)
	}
	var old, a, b figure.Report
	old.Name, old.About, a.Name, b.Name = "a", "an older report", "a", "b"
	for _, round := range []struct{ worker, floor float64 }{{50, 100}, {70, 100}} {
		row := figure.Row{What: "rate", Unit: "tasks/s", Goal: figure.Goal{Least: 0.8}, Headline: "through one worker"}
		a.Add("worker", round.worker, row)
		a.Add("floor", round.floor, row)
	}
	b.Add("worker", 4, figure.Row{What: "memory", Unit: "KiB", Goal: figure.Goal{Most: 6}})
	for _, r := range []figure.Report{old, b, a} {
		if err := figure.Save(figures, r); err != nil {
			t.Fatal(err)
		}
	}
	reports, err := figure.Load(figures)
	if err == nil {
		err = figure.Document(document, reports)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"* **60.0 tasks/s** through one worker\n",
		"| rate | 60.0 tasks/s (worker) | 100 (floor) | 0.60 (0.50–0.70) | ≥ 0.80 | **missed** |",
		"| memory | 4.00 KiB (worker) |  |  | ≤ 6.00 KiB | met |",
		"# Figures", "text\n", "the end\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("document: got %s\nwant it to contain %s", text, want)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Errorf("document: got %s\nwant no older text in it", text)
	}
}

// People read the document and programs read the file: they must agree.
func TestTheDocumentShowsTheSavedFigures(t *testing.T) {
	reports, err := figure.Load("../../docs/benchmarks.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reports {
		if !strings.Contains(string(document), r.Table()) {
			t.Errorf("docs/benchmarks.md does not show the figures of %s: run go run ./bench -markdown", r.Name)
		}
	}
}
