// Package process starts programs in processes of their own and stops them, for the chaos test and the
// benchmarks: both look at the real programs from outside.
package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Process is a program that was started and can be broken.
type Process struct {
	Name    string
	LogFile string // what it writes to its standard output and error
	cmd     *exec.Cmd
	ended   chan struct{} // closed when it has ended
	err     error         // how; to be read when ended is closed
}

// Start starts a program with its output in a file of the folder, and with no environment but PATH, HOME
// and env. It outlives ctx, and dies with this program.
func (k *Keeper) Start(ctx context.Context, dir, name, path string, env ...string) (*Process, error) {
	return k.StartIn(ctx, nil, dir, name, path, env...)
}

// StartIn starts a program as Start does, in a pod; nil: without a limit.
func (k *Keeper) StartIn(ctx context.Context, pod *Pod, dir, name, path string, env ...string) (*Process, error) {
	p := &Process{Name: name, LogFile: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = log.Close() }() // the process has it
	command, args := pod.command(path)
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), command, args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this program alone
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	k.watch('+', p.cmd.Process.Pid)
	go func() {
		p.err = p.cmd.Wait()
		k.watch('-', p.cmd.Process.Pid)
		close(p.ended)
	}()
	return p, nil
}

// PID is the process's number, also of one that has ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal; to a process that has ended it does nothing.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", s, p.Name, err)
	}
	return nil
}

// Kill is kill -9. It returns when the process is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended
	return nil
}

// Alive reports whether the process has not ended.
func (p *Process) Alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Exit waits until the process has ended by itself, with 0.
func (p *Process) Exit(ctx context.Context, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		return fmt.Errorf("%s has not ended within %v", p.Name, within)
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with %w, want exit code 0", p.Name, p.err)
	}
	return nil
}

// Running returns nil while the process runs, and else how it has ended.
func (p *Process) Running() error {
	if p.Alive() {
		return nil
	}
	if p.err == nil {
		return fmt.Errorf("%s has ended", p.Name)
	}
	return fmt.Errorf("%s has ended: %w", p.Name, p.err)
}

// listening is how a worker's log says where its admin server listens: the present wording first, and that of
// older versions.
func listening() []string { return []string{"admin server listening", "listened for operators"} }

// AdminAddr is where a worker's log says that it listens for operators.
func (p *Process) AdminAddr() (string, error) {
	log, err := os.ReadFile(p.LogFile)
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(log) {
		var entry struct{ Message, Addr string }
		if json.Unmarshal(line, &entry) == nil && slices.Contains(listening(), entry.Message) {
			return entry.Addr, nil
		}
	}
	return "", errors.New("its log does not tell where it listens")
}
