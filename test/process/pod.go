package process

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Pod limits the memory of a process, as a pod does. If this program may create a control group, the kernel kills a
// process that needs more. If it may not, there is no limit, and the test can only compare Peak with it.
type Pod struct {
	limit int64
	dir   string // of the control group; empty where there is none
	v2    bool
}

// NewPod returns a pod with a limit in bytes. The caller must close it.
func NewPod(limit int64) *Pod {
	p := &Pod{limit: limit}
	parent, v2, err := memoryGroup()
	if err != nil {
		return p
	}
	dir, err := os.MkdirTemp(parent, "capstan-pod-")
	if err != nil {
		return p
	}
	file := "memory.limit_in_bytes"
	if v2 {
		file = "memory.max"
	}
	if os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatInt(limit, 10)), 0o600) != nil {
		_ = os.Remove(dir)
		return p
	}
	p.dir, p.v2 = dir, v2
	return p
}

// memoryGroup returns the folder of this process's control group for memory.
func memoryGroup() (dir string, v2 bool, err error) {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", false, err
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && parts[1] == "memory" {
			return filepath.Clean("/sys/fs/cgroup/memory" + parts[2]), false, nil
		}
	}
	for line := range strings.Lines(string(groups)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Clean("/sys/fs/cgroup" + path), true, nil
		}
	}
	return "", false, errors.New("this process has no control group for memory")
}

// Enforced reports whether the kernel enforces the limit.
func (p *Pod) Enforced() bool { return p.dir != "" }

// Killed returns how many processes the kernel has killed because of the limit.
func (p *Pod) Killed() (int, error) {
	if !p.Enforced() {
		return 0, nil
	}
	file := "memory.oom_control"
	if p.v2 {
		file = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(p.dir, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			return strconv.Atoi(n)
		}
	}
	return 0, nil
}

// Close removes the control group. Its processes must have ended.
func (p *Pod) Close() error {
	if !p.Enforced() {
		return nil
	}
	return os.Remove(p.dir)
}

// command returns what starts a program in the pod: a shell that joins the control group and becomes the program.
// A nil pod has no limit.
func (p *Pod) command(path string) (name string, args []string) {
	if p == nil || !p.Enforced() {
		return path, nil
	}
	procs := filepath.Join(p.dir, "cgroup.procs")
	return "/bin/sh", []string{"-c", `echo $$ > "$1" && exec "$2"`, "sh", procs, path}
}
