package standin

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
)

// serve answers the requests of one connection, HTTP/1.1 with a Content-Length, until it ends or sends something else.
func (s *server) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	var out []byte
	for {
		method, target, err := readRequestLine(r)
		if err != nil {
			return
		}
		body, err := readBody(r)
		if err != nil {
			return
		}
		answer := s.answer(method, target, body)
		out = append(out[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
		out = strconv.AppendInt(out, int64(len(answer)), 10)
		out = append(append(out, "\r\n\r\n"...), answer...)
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func readRequestLine(r *bufio.Reader) (method, target string, err error) {
	line, err := r.ReadSlice('\n')
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

// readBody skips the header and reads as much as its Content-Length says.
func readBody(r *bufio.Reader) ([]byte, error) {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		}
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return body, err
}
