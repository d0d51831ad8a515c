package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	// storageTasks are run, and as many broken requests become dead letters.
	storageTasks = 20_000

	deadStream = "TASK_DEAD"

	// compactTime is how long NATS may take until it gives back what is deleted: a bit more than its
	// sync_interval, 2 minutes.
	compactTime = 150 * time.Second
)

// taken is what a number of tasks take of NATS in a stream. What is deleted is in the files until NATS
// compacts them.
type taken struct {
	what  string
	bytes float64 // of the messages, a task
	files float64 // a task
}

func storage(ctx context.Context, l *lab) ([]figure.Row, error) {
	n := storageTasks
	if l.tasks > 0 {
		n = l.tasks
	}
	all, err := l.storage(ctx, n)
	if err != nil {
		return nil, err
	}
	var rows []figure.Row
	for _, s := range all {
		row := func(what string, value float64) {
			rows = append(rows, figure.Row{What: s.what + ": " + what, Unit: "bytes", Of: "NATS", Values: []float64{value}})
		}
		row("messages, each", s.bytes)
		row("files, each", s.files)
	}
	return rows, nil
}

// storage runs n tasks, then as many requests that cannot be read, and looks at the streams in between.
func (l *lab) storage(ctx context.Context, n int) ([]taken, error) {
	w, err := l.newWorld(ctx, standin.Config{})
	defer w.close()
	if err == nil {
		err = w.fill(ctx, "task", n)
	}
	if err != nil {
		return nil, err
	}
	look := looks{world: w, n: n}
	look.at(ctx, requestStream, "a request that waits")
	p, err := w.launch(ctx, "worker", w.worker, quickPolls()...)
	if err != nil {
		return nil, err
	}
	if err := w.settled(ctx, p, n); err != nil {
		return nil, err
	}
	look.at(ctx, recordStream, "the record of a task that has just ended")
	if err := process.Pass(ctx, compactTime); err != nil {
		return nil, err
	}
	look.at(ctx, recordStream, "the record of a task that has ended")
	look.at(ctx, resultStream, "the event of a task")
	look.at(ctx, requestStream, "the request of a task that has ended")
	if err := w.bury(ctx, n); err != nil {
		return nil, err
	}
	look.at(ctx, deadStream, "a dead letter")
	return look.seen, look.err
}

// bury publishes n requests that cannot be read and returns when they are dead letters.
func (w *world) bury(ctx context.Context, n int) error {
	err := w.publish(ctx, n, func(i int) *nats.Msg {
		broken := request(fmt.Sprintf("dead-%07d", i))
		broken[len(broken)-1] = ' '
		return &nats.Msg{Subject: requestSubject, Data: broken}
	})
	if err != nil {
		return err
	}
	return process.Until(ctx, "broken requests are dead letters", startPatience, func() error {
		dead, err := w.messages(ctx, deadStream)
		if err == nil && dead < n {
			err = fmt.Errorf("%d of %d are", dead, n)
		}
		return err
	})
}

// looks gathers what streams hold. After an error it looks no more.
type looks struct {
	*world
	n    int
	seen []taken
	err  error
}

func (l *looks) at(ctx context.Context, stream, what string) {
	if l.err != nil {
		return
	}
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		l.err = fmt.Errorf("look at %s: %w", stream, err)
		return
	}
	files, err := folderSize(filepath.Join(l.dir, "store", "jetstream", "$G", "streams", stream))
	l.err = err
	one := taken{what: what, bytes: float64(s.CachedInfo().State.Bytes) / float64(l.n), files: files / float64(l.n)}
	fmt.Printf("%s: %.0f bytes of messages, %.0f of files\n", what, one.bytes, one.files)
	l.seen = append(l.seen, one)
}

// folderSize is the length of all files in a folder, in bytes. Files that go meanwhile do not count.
func folderSize(dir string) (float64, error) {
	var all int64
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return gone(path, dir, err)
		}
		info, err := entry.Info()
		if err == nil {
			all += info.Size()
		}
		return gone(path, dir, err)
	})
	return float64(all), err
}

// gone forgives that something in the folder went while it was read; the folder itself has to be there.
func gone(path, dir string, err error) error {
	if path != dir && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
