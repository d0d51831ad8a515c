package task_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestOnlyAWellFormedTraceIsKept(t *testing.T) {
	both := map[string][]string{"traceparent": {traceparent}, "tracestate": {"a=b"}}
	for _, tc := range []struct{ header, want map[string][]string }{
		{map[string][]string{"Traceparent": {traceparent}, "TRACESTATE": {"a=b"}}, both},
		{map[string][]string{"traceparent": {traceparent, "x"}, "tracestate": {"a=b"}}, both},
		{map[string][]string{"traceparent": {"cc" + traceparent[2:] + "-more"}}, map[string][]string{"traceparent": {"cc" + traceparent[2:] + "-more"}}},
		{map[string][]string{"traceparent": {traceparent}, "tracestate": {strings.Repeat("x", 513)}}, map[string][]string{"traceparent": {traceparent}}},
		{map[string][]string{"traceparent": {traceparent}, "tracestate": {"a=\xff"}}, map[string][]string{"traceparent": {traceparent}}},
		{map[string][]string{"traceparent": {traceparent + "-more"}, "tracestate": {"a=b"}}, nil},
		{map[string][]string{"traceparent": {"cc" + traceparent[2:] + "-" + strings.Repeat("x", 100)}}, nil},
		{map[string][]string{"traceparent": {"cc" + traceparent[2:] + "more"}}, nil},
		{map[string][]string{"traceparent": {"ff" + traceparent[2:]}}, nil},
		{map[string][]string{"traceparent": {strings.ToUpper(traceparent)}}, nil},
		{map[string][]string{"traceparent": {strings.ReplaceAll(traceparent, "-", ":")}}, nil},
		{map[string][]string{"traceparent": {"00-00000000000000000000000000000000-00f067aa0ba902b7-01"}}, nil},
		{map[string][]string{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"}}, nil},
		{map[string][]string{"traceparent": {strings.Repeat("x", 1<<20)}, "tracestate": {"a=b"}}, nil},
		{map[string][]string{"tracestate": {"a=b"}}, nil},
	} {
		r, err := task.ParseRequest(published(tc.header), defaults)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Delivery.Header; len(got)+len(tc.want) > 0 && !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%.200v: got %v, want %v", tc.header, got, tc.want)
		}
	}
}
