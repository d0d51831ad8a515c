package link

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxFrame is the largest size that a line may announce for its payload, in bytes.
const maxFrame = 64 << 20

// Frame is one operation of the NATS client protocol with its payload. On a link of another protocol it is some bytes.
type Frame struct {
	FromClient bool
	Verb       string // in capitals; empty for other protocols
	Subject    string // of PUB, HPUB, MSG and HMSG, as are the next three
	Reply      string // empty if no answer is wanted
	Header     []byte // as on the wire; nil: none
	Payload    []byte // without the header
	Raw        []byte // the whole frame
}

// operation says how many arguments a verb has before the optional reply subject, and how many sizes after it. The last
// size is that of everything after the line.
type operation struct{ before, sizes int }

func operationOf(verb string) (operation, bool) {
	switch verb {
	case "PUB":
		return operation{before: 1, sizes: 1}, true
	case "HPUB":
		return operation{before: 1, sizes: 2}, true
	case "MSG":
		return operation{before: 2, sizes: 1}, true
	case "HMSG":
		return operation{before: 2, sizes: 2}, true
	default:
		return operation{}, false
	}
}

// ReadNATS reads the next operation of the NATS client protocol
// (docs.nats.io/reference/reference-protocols/nats-protocol). An unknown line is a frame of its own. A line with an
// impossible size is an error, as is an end in the middle of a frame: io.ErrUnexpectedEOF.
func ReadNATS(r *bufio.Reader) (Frame, error) {
	line, err := readLine(r)
	if err != nil {
		return Frame{}, err
	}
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return Frame{Raw: line}, nil
	}
	f := Frame{Verb: strings.ToUpper(words[0]), Raw: line}
	op, ok := operationOf(f.Verb)
	if !ok {
		return f, nil
	}
	sizes, err := f.readArguments(op, words[1:])
	if err != nil {
		return Frame{}, fmt.Errorf("read %s: %w", f.Verb, err)
	}
	if err := f.readBody(r, sizes); err != nil {
		return Frame{}, fmt.Errorf("read %s to %s: %w", f.Verb, f.Subject, err)
	}
	return f, nil
}

// maxLine is the longest line, in bytes. The longest in practice is INFO of a large cluster.
const maxLine = 1 << 20

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull) && len(line) <= maxLine:
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read line: longer than %d bytes", maxLine)
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// readArguments fills in the subjects and returns the sizes.
func (f *Frame) readArguments(op operation, args []string) ([]int, error) {
	switch len(args) - op.before - op.sizes {
	case 0:
	case 1:
		f.Reply = args[op.before]
	default:
		return nil, fmt.Errorf("unexpected number of arguments: %d", len(args))
	}
	f.Subject = args[0]
	var sizes []int
	for _, arg := range args[len(args)-op.sizes:] {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 0 || n > maxFrame {
			return nil, fmt.Errorf("%.20q is not a size", arg)
		}
		sizes = append(sizes, n)
	}
	if !slices.IsSorted(sizes) {
		return nil, errors.New("the header is longer than the message")
	}
	return sizes, nil
}

// readBody reads the header and the payload after the line, and the line end after them.
func (f *Frame) readBody(r io.Reader, sizes []int) error {
	total, end := sizes[len(sizes)-1], "\r\n"
	body := make([]byte, total+len(end))
	if _, err := io.ReadFull(r, body); errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	} else if err != nil {
		return err
	}
	if !bytes.HasSuffix(body, []byte(end)) {
		return errors.New("no line end after the payload")
	}
	f.Raw = append(f.Raw, body...)
	f.Payload = body[:total]
	if len(sizes) == 2 {
		f.Header, f.Payload = body[:sizes[0]], body[sizes[0]:total]
	}
	return nil
}

// readPiece reads the bytes that have arrived.
func readPiece(r *bufio.Reader) (Frame, error) {
	if _, err := r.Peek(1); err != nil {
		return Frame{}, err
	}
	piece := make([]byte, r.Buffered())
	_, err := io.ReadFull(r, piece)
	return Frame{Raw: piece}, err
}
