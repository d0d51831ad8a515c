package batch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// Report is a file with one event on each line, and one line for each task. It is continued: what it holds stays, and a
// task that is in it is not written again.
type Report struct {
	name    string
	file    *os.File
	written map[string]bool // by task id
}

// OpenReport opens a report, and creates the file if it is missing. A line that was cut off at its end is removed: it was
// being written when the tool was killed. The error names the line of a file that is not a report, which stays as it is.
func OpenReport(name string) (*Report, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // a pipe could not be read first
		return nil, fmt.Errorf("the report %s must be a regular file", name)
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) // an event may hold what is not for everybody
	if err != nil {
		return nil, fmt.Errorf("open the report: %w", err)
	}
	r := &Report{name: name, file: file, written: map[string]bool{}}
	end, err := r.read()
	if err == nil {
		_, err = file.Seek(end, io.SeekStart)
	}
	if err == nil {
		err = file.Truncate(end)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// read notes the tasks of the report and returns where its last whole line ends.
func (r *Report) read() (end int64, _ error) {
	lines := bufio.NewReader(r.file)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		atEnd := errors.Is(err, io.EOF)
		if err != nil && !atEnd {
			return 0, fmt.Errorf("read the report %s: %w", r.name, err)
		}
		if len(line) == 0 || atEnd && isCutOff(line) {
			return end, nil
		}
		ev, isEvent := operator.ReadEvent(nil, line)
		if !isEvent {
			return 0, fmt.Errorf("%s:%d: is not an event, so the file is not a report; give --report another name", r.name, number)
		}
		r.written[ev.TaskID] = true
		end += int64(len(line))
		if atEnd { // only its line break is missing
			_, err := r.file.WriteString("\n")
			return end + 1, err
		}
	}
}

// isCutOff reports whether the last line of a file, without a line break, is the beginning of an event.
func isCutOff(line []byte) bool {
	return bytes.HasPrefix(line, []byte(`{"task_id":"`)) && !json.Valid(line)
}

// Write writes an event as it was published, on one line, unless the report has the task.
func (r *Report) Write(ev task.Event, body []byte) error {
	if r.written[ev.TaskID] {
		return nil
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		return fmt.Errorf("write the event of task %s: %w", ev.TaskID, err)
	}
	line.WriteByte('\n')
	if _, err := r.file.Write(line.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	r.written[ev.TaskID] = true
	return nil
}

// Close closes the file.
func (r *Report) Close() error { return r.file.Close() }
