package rawjson

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// replaced is Replace with strings and a search for each part's place: slow,
// and plainly right. places[i] is where edits[i].Part begins.
func replaced(whole string, places []int, edits []Edit) string {
	var out strings.Builder
	for i := 0; i <= len(whole); {
		hit := false
		for k, at := range places {
			if at == i && len(edits[k].Part) > 0 {
				out.Write(edits[k].With)
				i += len(edits[k].Part)
				hit = true
			}
		}
		if !hit {
			if i < len(whole) {
				out.WriteByte(whole[i])
			}
			i++
		}
	}
	return out.String()
}

func TestReplaceAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 3000 {
		whole := make([]byte, r.IntN(60), 100)
		for i := range whole {
			whole[i] = "ab"[r.IntN(2)] // equal parts at different places
		}
		var edits []Edit
		var places []int
		for at := 0; at < len(whole); {
			size := 1 + r.IntN(5)
			if at+size > len(whole) {
				break
			}
			if r.IntN(2) == 0 {
				part := whole[at : at+size]
				with := bytes.Repeat([]byte{'X'}, r.IntN(9))
				if r.IntN(8) == 0 {
					with = nil
				}
				edits, places = append(edits, Edit{part, with}), append(places, at)
			}
			at += size
		}
		want := replaced(string(whole), places, edits)
		r.Shuffle(len(edits), func(i, k int) { edits[i], edits[k] = edits[k], edits[i] })
		before := string(whole)
		got := Replace(whole, edits...)
		if string(got) != want {
			t.Fatalf("round %d: %d edits in %s\ngot  %s\nwant %s", round, len(edits), whole, got, want)
		}
		if string(whole) != before {
			t.Fatalf("round %d: the input was changed to %s", round, whole)
		}
	}
}

func TestReplaceWhatMembersReturn(t *testing.T) {
	whole := []byte(` {"a" : 1.0, "b":[ 1, "x" ],"c":{"d":"x"}} `)
	b, ok := Get(whole, "b")
	if !ok {
		t.Fatal("no b")
	}
	var first []byte
	if err := Elements(b, func(v []byte) error {
		if first == nil {
			first = v
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c, _ := Get(whole, "c")
	d, ok := Get(c, "d") // a slice of a slice
	if !ok {
		t.Fatal("no d")
	}
	got := Replace(whole, Edit{d, []byte(`"longer than before"`)}, Edit{first, nil})
	if want := ` {"a" : 1.0, "b":[ , "x" ],"c":{"d":"longer than before"}} `; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReplaceNothing(t *testing.T) {
	whole := []byte(`{"a":1}`)
	if got := Replace(whole); &got[0] != &whole[0] || len(got) != len(whole) {
		t.Error("without edits it is not the same bytes")
	}
	if got := Replace(whole, Edit{whole, []byte("null")}); string(got) != "null" {
		t.Errorf("the whole replaced: %s", got)
	}
	if got := Replace(nil); got != nil {
		t.Errorf("nothing of nothing is %q", got)
	}
}

func TestReplaceRefusesForeignParts(t *testing.T) {
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, "not inside") {
			t.Errorf("a part of another text: %s", p)
		}
	}()
	Replace([]byte(`{"a":1}`), Edit{[]byte(`{"a":1}`), nil})
}
