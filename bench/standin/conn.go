package standin

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
)

// conn is one connection: requests one after the other, HTTP/1.1 with a Content-Length.
type conn struct {
	*server
	r      *bufio.Reader
	worker string         // of the latest request
	count  *atomic.Uint64 // of that worker
	out    []byte
}

// serve answers the requests of a connection until that ends, or what comes is not understood.
func (s *server) serve(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	c := &conn{server: s, r: bufio.NewReader(nc)}
	for {
		method, target, err := c.requestLine()
		if err != nil {
			return
		}
		body, err := c.body()
		if err != nil {
			return
		}
		answer := c.answer(method, target, body)
		c.out = append(c.out[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
		c.out = strconv.AppendInt(c.out, int64(len(answer)), 10)
		c.out = append(append(c.out, "\r\n\r\n"...), answer...)
		if _, err := nc.Write(c.out); err != nil {
			return
		}
	}
}

func (c *conn) requestLine() (method, target string, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", "", err
	}
	verb, rest, ok := bytes.Cut(line, []byte(" "))
	path, _, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 {
		return "", "", errors.New("no request line")
	}
	return string(verb), string(path), nil
}

// body reads the header, notes whose key is in it, and reads as much as it says.
func (c *conn) body() ([]byte, error) {
	length := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		case bytes.EqualFold(name, []byte("Anchor-Api-Key")):
			c.byWorker(value)
		}
	}
	if length == 0 {
		return nil, nil
	}
	body := make([]byte, length)
	_, err := io.ReadFull(c.r, body)
	return body, err
}
