package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat. USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// CPU returns the processor time that the process has used, user and system.
func (p *Process) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", p.Name, err)
	}
	// The name, in parentheses, may contain spaces. utime and stime are the 14th and 15th field (proc(5)).
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("measure %s: unexpected /proc/PID/stat: %q", p.Name, text)
	}
	total := int64(0)
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("measure %s: %w", p.Name, err)
		}
		total += ticks
	}
	return time.Duration(total) * tick, nil
}

// Memory returns the resident memory of the process, in bytes.
func (p *Process) Memory() (int64, error) { return p.status("VmRSS") }

// Peak returns the most resident memory that the process has had at any time, in bytes.
func (p *Process) Peak() (int64, error) { return p.status("VmHWM") }

// status returns a size of /proc/PID/status in bytes. A process that has ended has none.
func (p *Process) status(name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of %s: %w", p.Name, err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == name+":" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the memory of %s: %w", p.Name, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("read the memory of %s: it has ended", p.Name)
}
