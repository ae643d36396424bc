package child

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	waitingRequests = 256      // requests queued for one child; further callers wait
	waitingAnswers  = 1024     // other messages queued: over it the child is flooding
	apart           = 32 << 10 // larger params are written from where they are
	batchBytes      = 64 << 10 // small messages go out together up to this
	chunkBytes      = 256 << 10
)

// The life of a message. Only one side can leave waiting: the writer takes it,
// or the caller drops it and knows that no byte of it was or will be written.
const (
	waiting int32 = iota
	taken
	dropped
)

// message is one line to the child. It is a request with an id, a notification
// without one, or a complete line.
type message struct {
	id     int64
	method string
	params json.RawMessage
	line   []byte

	state atomic.Int32
	slot  bool // holds one of the writer's slots
}

func (m *message) take() bool { return m.state.CompareAndSwap(waiting, taken) }

// drop reports whether no byte of the message was or will be written.
func (m *message) drop() bool { return m.state.CompareAndSwap(waiting, dropped) }

// head appends all that comes before the params, tail what comes after.
func (m *message) head(b []byte) []byte {
	if m.line != nil {
		return append(b, m.line...)
	}
	b = append(b, `{"jsonrpc":"2.0"`...)
	if m.id != 0 {
		b = append(b, `,"id":`...)
		b = strconv.AppendInt(b, m.id, 10)
	}
	b = append(b, `,"method":`...)
	b = appendName(b, m.method)
	if m.params != nil {
		b = append(b, `,"params":`...)
	}
	return b
}

// appendName appends a JSON string. Names of methods are plain but for
// mischief, which must not be able to write a message of its own.
func appendName(b []byte, name string) []byte {
	for _, c := range []byte(name) {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			text, _ := json.Marshal(name) // strings always encode
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"')
}

func (m *message) tail(b []byte) []byte {
	if m.line != nil {
		return b
	}
	return append(b, "}\n"...)
}

// writer owns the child's stdin. Only run writes to it and blocks on it; all
// others leave their messages in a queue. (Writing small messages without that
// detour, from the goroutine that has them, was measured: it gains nothing.)
type writer struct {
	file  *os.File
	stall time.Duration
	grow  func() // called before the first large write; may be nil
	grown bool
	slots chan struct{}
	wake  chan struct{}
	done  chan struct{} // closed by the owner when run has returned

	mu     sync.Mutex
	queue  []*message
	closed bool

	buf   []byte // of run
	inbuf []placed
}

// placed is a message whose first byte is buf[at].
type placed struct {
	m  *message
	at int
}

func newWriter(file *os.File, stall time.Duration, grow func()) *writer {
	return &writer{
		file: file, stall: stall, grow: grow,
		slots: make(chan struct{}, waitingRequests),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
}

// request queues a request; while too many wait it waits with them. It reports
// false when one of the channels was closed first.
func (w *writer) request(m *message, given, closing <-chan struct{}) bool {
	select {
	case w.slots <- struct{}{}:
		m.slot = true
		w.push(m)
		return true
	case <-given:
	case <-closing:
	}
	return false
}

// control queues a message that must not wait for anything. It reports false
// when too many are waiting.
func (w *writer) control(m *message) bool {
	w.mu.Lock()
	full := len(w.queue) >= waitingAnswers
	w.mu.Unlock()
	if !full {
		w.push(m)
	}
	return !full
}

func (w *writer) push(m *message) {
	w.mu.Lock()
	w.queue = append(w.queue, m)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes what is queued until close or an error; it returns nil for the
// former. What it did not begin to write is waiting again.
func (w *writer) run() error {
	var batch []*message
	for range w.wake {
		for {
			w.mu.Lock()
			if w.closed {
				w.mu.Unlock()
				return nil
			}
			batch, w.queue = w.queue, batch[:0]
			w.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			err := w.write(batch)
			clear(batch)
			if errors.Is(err, os.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) write(batch []*message) error {
	for _, m := range batch {
		if m.slot {
			<-w.slots
		}
		if !m.take() {
			continue
		}
		w.inbuf = append(w.inbuf, placed{m, len(w.buf)})
		w.buf = m.head(w.buf)
		if len(m.params) <= apart {
			w.buf = append(w.buf, m.params...)
		} else {
			if w.grow != nil && !w.grown {
				w.grown = true
				w.grow()
			}
			if err := w.flush(); err != nil {
				return err
			}
			if _, err := w.send(m.params); err != nil {
				return err
			}
		}
		w.buf = m.tail(w.buf)
		if len(w.buf) >= batchBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.flush()
}

// flush writes buf. After an error, the messages of which no byte got through
// are waiting again.
func (w *writer) flush() error {
	n, err := w.send(w.buf)
	if err != nil {
		for _, p := range w.inbuf {
			if p.at >= n {
				p.m.state.Store(waiting)
			}
		}
	}
	clear(w.inbuf)
	w.inbuf, w.buf = w.inbuf[:0], w.buf[:0]
	if cap(w.buf) > 4*batchBytes {
		w.buf = nil
	}
	return err
}

// send writes b and returns how much of it got through. Each chunk has its own
// deadline: a slow reader is no deaf one.
func (w *writer) send(b []byte) (int, error) {
	for sent := 0; ; {
		if sent == len(b) {
			return sent, nil
		}
		if err := w.file.SetWriteDeadline(time.Now().Add(w.stall)); err != nil {
			return sent, err
		}
		n, err := w.file.Write(b[sent:min(len(b), sent+chunkBytes)])
		sent += n
		if err != nil {
			return sent, err
		}
	}
}

// close ends run and closes the child's stdin, also under a blocked write.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	_ = w.file.Close() // a broken pipe is no news here
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
