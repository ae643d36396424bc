package bind

import (
	"bytes"
	"reflect"
	"regexp"
	"testing"
)

func sample() Fields {
	return Fields{Task: "t_1", Journal: "jour", Tool: "kit/echo", Launch: []byte("launch"), Def: []byte("definition"),
		Args: []byte(`{"a":1.0}`), Table: []byte("table"), Rule: "require-approval default", Scope: "machine", Salt: []byte("0123456789abcdef")}
}

// get and set treat every field as bytes.
func get(f Fields, i int) []byte {
	if v := reflect.ValueOf(f).Field(i); v.Kind() == reflect.String {
		return []byte(v.String())
	}
	return bytes.Clone(reflect.ValueOf(f).Field(i).Bytes())
}

func set(f Fields, i int, b []byte) Fields {
	v := reflect.ValueOf(&f).Elem().Field(i)
	if v.Kind() == reflect.String {
		v.SetString(string(b))
	} else {
		v.SetBytes(b)
	}
	return f
}

func TestEveryFieldIsBound(t *testing.T) {
	base := sample()
	if Digest(base) != Digest(sample()) {
		t.Fatal("the same fields give two digests")
	}
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(Digest(base)) {
		t.Fatalf("digest %q", Digest(base))
	}
	seen := map[string]string{Digest(base): "the original"}
	typ := reflect.TypeFor[Fields]()
	for i := range typ.NumField() {
		was := get(base, i)
		if len(was) == 0 {
			t.Fatalf("the sample has no %s", typ.Field(i).Name)
		}
		flipped := bytes.Clone(was)
		flipped[len(flipped)-1] ^= 1
		for what, b := range map[string][]byte{"one bit changed": flipped, "one byte more": append(bytes.Clone(was), ' '),
			"one byte less": was[:len(was)-1], "nothing in it": nil, "a zero byte more": append(bytes.Clone(was), 0)} {
			name := typ.Field(i).Name + " with " + what
			d := Digest(set(base, i, b))
			if other, ok := seen[d]; ok {
				t.Errorf("%s is bound like %s", name, other)
			}
			seen[d] = name
		}
	}
}

// TestBytesDoNotMoveBetweenFields cuts the same bytes at another place, for
// every pair of fields.
func TestBytesDoNotMoveBetweenFields(t *testing.T) {
	n := reflect.TypeFor[Fields]().NumField()
	for i := range n {
		for k := range n {
			if i == k {
				continue
			}
			base := sample()
			a, b := get(base, i), get(base, k)
			moved := set(set(base, i, a[:len(a)-1]), k, append([]byte{a[len(a)-1]}, b...))
			swapped := set(set(base, i, b), k, a)
			for what, f := range map[string]Fields{"moved": moved, "swapped": swapped} {
				if Digest(f) == Digest(base) {
					t.Errorf("fields %s and %s, %s: the same digest", reflect.TypeFor[Fields]().Field(i).Name, reflect.TypeFor[Fields]().Field(k).Name, what)
				}
			}
		}
	}
}

func TestCodeAndIDs(t *testing.T) {
	code := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}$`)
	id := regexp.MustCompile(`^t_[0-9A-HJKMNP-TV-Z]{26}$`)
	ids, codes, salts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for range 2000 {
		task, salt := NewTask(), NewSalt()
		if !id.MatchString(task) || len(salt) != 32 {
			t.Fatalf("id %q, salt of %d bytes", task, len(salt))
		}
		c := Code(task)
		if !code.MatchString(c) || Code(task) != c {
			t.Fatalf("code %q of %s, then %q", c, task, Code(task))
		}
		ids[task], codes[c], salts[string(salt)] = true, true, true
	}
	if len(ids) != 2000 || len(salts) != 2000 || len(codes) < 1900 {
		t.Errorf("of 2000: %d ids, %d salts, %d codes differ", len(ids), len(salts), len(codes))
	}
	// A code is on screens and in messages: it must not change with a build.
	if got := Code("t_00000000000000000000000000"); got != "1NX4" {
		t.Errorf("code of the known id is %s", got)
	}
}
