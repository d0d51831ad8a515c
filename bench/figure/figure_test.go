package figure_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/bench/figure"
)

func TestMedianIsTheOneInTheMiddle(t *testing.T) {
	tests := []struct {
		values []float64
		want   float64
	}{
		{[]float64{3, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{7}, 7},
	}
	for _, tt := range tests {
		if got := figure.Median(tt.values); got != tt.want {
			t.Errorf("Median(%v): got %v, want %v", tt.values, got, tt.want)
		}
	}
	if got := figure.Median(nil); !math.IsNaN(got) {
		t.Errorf("Median of none: got %v, want NaN", got)
	}
}

func TestQuantileLiesBetweenNeighbors(t *testing.T) {
	values := []float64{50, 10, 20, 30, 40}
	for q, want := range map[float64]float64{0: 10, 0.25: 20, 0.5: 30, 0.99: 49.6, 1: 50} {
		if got := figure.Quantile(values, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("Quantile(%v): got %v, want %v", q, got, want)
		}
	}
}

// Rounds that met a busy machine meet it on both sides: the ratio of each round counts, and not that of the
// medians.
func TestRatioIsTheMedianOfTheRounds(t *testing.T) {
	r := figure.Row{Values: []float64{10, 200, 30}, Than: "floor", Others: []float64{20, 250, 40}}
	if got, want := r.Judged(), 0.75; got != want {
		t.Errorf("ratio: got %v, want %v", got, want)
	}
}

func TestGoalIsOfTheRatioUnlessItSaysOtherwise(t *testing.T) {
	row := figure.Row{Values: []float64{3}, Than: "floor", Others: []float64{2}}
	tests := []struct {
		goal figure.Goal
		met  bool
	}{
		{figure.Goal{}, true},
		{figure.Goal{Most: 1.5}, true},
		{figure.Goal{Most: 1.4}, false},
		{figure.Goal{Least: 1.6}, false},
		{figure.Goal{Least: 1.2, Most: 1.6}, true},
		{figure.Goal{Most: 2.9, OfValue: true}, false},
		{figure.Goal{Most: 3, OfValue: true}, true},
	}
	for _, tt := range tests {
		row.Goal = tt.goal
		if got := row.Met(); got != tt.met {
			t.Errorf("3 against 2 with goal %+v: got %v, want %v", tt.goal, got, tt.met)
		}
	}
}

func TestShortKeepsThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.854: "0.85", 12.34: "12.3", 99.97: "100.0", 1234.4: "1234", 90000: "90,000", 1234567: "1,234,567"} {
		if got := figure.Short(v); got != want {
			t.Errorf("Short(%v): got %q, want %q", v, got, want)
		}
	}
}

func TestSavedReportTakesThePlaceOfTheOlderOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "figures.json")
	for _, r := range []figure.Report{{Name: "a", Rounds: 1}, {Name: "b", Rounds: 2}, {Name: "a", Rounds: 3}} {
		if err := figure.Save(file, r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := figure.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Rounds != 3 || got[1].Rounds != 2 {
		t.Errorf("reports: got %+v, want a of 3 rounds and b of 2", got)
	}
}

func TestTableTellsWhatWasMissed(t *testing.T) {
	r := figure.Report{Name: "throughput", Command: "go run ./bench throughput", Rows: []figure.Row{
		{What: "rate", Unit: "tasks/s", Of: "worker", Values: []float64{50, 70}, Than: "floor", Others: []float64{100, 100}, Goal: figure.Goal{Least: 0.85}},
		{What: "memory", Unit: "KiB", Of: "worker", Values: []float64{4}, Goal: figure.Goal{Most: 6}},
	}}
	table := r.Table()
	for _, want := range []string{
		"| rate | 60.0 tasks/s (worker) | 100 (floor) | 0.60 (0.50–0.70) | ≥ 0.85 | **missed** |",
		"| memory | 4.00 KiB (worker) |  |  | ≤ 6.00 KiB | met |",
		"`go run ./bench throughput`",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("table: got %s\nwant it to hold %s", table, want)
		}
	}
}

// The document is read by people, the file by programs: they say the same.
func TestDocumentHoldsTheKeptFigures(t *testing.T) {
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
			t.Errorf("docs/benchmarks.md does not hold the table of %s: run go run ./bench -markdown", r.Name)
		}
	}
}
