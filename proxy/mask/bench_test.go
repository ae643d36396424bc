package mask

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"portero/shared/rawjson"
)

var (
	firsts  = strings.Fields("María José Ana Luis Carmen Jörg Björn Anna Peter Susan Robert Linda Søren Chloé André Ingrid Paul Julia Marta Hugo")
	lasts   = strings.Fields("Cárdenas Olivares García Müller Schmidt Johnson Williams Brown Svensson Dubois Rossi Novak Kowalski Jensen Silva")
	streets = strings.Fields("Calle Avenida Street Road Lane Plaza Allee Gasse")
)

// people returns pairs such as a company might configure: names, addresses,
// phone numbers, keys.
func people(n int) []Pair {
	rng := rand.New(rand.NewSource(7))
	seen := map[string]bool{}
	var pairs []Pair
	for len(pairs) < n {
		first, last := firsts[rng.Intn(len(firsts))], lasts[rng.Intn(len(lasts))]
		id := rng.Intn(100_000)
		real := []string{
			first + " " + last, fmt.Sprintf("%s.%s%d@%s.es", strings.ToLower(first), strings.ToLower(last), id%100, strings.ToLower(last)),
			fmt.Sprintf("+34 6%02d %03d %03d", id%100, id%997, id%883), fmt.Sprintf("sk_live_%x%x", rng.Int63(), id),
			fmt.Sprintf("%s %s %d", streets[rng.Intn(len(streets))], last, id%200), fmt.Sprintf("%s %s %d S.L.", last, first, id),
		}[rng.Intn(6)]
		if !seen[real] {
			seen[real] = true
			pairs = append(pairs, Pair{Real: real, Fake: fmt.Sprintf("Fake Person %d", len(pairs)), CaseSensitive: rng.Intn(2) == 0, Label: fmt.Sprint(len(pairs))})
		}
	}
	return pairs
}

// mail is text like that of common MCP servers, size bytes of it; hit is put in
// every so often.
func mail(size int, hit string) []byte {
	rng := rand.New(rand.NewSource(8))
	words := strings.Fields("the quarterly report for María and the team was sent to all members of Cardena street on Monday please review it before the next meeting at noon issue closed repository created_at updated_at https://example.com/path?id=1 Street Johnson")
	var b strings.Builder
	b.WriteString(`{"content":[`)
	for b.Len() < size {
		fmt.Fprintf(&b, `{"type":"text","id":%d,"text":"`, rng.Int63())
		for range 30 {
			b.WriteString(words[rng.Intn(len(words))] + " ")
		}
		b.WriteString(`\n- line\n\n\"quoted\" caf\u00e9 ` + hit)
		b.WriteString(`","data":"`)
		for range 3 {
			fmt.Fprintf(&b, "%x", rng.Int63())
		}
		b.WriteString(`"},`)
	}
	b.WriteString(`{}]}`)
	return []byte(b.String())
}

func TestNoAllocationWithoutMatch(t *testing.T) {
	table := mustCompile(t, people(100)...)
	doc := mail(20_000, "")
	protocol := []byte(`{"type":"text","x":[612]}`)
	words := mustCompile(t, Pair{Real: "text", Fake: "Word", CaseSensitive: true}, Pair{Real: "12", Fake: "99", CaseSensitive: true})
	for name, run := range map[string]func(){
		"mask":    func() { _, _, _ = table.Mask(doc, Result) },
		"restore": func() { _, _, _ = table.Restore(doc) },
		"leak":    func() { table.Leak(doc, Result) },
		// Here the fast look finds something that belongs to the protocol.
		"structure": func() { _, _, _ = words.Mask(protocol, Result) },
	} {
		if n := testing.AllocsPerRun(20, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	out, n, err := table.Mask(doc, Result)
	if err != nil || n != 0 || &out[0] != &doc[0] || len(out) != len(doc) {
		t.Errorf("%d replacements, %v", n, err)
	}
}

// TestWorstCases feeds what could make a scanner slow. The bound is far above
// what linear time takes and far below quadratic.
func TestWorstCases(t *testing.T) {
	pairs := append(people(200), Pair{Real: strings.Repeat("a", 30) + "b", Fake: "Zed Zed", Label: "a"}, Pair{Real: "Ann", Fake: "Eve", Label: "w"}, Pair{Real: "\\\\n", Fake: "zz", Label: "b"})
	table := mustCompile(t, pairs...)
	const size = 64 << 10
	for name, doc := range map[string]string{
		"one letter":      `"` + strings.Repeat("a", size) + `"`,
		"backslashes":     `"` + strings.Repeat(`\\`, size/2) + `"`,
		"escaped letters": `"` + strings.Repeat(`\u0061`, size/6) + `"`,
		"short words":     `"` + strings.Repeat("Ann ", size/4) + `"`,
		"glued words":     `"` + strings.Repeat("Ann", size/3) + `"`,
		"hits":            `["` + strings.Repeat(pairs[0].Real+`","`, size/20) + `"]`,
		"keys":            `{` + strings.Repeat(`"Ann":0,`, size/8) + `"x":0}`,
		"nesting":         strings.Repeat(`[{"Ann":`, 400) + `"` + strings.Repeat("a", size) + `"` + strings.Repeat("}]", 400),
	} {
		took := time.Hour
		for range 3 { // the machine may be busy with something else
			start := time.Now()
			masked, _, err := table.Mask([]byte(doc), Result)
			if err != nil || !json.Valid(masked) {
				t.Errorf("%s: %v", name, err)
			}
			table.Leak(masked, Result)
			if took = min(took, time.Since(start)); took < time.Second {
				break
			}
		}
		if took > 2*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func BenchmarkMask(b *testing.B) {
	const size = 5 << 20
	doc := mail(size, "")
	b.Run("json.Valid", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			if !json.Valid(doc) {
				b.Fatal("invalid")
			}
		}
	})
	b.Run("rawjson.Valid", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			if rawjson.Valid(doc) != nil {
				b.Fatal("invalid")
			}
		}
	})
	for _, n := range []int{10, 100, 1000} {
		pairs := people(n)
		table, err := Compile(pairs)
		if err != nil {
			b.Fatal(err)
		}
		for name, doc := range map[string][]byte{"clean": doc, "hits": mail(size, pairs[0].Real)} {
			b.Run(fmt.Sprintf("%d pairs/%s", n, name), func(b *testing.B) {
				b.SetBytes(int64(len(doc)))
				b.ReportAllocs()
				for b.Loop() {
					if _, hits, err := table.Mask(doc, Result); err != nil || (hits > 0) != (name == "hits") {
						b.Fatal(hits, err)
					}
				}
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	pairs := people(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(pairs); err != nil {
			b.Fatal(err)
		}
	}
}

func mustCompile(t testing.TB, pairs ...Pair) *Table {
	t.Helper()
	table, err := Compile(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return table
}
