package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// row is the result of a scenario.
type row struct {
	scenario string
	repeat   string // the command that repeats it
	verdict.Count
	breaks   int
	handover time.Duration // the slowest, by the records; 0: nothing was handed over
	measured []string      // other measurements, with names
	took     time.Duration
	err      error // why it could not run to its end
}

func (r row) ok() bool { return r.err == nil && len(r.Problems) == 0 }

// printTable prints a line for each scenario and one for all.
func printTable(w io.Writer, rows []row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "scenario\ttasks\tbreaks\tevents\textra runs\tlost\tduplicates\tcore copies (explained)\tunknown (explained)\tslowest handover\tmeasured\ttook\tverdict\t")
	sum := row{scenario: "all"}
	for _, r := range rows {
		printRow(table, r)
		sum = sum.plus(r)
	}
	printRow(table, sum)
	if err := table.Flush(); err != nil { // also reports errors of earlier writes
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

func (r row) plus(o row) row {
	r.Tasks += o.Tasks
	r.breaks += o.breaks
	r.Events += o.Events
	r.ExtraRuns += o.ExtraRuns
	r.Lost += o.Lost
	r.Duplicates += o.Duplicates
	r.Copies += o.Copies
	r.Excused += o.Excused
	r.Unknown += o.Unknown
	r.Explained += o.Explained
	r.handover = max(r.handover, o.handover)
	r.took += o.took
	r.Problems = append(r.Problems, o.Problems...)
	if o.err != nil {
		r.err = o.err
	}
	return r
}

func printRow(w io.Writer, r row) {
	said := "ok"
	if !r.ok() {
		said = "FAILED"
	}
	handover := "-"
	if r.handover > 0 {
		handover = fmt.Sprintf("%.2fs", r.handover.Seconds())
	}
	measured := "-"
	if len(r.measured) > 0 {
		measured = strings.Join(r.measured, ", ")
	}
	_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d (%d)\t%d (%d)\t%s\t%s\t%.0fs\t%s\t\n",
		r.scenario, r.Tasks, r.breaks, r.Events, r.ExtraRuns, r.Lost, r.Duplicates, r.Copies, r.Excused, r.Unknown, r.Explained,
		handover, measured, r.took.Seconds(), said)
}

// mostProblems is how many problems of a scenario are printed.
const mostProblems = 20

// printProblems prints the problems of a scenario, and how to repeat it.
func printProblems(w io.Writer, r row) {
	if r.ok() {
		return
	}
	_, _ = fmt.Fprintf(w, "%s FAILED; to repeat it: %s\n", r.scenario, r.repeat)
	if r.err != nil {
		_, _ = fmt.Fprintf(w, "  it did not run to its end: %v\n", r.err)
	}
	for i, problem := range r.Problems {
		if i == mostProblems {
			_, _ = fmt.Fprintf(w, "  and %d more\n", len(r.Problems)-mostProblems)
			break
		}
		_, _ = fmt.Fprintf(w, "  %s\n", problem)
	}
}
