package mask

import (
	"bytes"
	"errors"

	"portero/shared/rawjson"
)

// rewriter goes once through a JSON value and replaces what m finds in it.
type rewriter struct {
	m *matcher
	x text

	out    []byte // the result up to src[copied]; nil while nothing was replaced
	copied int
	count  int
	keys   bool // a key was replaced

	gateOnly bool // replace nothing, stop at the first match
	leak     int32
}

var errStop = errors.New("found")

func (w *rewriter) run(kind Kind) error {
	var buf [64]place
	open := buf[:0]      // how each open container is read
	next := kind.place() // how the next value is
	s := rawjson.NewScanner(w.x.src)
	for {
		t, err := s.Next()
		if err != nil {
			return err
		}
		switch t.Kind {
		case rawjson.End:
			return nil
		case rawjson.Object, rawjson.Array:
			open = append(open, next)
		case rawjson.ObjectClose, rawjson.ArrayClose:
			// The elements of an array are all read alike; a member's key comes first.
			if open = open[:len(open)-1]; len(open) > 0 {
				next = open[len(open)-1]
			}
		case rawjson.Key:
			var protected bool
			next, protected = open[len(open)-1].member(w.x.src[t.Start+1 : t.End-1])
			if !protected {
				before := w.count
				err = w.literal(t.Start+1, t.End-1)
				w.keys = w.keys || w.count > before
			}
		case rawjson.String:
			err = w.str(t.Start+1, t.End-1, next)
		case rawjson.Number:
			if next != word {
				err = w.number(t.Start, t.End)
			}
		}
		if err != nil {
			return err
		}
	}
}

// str rewrites the inside of a string value.
func (w *rewriter) str(lo, hi int, p place) error {
	body := w.x.src[lo:hi]
	if p == word && constant(body) {
		return nil
	}
	if p != ref || !bytes.HasPrefix(body, []byte("#/")) {
		return w.literal(lo, hi)
	}
	// A pointer into the schema: its names change as they do where it points, its
	// keywords do not.
	for from := lo + len("#/"); from <= hi; {
		to := hi
		if i := bytes.IndexByte(w.x.src[from:hi], '/'); i >= 0 {
			to = from + i
		}
		if _, keyword := schemaKeys[string(w.x.src[from:to])]; !keyword {
			if err := w.literal(from, to); err != nil {
				return err
			}
		}
		from = to + 1
	}
	return nil
}

// literal replaces every match in src[lo:hi], which lies in a string literal.
func (w *rewriter) literal(lo, hi int) error {
	w.x.lo, w.x.hi, w.x.escEnd = lo, hi, -1
	for i := lo; ; {
		h, ok := w.m.find(&w.x, i)
		if !ok {
			return nil
		}
		if w.gateOnly {
			w.leak = h.value
			return errStop
		}
		v := &w.m.values[h.value]
		repl := v.json
		if v.style {
			if matched := w.x.decode(h); matched != v.text {
				repl = inner(restyle(matched, v.repl))
			}
		}
		w.splice(h.start, h.end, repl)
		i = w.x.pass(h)
	}
}

// number replaces a number that is a value from its first digit to its last,
// by a number only: text would change the type under the reader.
func (w *rewriter) number(lo, hi int) error {
	w.x.lo, w.x.hi, w.x.escEnd = lo, hi, -1
	h, ok := w.m.at(&w.x, lo)
	if !ok || h.end != hi {
		return nil
	}
	if w.gateOnly {
		w.leak = h.value
		return errStop
	}
	if v := &w.m.values[h.value]; v.num {
		w.splice(lo, hi, []byte(v.repl))
	}
	return nil
}

func (w *rewriter) splice(start, end int, repl []byte) {
	if w.out == nil {
		w.out = make([]byte, 0, len(w.x.src)+len(w.x.src)/8+len(repl))
	}
	w.out = append(append(w.out, w.x.src[w.copied:start]...), repl...)
	w.copied = end
	w.count++
}

// rewrite returns src with every match replaced, or src itself, how many there
// were, and whether one was in a key. A message in which nothing matches is
// recognised without looking at its structure.
func (m *matcher) rewrite(src []byte, kind Kind) (out []byte, count int, keys bool, err error) {
	x := whole(src, true)
	if !m.occurs(&x) {
		return src, 0, false, nil
	}
	w := rewriter{m: m, x: whole(src, true)}
	if err := w.run(kind); err != nil {
		return nil, 0, false, err
	}
	if w.count == 0 {
		return src, 0, false, nil
	}
	return append(w.out, src[w.copied:]...), w.count, w.keys, nil
}

// leaks returns the first value that the gate finds in src, or -1.
func (m *matcher) leaks(src []byte, kind Kind) (int32, error) {
	x := whole(src, true)
	x.gate = true
	if !m.occurs(&x) {
		return -1, nil
	}
	w := rewriter{m: m, x: x, gateOnly: true}
	w.x.escEnd = -1
	switch err := w.run(kind); err {
	case nil:
		return -1, nil
	case errStop:
		return w.leak, nil
	default:
		return -1, err
	}
}

// occurs reports whether anything matches anywhere in x.
func (m *matcher) occurs(x *text) bool {
	_, ok := m.find(x, x.lo)
	return ok
}

func whole(src []byte, json bool) text {
	return text{src: src, hi: len(src), json: json, escEnd: -1}
}

// inner returns s as the inside of a JSON string literal.
func inner(s string) []byte {
	quoted := rawjson.Quote(nil, s)
	return quoted[1 : len(quoted)-1]
}
