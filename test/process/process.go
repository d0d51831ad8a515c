// Package process starts programs in processes of their own and stops them, for the tests and benchmarks that
// watch the real programs from outside.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Process is a program that was started and can be broken.
type Process struct {
	Name    string
	LogFile string // what it writes to its standard output and error
	cmd     *exec.Cmd
	ended   chan struct{} // closed when it has ended
	err     error         // how it ended; valid once ended is closed

	mu    sync.Mutex
	admin string // host and port of a worker's admin server; empty until known; guarded by mu
}

// Start starts a program with its output in a file of the folder, and with no environment but PATH, HOME
// and env. It outlives ctx, and dies with this program. A nil pod sets no limit.
func (k *Keeper) Start(ctx context.Context, pod *Pod, dir, name, path string, env ...string) (*Process, error) {
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
	k.watch(signStarted, p.cmd.Process.Pid)
	go func() {
		p.err = p.cmd.Wait()
		k.watch(signEnded, p.cmd.Process.Pid)
		close(p.ended)
	}()
	return p, nil
}

// Signal sends a signal; to a process that has ended it does nothing.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", s, p.Name, err)
	}
	return nil
}

// Kill is kill -9. It returns when the process has ended.
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

// Ended returns a channel that is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Exit waits until the process has ended by itself. An exit code other than 0 is an error.
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

// Running returns nil while the process runs, and an error that says how it ended afterwards.
func (p *Process) Running() error {
	if p.Alive() {
		return nil
	}
	if p.err == nil {
		return fmt.Errorf("%s has ended", p.Name)
	}
	return fmt.Errorf("%s has ended: %w", p.Name, p.err)
}
