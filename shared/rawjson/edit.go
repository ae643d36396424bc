package rawjson

import (
	"bytes"
	"fmt"
)

// Members calls yield for every member of the object obj, in order, with the
// key literal (quotes included) and the value, both slices of obj. It stops at
// the first error, its own (of type *Error) or yield's, and returns it.
func Members(obj []byte, yield func(key, value []byte) error) error {
	s := NewScanner(obj)
	if t, err := s.Next(); err != nil {
		return err
	} else if t.Kind != Object {
		return &Error{CodeInvalid, "not a JSON object"}
	}
	for {
		t, err := s.Next()
		if err != nil {
			return err
		}
		if t.Kind != Key {
			break
		}
		value, err := s.Skip()
		if err != nil {
			return err
		}
		if err := yield(obj[t.Start:t.End], value); err != nil {
			return err
		}
	}
	_, err := s.Next() // nothing but spaces may follow
	return err
}

// Elements calls yield for every element of the array arr, in order, with a
// slice of arr. It stops at the first error, its own or yield's.
func Elements(arr []byte, yield func(value []byte) error) error {
	s := NewScanner(arr)
	if t, err := s.Next(); err != nil {
		return err
	} else if t.Kind != Array {
		return &Error{CodeInvalid, "not a JSON array"}
	}
	for {
		// Whether an element or the end follows is known only after the comma.
		i := space(arr, s.pos)
		if i < len(arr) && arr[i] == ']' {
			break
		}
		value, err := s.Skip()
		if err != nil {
			return err
		}
		if err := yield(value); err != nil {
			return err
		}
	}
	if _, err := s.Next(); err != nil {
		return err
	}
	_, err := s.Next()
	return err
}

// Valid returns nil when data is one JSON value no deeper than MaxDepth, else
// an *Error. Like encoding/json it does not look at UTF-8.
func Valid(data []byte) error {
	s := NewScanner(data)
	for {
		if t, err := s.Next(); err != nil || t.Kind == End {
			return err
		}
	}
}

// KeyIs reports whether the key literal spells name, escaped or not.
func KeyIs(key []byte, name string) bool {
	if len(key) >= 2 && string(key[1:len(key)-1]) == name {
		return true
	}
	if bytes.IndexByte(key, '\\') < 0 {
		return false
	}
	text, err := Unquote(key)
	return err == nil && text == name
}

// Get returns the value of the member called key, a slice of obj. Of several
// members of that name it returns the last, as most parsers do. It reports
// false when there is none or obj is not a valid object.
func Get(obj []byte, key string) (value []byte, ok bool) {
	err := Members(obj, func(k, v []byte) error {
		if KeyIs(k, key) {
			value, ok = v, true
		}
		return nil
	})
	if err != nil {
		return nil, false
	}
	return value, ok
}

// Set returns obj with value in the place of the member called key, or with
// that member added behind the others; every other byte stays. All members of
// that name are replaced, so that no parser finds the old value. What is not a
// valid object is returned as it is.
func Set(obj []byte, key string, value []byte) []byte {
	out := make([]byte, 0, len(obj)+len(key)+len(value)+4)
	copied, found := 0, false
	end := 0 // behind the last value
	err := Members(obj, func(k, v []byte) error {
		start := offset(obj, v)
		end = start + len(v)
		if KeyIs(k, key) {
			found = true
			out = append(append(out, obj[copied:start]...), value...)
			copied = end
		}
		return nil
	})
	if err != nil {
		return obj
	}
	if found {
		return append(out, obj[copied:]...)
	}
	comma := end > 0
	if !comma {
		end = bytes.IndexByte(obj, '{') + 1
	}
	out = append(out, obj[:end]...)
	if comma {
		out = append(out, ',')
	}
	out = append(Quote(out, key), ':')
	out = append(out, value...)
	return append(out, obj[end:]...)
}

// Delete returns obj without any member called key; every byte that does not
// belong to such a member or its comma stays. When there is none, or obj is
// not a valid object, obj itself is returned.
func Delete(obj []byte, key string) []byte {
	var out []byte
	kept, found := false, false
	behind := 0 // the end of the member before
	err := Members(obj, func(k, v []byte) error {
		start := offset(obj, k)
		end := offset(obj, v) + len(v)
		if behind == 0 {
			out = append(out, obj[:start]...)
		}
		if KeyIs(k, key) {
			found = true
		} else {
			if kept {
				out = append(out, obj[behind:start]...)
			}
			out = append(out, obj[start:end]...)
			kept = true
		}
		behind = end
		return nil
	})
	if err != nil || !found {
		return obj
	}
	return append(out, obj[behind:]...)
}

// offset returns where part begins in whole. Slices of one array that were cut
// without a capacity end at the same place, so their capacities tell.
func offset(whole, part []byte) int {
	at := cap(whole) - cap(part)
	if at < 0 || at+len(part) > len(whole) || len(part) > 0 && &whole[at] != &part[0] {
		panic(fmt.Sprintf("rawjson: a part of %d bytes is not inside the whole of %d", len(part), len(whole)))
	}
	return at
}
