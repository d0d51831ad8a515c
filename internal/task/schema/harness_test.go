package schema_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task/schema"
)

// inOrder tries n values in their order.
func inOrder(n int) schema.Order {
	return func(func(string) schema.Description) []int {
		var all []int
		for i := range n {
			all = append(all, i)
		}
		return all
	}
}

// check returns why a value does not fit, or "" if it fits.
func check(tb testing.TB, c *schema.Checker, text, value string) string {
	tb.Helper()
	_, err := c.FirstFit(tb.Context(), json.RawMessage(text), []json.RawMessage{json.RawMessage(value)}, inOrder(1))
	if err == nil {
		return ""
	}
	misfit, ok := errors.AsType[*schema.MisfitError](err)
	if !ok {
		tb.Fatalf("%.100s: got %v, want a verdict", text, err)
	}
	return misfit.Error()
}

func validate(text string) error {
	return (*schema.Checker)(nil).Validate(context.Background(), json.RawMessage(text))
}

// list returns a JSON array with n times the same item.
func list(item string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

// numbered returns the format n times, with # replaced by the number, separated by commas.
func numbered(format string, n int) string {
	var all []string
	for i := range n {
		all = append(all, strings.ReplaceAll(format, "#", fmt.Sprint(i)))
	}
	return strings.Join(all, ",")
}

// doubling returns a schema in which every definition applies the next one twice, in the place of NEXT in the keyword.
func doubling(keyword, leaf string) string {
	var defs []string
	for i := range 40 {
		defs = append(defs, fmt.Sprintf(`"d%d":{%s}`, i, strings.ReplaceAll(keyword, "NEXT", fmt.Sprintf(`{"$ref":"#/$defs/d%d"}`, i+1))))
	}
	return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s,"d40":%s}}`, strings.Join(defs, ","), leaf)
}

// chain returns a schema of n references, each to the next one, and the last to the leaf.
func chain(n int, leaf string) string {
	var defs []string
	for i := range n {
		defs = append(defs, fmt.Sprintf(`"d%d":{"$ref":"#/$defs/d%d"}`, i, i+1))
	}
	return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s,"d%d":%s}}`, strings.Join(defs, ","), n, leaf)
}

// negated puts a schema under not, where the validator collects no violations.
func negated(text string) string {
	return `{"not":` + strings.ReplaceAll(text, "#/", "#/not/") + `}`
}

// collisions returns different items that would be hashed alike if a string were hashed as its type (4) and its bytes, without
// its length.
func collisions() string {
	var all []string
	for mask := range 1 << 13 {
		var item strings.Builder
		item.WriteString(`["`)
		for bit := range 13 {
			if mask&(1<<bit) != 0 {
				item.WriteString(`","`)
			} else {
				item.WriteString(`\u0004`)
			}
		}
		all = append(all, item.String()+`"]`)
	}
	return "[" + strings.Join(all, ",") + "]"
}

// peakOf returns the most memory in bytes that f used at the same time, sampled every millisecond.
func peakOf(f func()) uint64 {
	runtime.GC()
	before := used()
	peak := before
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				peak = max(peak, used())
			}
		}
	}()
	f()
	close(done)
	<-stopped
	return peak - before
}

func used() uint64 {
	m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(m)
	return m[0].Value.Uint64() + m[1].Value.Uint64()
}

// match reports whether a pattern matches a part of a text.
func match(tb testing.TB, pattern, text string) bool {
	tb.Helper()
	p, v := quoted(tb, pattern), quoted(tb, text)
	switch got := check(tb, nil, `{"pattern":`+p+`}`, v); {
	case got == "":
		return true
	case strings.Contains(got, "does not match"):
		return false
	default:
		tb.Fatalf("%q in %.100q: got %s, want a verdict", pattern, text, got)
		return false
	}
}

func quoted(tb testing.TB, text string) string {
	tb.Helper()
	b, err := json.Marshal(text)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}
