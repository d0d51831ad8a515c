package batch

import (
	"errors"
	"fmt"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/operator/send"
)

// checker makes requests out of the lines of a file.
type checker struct {
	cfg   app.Config
	batch string

	places   map[string]string // by task id
	mistakes *MistakesError
}

// check returns the request of a line, or an error that says what is wrong with it.
func (c *checker) check(line fileLine) (Request, error) {
	o, err := request.Parse(line.data)
	if err != nil {
		return Request{}, err
	}
	data := line.data
	if id := o.Get("task_id"); id == nil {
		if c.batch == "" {
			return Request{}, errors.New("has no task_id; add one, or use --batch NAME, which makes one from the line, so that the same command can be run again")
		}
		o = o.With("task_id", request.Quote(fmt.Sprintf("%s-%06d", c.batch, line.number)))
		data = nil
	}
	if c.batch != "" {
		if own := o.Get("batch"); own != nil && o.Text("batch") != c.batch {
			return Request{}, fmt.Errorf("batch is %.80s, but --batch is %q; leave one of them out", own, c.batch)
		}
		o = o.With("batch", request.Quote(c.batch))
		data = nil
	}
	if data == nil {
		data = o.JSON()
	}
	r, err := send.ParseRequest(c.cfg, data)
	return Request{r, line.place}, err
}

// add checks a line and returns its request, or false after it has noted a mistake.
func (c *checker) add(line fileLine) (Request, bool) {
	err := line.err
	var r Request
	if err == nil {
		r, err = c.check(line)
	}
	if err == nil {
		if first, taken := c.places[r.TaskID]; taken {
			err = fmt.Errorf("task_id %s is also at %s", r.TaskID, first)
		}
	}
	if err != nil {
		c.mistakes.add(line.place, err.Error())
		return Request{}, false
	}
	c.places[r.TaskID] = r.Place
	return r, true
}
