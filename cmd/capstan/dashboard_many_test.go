package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
)

// records is how many records the dashboard is measured with, a multiple of 1000. docs/dashboard.md has the figures of 200,000.
var records = flag.Int("records", 20_000, "records for TestTheDashboardShowsManyRecords")

// The first page does not wait for the records. What times and memory are is only printed: a busy machine makes them any.
func TestTheDashboardShowsManyRecords(t *testing.T) {
	s := operatortest.Start(t)
	s.FillRecords(*records)
	run := newTool(t, []string{"NATS_URL=" + s.Config.NATS.URL}, "dashboard", "--addr=127.0.0.1:0")
	run.begin(t)
	run.out.await(t, "the dashboard is at http://")
	url, began := address.FindString(run.out.String()), time.Now()
	first := timed(t, url+"/", "Overview")
	all := strconv.Itoa(*records/1000) + ",000 tasks<"
	natstest.Eventually(t, func() error {
		if _, body := page(t, url+"/tasks"); !strings.Contains(body, all) {
			return fmt.Errorf("got %s, want %s", body, all)
		}
		return nil
	})
	t.Logf("first page after %v, all %d records after %v", first.Round(time.Millisecond), *records, time.Since(began).Round(100*time.Millisecond))
	t.Logf("memory: at most %d MiB until then", memoryOf(t, run.Process.Pid, "VmHWM")>>20)
	for _, each := range [][2]string{
		{"/", "shop-0.example"},
		{"/tasks", all},
		{"/tasks?state=failed&host=shop-9.example", "order-0"},
		{"/tasks?id=order-0199", "100 tasks<"},
		{"/batches", "batch-39"},
		{"/batches/batch-7", "All tasks have ended"},
		{"/tasks/order-000100", "order-000100 succeeded"},
	} {
		t.Logf("%v for %s", timed(t, url+each[0], each[1]).Round(time.Millisecond), each[0])
	}
	t.Logf("memory: %d MiB now", memoryOf(t, run.Process.Pid, "VmRSS")>>20)
}

// timed returns how long a page takes, which must say a text.
func timed(t *testing.T, url, says string) time.Duration {
	t.Helper()
	began := time.Now()
	status, body := page(t, url)
	if status != http.StatusOK || !strings.Contains(body, says) {
		t.Fatalf("%s: got %d, %s, want %q", url, status, body, says)
	}
	return time.Since(began)
}

// memoryOf returns a figure of /proc/PID/status in bytes.
func memoryOf(t *testing.T, pid int, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("no memory to read: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("got %s, want %s in it", text, name)
	return 0
}
