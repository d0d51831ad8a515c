package figure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Report is what came of one benchmark.
type Report struct {
	Name    string    `json:"name"`
	About   string    `json:"about"`
	Command string    `json:"command"`
	When    time.Time `json:"when"`
	Machine Machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Rows    []Row     `json:"rows"`
}

// Machine is where it was measured, and with which versions.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Server string `json:"nats_server"`
	Client string `json:"nats_go"`
	Commit string `json:"commit"`
}

// ThisMachine looks at the machine and at the versions in the program. What cannot be told is left empty.
func ThisMachine(commit string) Machine {
	m := Machine{
		CPU: after("/proc/cpuinfo", "model name"), Memory: after("/proc/meminfo", "MemTotal"),
		Cores: runtime.NumCPU(), Go: runtime.Version(), Commit: commit,
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			switch d.Path {
			case "github.com/nats-io/nats-server/v2":
				m.Server = d.Version
			case "github.com/nats-io/nats.go":
				m.Client = d.Version
			}
		}
	}
	return m
}

// after returns what stands behind a name and a colon in a file.
func after(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Load reads the reports of a file, in its order; of one that is not there, none.
func Load(file string) ([]Report, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read reports: %w", err)
	}
	var all []Report
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read reports in %s: %w", file, err)
	}
	return all, nil
}

// Save puts a report into a file, in the place of the one with the same name.
func Save(file string, r Report) error {
	all, err := Load(file)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(all, func(old Report) bool { return old.Name == r.Name }); i >= 0 {
		all[i] = r
	} else {
		all = append(all, r)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode reports: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	return nil
}
