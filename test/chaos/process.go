package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that was started and can be broken.
type process struct {
	name    string
	logFile string
	cmd     *exec.Cmd
	ended   chan struct{} // closed when it has ended
	err     error         // how; to be read when ended is closed
}

// keeper is a child that kills what is left when this program is gone, be it by kill -9.
type keeper struct {
	mu    sync.Mutex
	stdin io.WriteCloser // guarded by mu
}

// start starts a program with its output in a file of the folder. It outlives ctx, and dies with this
// program.
func (k *keeper) start(ctx context.Context, dir, name, path string, env ...string) (*process, error) {
	p := &process{name: name, logFile: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = log.Close() }() // the process has it
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), path)
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

// signal sends a signal; to a process that has ended it does nothing.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

// kill is kill -9. It returns when the process is gone.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended
	return nil
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// exit waits until the process has ended by itself, with 0.
func (p *process) exit(ctx context.Context, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		return fmt.Errorf("%s has not ended within %v", p.name, within)
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with %w, want exit code 0", p.name, p.err)
	}
	return nil
}

func newKeeper(ctx context.Context, self string) (*keeper, error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self)
	cmd.Env = []string{childVariable + `={"role":"keeper"}`}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the keeper: %w", err)
	}
	return &keeper{stdin: stdin}, nil
}

func (k *keeper) watch(sign rune, pid int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, _ = fmt.Fprintf(k.stdin, "%c%d\n", sign, pid)
}

func (k *keeper) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.stdin.Close()
}

// keep is the keeper's own main: it notes who is there, and at the end of its input kills them.
func keep(r io.Reader) {
	alive := map[int]bool{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		pid, err := strconv.Atoi(strings.TrimLeft(line, "+-"))
		if err != nil || pid <= 1 {
			continue
		}
		alive[pid] = strings.HasPrefix(line, "+")
	}
	for pid, is := range alive {
		if is {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
