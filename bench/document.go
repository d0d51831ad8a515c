package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/capstan-worker/capstan/bench/figure"
)

// Where figures are kept, and read by people: between the two marks.
const (
	figuresFile  = "docs/benchmarks.json"
	documentFile = "docs/benchmarks.md"

	beginMark = "<!-- figures: written by go run ./bench -markdown -->\n"
	endMark   = "<!-- end of figures -->\n"
)

// writeDocument writes the tables of the kept figures into the document.
func writeDocument() error {
	reports, err := figure.Load(figuresFile)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(documentFile)
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	before, rest, ok := strings.Cut(string(text), beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return errors.New(documentFile + " does not hold the marks between which figures stand")
	}
	var tables strings.Builder
	for _, r := range reports {
		tables.WriteString("\n" + r.Table())
	}
	text = []byte(before + beginMark + tables.String() + "\n" + endMark + after)
	if err := os.WriteFile(documentFile, text, 0o644); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}
