package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/test/process"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpuOf returns the processor time that a process has taken, user and system.
func cpuOf(p *process.Process) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", p.Name, err)
	}
	// The name, in parentheses, may hold spaces. utime and stime are the 14th and 15th field (proc(5)).
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("measure %s: /proc says %q", p.Name, text)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("measure %s: %w", p.Name, err)
	}
	return time.Duration(user+system) * tick, nil
}

// memoryOf returns the resident memory of a process in bytes.
func memoryOf(p *process.Process) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", p.Name, err)
	}
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		return kib * 1024, err
	}
	return 0, fmt.Errorf("measure %s: /proc does not tell its memory", p.Name)
}

// warnings is how many lines of a worker's log are warnings or errors.
func warnings(p *process.Process) (float64, error) {
	log, err := os.ReadFile(p.LogFile)
	if err != nil {
		return 0, fmt.Errorf("read the log of %s: %w", p.Name, err)
	}
	return float64(bytes.Count(log, []byte(`"level":"warn"`)) + bytes.Count(log, []byte(`"level":"error"`))), nil
}
