package child

import (
	"bytes"
	"io"

	"portero/shared/rawjson"
)

const (
	smallBuffer = 64 << 10 // what a quiet child costs
	keptBuffer  = 2 << 20  // a larger one is given away with the message that needed it
	calmLines   = 32       // small lines in a row after which a grown buffer is dropped
)

// lineReader cuts a stream into lines of at most max bytes. It is used by one
// goroutine.
type lineReader struct {
	src  io.Reader
	max  int
	grow func() // called before the buffer grows for the first time; may be nil

	buf  []byte
	r, w int // buf[r:w] is read and not yet returned
	seen int // buf[r:seen] holds no newline
	calm int
}

// oversize is what is known of a line that was too long to be kept.
type oversize struct {
	size int
	id   rawjson.IDScanner
}

// next returns the next line without its newline, valid until the following
// call; at the end of the stream what comes after the last newline is a line
// too. Of a line over the limit only the oversize is returned: it is passed
// over as it streams in.
func (l *lineReader) next() (line []byte, over *oversize, err error) {
	if l.buf == nil {
		l.buf = make([]byte, smallBuffer)
	}
	if len(l.buf) > keptBuffer {
		l.replace() // not while waiting for a line that may never come
	}
	l.seen = max(l.seen, l.r)
	for {
		if i := bytes.IndexByte(l.buf[l.seen:l.w], '\n'); i >= 0 {
			line = l.buf[l.r : l.seen+i]
			l.r = l.seen + i + 1
			l.seen = l.r
			if len(line) > l.max {
				return nil, l.over(line), nil
			}
			l.settle(len(line))
			return line, nil, nil
		}
		l.seen = l.w
		if l.w-l.r > l.max {
			over, err := l.discard()
			return nil, over, err
		}
		l.room()
		n, err := l.src.Read(l.buf[l.w:])
		l.w += n
		if n > 0 {
			continue // an error, if any, comes again
		}
		if err != nil {
			line = l.buf[l.r:l.w]
			l.r = l.w
			if len(line) == 0 {
				return nil, nil, err
			}
			return line, nil, nil
		}
	}
}

// room makes space behind w: by moving what is there to the front, or by
// doubling the buffer, which never needs to be much larger than a line.
func (l *lineReader) room() {
	if l.r == l.w {
		l.r, l.w, l.seen = 0, 0, 0
	}
	if l.w < len(l.buf) {
		return
	}
	into := l.buf
	if most := l.max + smallBuffer; l.r < len(l.buf)/2 && len(l.buf) < most {
		if l.grow != nil {
			l.grow()
			l.grow = nil
		}
		into = make([]byte, min(2*len(l.buf), most))
	}
	l.w = copy(into, l.buf[l.r:l.w])
	l.seen -= l.r
	l.r, l.buf = 0, into
}

// settle drops a buffer that has not been needed for a while.
func (l *lineReader) settle(size int) {
	if size > smallBuffer {
		l.calm = 0
	} else if l.calm++; l.calm >= calmLines && len(l.buf) > smallBuffer && l.w-l.r <= smallBuffer {
		// The line just returned lives on in the old buffer.
		l.replace()
		l.calm = 0
	}
}

func (l *lineReader) replace() {
	fresh := make([]byte, max(smallBuffer, l.w-l.r))
	l.w = copy(fresh, l.buf[l.r:l.w])
	l.buf, l.r, l.seen = fresh, 0, 0
}

// keep makes a part of the line that next returned last outlive it: it copies
// it, or gives the whole buffer away when that is too large to stay.
func (l *lineReader) keep(part []byte) []byte {
	large := len(l.buf) > keptBuffer
	if !large || len(part) < len(l.buf)/4 {
		part = bytes.Clone(part)
	}
	if large {
		l.replace()
	}
	return part
}

func (l *lineReader) over(head []byte) *oversize {
	o := &oversize{size: len(head)}
	_, _ = o.id.Write(head)
	return o
}

// discard passes over the rest of a line that is too long already.
func (l *lineReader) discard() (*oversize, error) {
	o := l.over(l.buf[l.r:l.w])
	l.r, l.w, l.seen, l.calm = 0, 0, 0, 0
	l.buf = make([]byte, smallBuffer) // nothing of the huge one is needed
	for {
		n, err := l.src.Read(l.buf)
		part := l.buf[:n]
		if i := bytes.IndexByte(part, '\n'); i >= 0 {
			part = part[:i]
			l.r, l.w, l.seen = i+1, n, i+1
			o.add(part)
			return o, nil
		}
		o.add(part)
		if err != nil {
			return o, nil // it comes again at the next read
		}
	}
}

func (o *oversize) add(part []byte) {
	o.size += len(part)
	_, _ = o.id.Write(part)
}
