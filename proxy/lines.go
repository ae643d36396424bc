package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"portero/shared/rawjson"
)

// maxMessage bounds one message from the client, in bytes.
const maxMessage = 64 << 20

// tooLarge is a message over the limit. It has been read past, so the next one
// can be read.
type tooLarge struct {
	id    []byte // raw id of the request, nil when there is none
	limit int
}

func (e *tooLarge) Error() string {
	return fmt.Sprintf("the message has more than %d MiB: send less at a time", e.limit>>20)
}

// lines reads newline-delimited messages of bounded size.
type lines struct {
	r     *bufio.Reader
	limit int
	buf   []byte
}

func newLines(r io.Reader, limit int) *lines {
	return &lines{r: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// next returns the next message without its newline. It is valid until the
// next call. A message over the limit is dropped as it arrives, whatever its
// size, and returned as *tooLarge.
func (l *lines) next() ([]byte, error) {
	if cap(l.buf) > 1<<20 {
		l.buf = nil // one large message must not be paid for ever after
	}
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf)+len(part) > l.limit+1 {
			return nil, l.skip(part, err)
		}
		if err == nil && len(l.buf) == 0 {
			return trim(part), nil
		}
		l.buf = append(l.buf, part...)
		switch {
		case err == nil:
			return trim(l.buf), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.buf) > 0:
			return trim(l.buf), nil // a last line without its end
		default:
			return nil, err
		}
	}
}

func (l *lines) skip(part []byte, err error) error {
	var scan rawjson.IDScanner
	scan.Write(l.buf)
	for {
		scan.Write(part)
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
		part, err = l.r.ReadSlice('\n')
	}
	l.buf = nil
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	e := &tooLarge{limit: l.limit}
	if scan.HasMethod() {
		e.id = append([]byte(nil), scan.ID()...)
	}
	return e
}

func trim(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
