package mask

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"portero/shared/rawjson"
)

// exact and loose make two-way pairs from "real=fake".
func exact(pairs ...string) []Pair { return makePairs(true, pairs) }
func loose(pairs ...string) []Pair { return makePairs(false, pairs) }

func makePairs(caseSensitive bool, texts []string) (pairs []Pair) {
	for i, text := range texts {
		real, fake, _ := strings.Cut(text, "=")
		pairs = append(pairs, Pair{Real: real, Fake: fake, CaseSensitive: caseSensitive, Label: fmt.Sprintf("pair %d", i+1)})
	}
	return pairs
}

func TestMaskAndRestore(t *testing.T) {
	maria := exact("María Cárdenas=John Doe")
	tests := []struct {
		name  string
		pairs []Pair
		in    string
		fake  string // "" means unchanged
		back  string // of fake; "" means in
	}{
		{"plain", maria, `{"a":["María Cárdenas"]}`, `{"a":["John Doe"]}`, ``},
		{"every other byte stays", maria, " { \"b\" :1.0,\"a\":[-0, 1E400,9007199254740993,\"\\ud800\\/\",\"María Cárdenas\" ] ,\"b\":2}\n",
			" { \"b\" :1.0,\"a\":[-0, 1E400,9007199254740993,\"\\ud800\\/\",\"John Doe\" ] ,\"b\":2}\n", ``},
		{"inside text", maria, `"Hi María Cárdenas, <María Cárdenas>\u0021"`, `"Hi John Doe, <John Doe>\u0021"`, ``},
		{"key", maria, `{"María Cárdenas":{"to María Cárdenas":1}}`, `{"John Doe":{"to John Doe":1}}`, ``},
		{"no match", maria, `"Maria Cardenas"`, ``, ``},

		{"escapes on the wire", maria, `"Mar\u00eda\u0020C\u00E1rdenas\n"`, `"John Doe\n"`, `"María Cárdenas\n"`},
		{"partly escaped", maria, `"\u004dar\u00eda Cárdena\u0073"`, `"John Doe"`, `"María Cárdenas"`},
		{"escaped backslash before", maria, `"\\María Cárdenas\\u00ed"`, `"\\John Doe\\u00ed"`, ``},
		{"half of an escape is no text", exact("n2=x7"), `"\n2 \\n2"`, `"\n2 \\x7"`, ``},
		{"slash", exact("a/b/c=x/y"), `"a\/b/c"`, `"x/y"`, `"a/b/c"`},
		{"surrogate pair", exact("a😀b=smile"), `["a😀b","a\ud83d\ude00b","a\ud83db"]`, `["smile","smile","a\ud83db"]`, `["a😀b","a😀b","a\ud83db"]`},
		{"no replacement for half a pair", exact("abcd\uFFFDb=xyz9"), `["abcd\ud800b","abcd` + "\xff" + `b","abcd` + "\uFFFD" + `b"]`, `["abcd\ud800b","abcd` + "\xff" + `b","xyz9"]`, ``},
		{"around invalid UTF-8", maria, "\"\xc3María Cárdenas\xff\"", "\"\xc3John Doe\xff\"", ``},
		{"quote, backslash, line break in fake", exact("secret=a\"b\\c\nd\te\x01"), `"secret"`, `"a\"b\\c\nd\te\u0001"`, ``},
		{"and in real", exact("a\"b\\c\nd=plain"), `["a\"b\\c\nd","a\u0022b\u005Cc\u000ad"]`, `["plain","plain"]`, `["a\"b\\c\nd","a\"b\\c\nd"]`},

		{"longest", exact("Ann Lee=Eve Ray", "Ann Lee Smith=Sam Fox", "Lee Smith=Nobody"), `"Ann Lee Smith, Ann Lee Smit"`, `"Sam Fox, Eve Ray Smit"`, ``},
		{"leftmost", exact("Ann Lee=Eve Ray", "Lee Smith-Jones=Nobody"), `"Ann Lee Smith-Jones"`, `"Eve Ray Smith-Jones"`, ``},
		{"real inside a real", exact("example=sample", "mail@example.com=me@test.org"), `"mail@example.com example"`, `"me@test.org sample"`, ``},
		{"chain", exact("Alice=Carol", "Carol=Erika"), `"Alice Carol Erika"`, `"Carol Erika Erika"`, `"Alice Carol Carol"`},
		{"ring", exact("Alice=Carol", "Carol=Erika", "Erika=Alice"), `"Alice Carol Erika"`, `"Carol Erika Alice"`, ``},
		{"cascade", exact("bcdef=xyz12", "axyz12=never"), `"abcdef"`, `"axyz12"`, `"abcdef"`},
		{"fakes that begin alike", exact("one@x=User1", "two@x=User10", "three@x=User100"), `"three@x,two@x,one@x"`, `"User100,User10,User1"`, ``},
		{"nothing is a pattern", exact("a.c*=$& \\1 %s", "x+y=[z]"), `"a.c* abc x+y xxy"`, `"$& \\1 %s abc [z] xxy"`, ``},
		{"one real, two fakes", exact("Alice=Carol", "Alice=Erika"), `"Alice"`, `"Carol"`, ``},
		{"one fake, two reals", exact("Alice=Carol", "Berta=Carol"), `"Berta Alice"`, `"Carol Carol"`, `"Alice Alice"`},
		{"equal sides", exact("Alice=Alice"), `"Alice"`, ``, ``},

		{"whole word", exact("Ann=Eve"), `"Ann, (Ann) Ann's ann_Ann Annual Joann JoAnn Ann1 1Ann Ánn éAnn Ann"`,
			`"Eve, (Eve) Eve's ann_Eve Annual Joann JoAnn Ann1 1Ann Ánn éAnn Eve"`, ``},
		{"whole word between escapes", exact("Ann=Eve"), `["\nAnn\t","\u0041nn","x\u0041nn","Ann\u0061","\u0061Ann","\u005cAnn","\\nAnn","Ann\u00e1"]`,
			`["\nEve\t","Eve","x\u0041nn","Ann\u0061","\u0061Ann","\u005cEve","\\nAnn","Ann\u00e1"]`, `["\nAnn\t","Ann","x\u0041nn","Ann\u0061","\u0061Ann","\u005cAnn","\\nAnn","Ann\u00e1"]`},
		{"four letters, five letters", exact("Anna=Evas", "Annas=Petra"), `"Annab Annasb Annas"`, `"Annab Petrab Petra"`, ``},
		{"short, but not letters only", exact("A1=Z9", "x@y=u@v"), `"BA1B ax@yb"`, `"BZ9B au@vb"`, ``},
		{"script without spaces", exact("李明=王芳", "김민수=홍길동"), `"我叫李明。김민수는"`, `"我叫王芳。홍길동는"`, ``},
		{"short word next to such a script", exact("Ann=Eve"), `"我叫Ann。"`, `"我叫Eve。"`, ``},

		{"case sensitive leaves other spellings", maria, `"MARÍA CÁRDENAS maría cárdenas"`, ``, ``},
		{"case pattern", loose("María Cárdenas=John Doe"), `["María Cárdenas","MARÍA CÁRDENAS","maría cárdenas"]`, `["John Doe","JOHN DOE","john doe"]`, ``},
		{"case pattern in escapes", loose("María=Johan"), `"MAR\u00cdA mar\u00eda"`, `"JOHAN johan"`, `"MARÍA maría"`},
		{"no pattern, as configured", loose("María Cárdenas=John McDoe"), `"mArÍa Cárdenas"`, `"John McDoe"`, `"María Cárdenas"`},
		{"Title Case", loose("maría cárdenas=john doe"), `["María Cárdenas","maría cárdenas"]`, `["John Doe","john doe"]`, ``},
		{"one letter is both", loose("J=Q"), `"J j"`, `"Q q"`, ``},
		{"no letters to carry over to", loose("acme=4711-1"), `"ACME"`, `"4711-1"`, `"acme"`},
		{"folding", loose("kelvin straße=test person"), `"` + "K" + `ELVIN ſTRAßE"`, `"test person"`, `"kelvin straße"`},
		{"what folds to several letters is not matched", loose("straße=gasse"), `"STRASSE"`, ``, ``},
		{"sensitive and not, longest wins", append(exact("Ann Lee=Eve Ray"), loose("ann lee smith=sam fox")...), `"Ann Lee Ann Lee Smith ann lee"`, `"Eve Ray Sam Fox ann lee"`, ``},
		{"sensitive and not, first wins", append(loose("Annie=Petra"), exact("Annie=Other")...), `"Annie"`, `"Petra"`, ``},

		{"number", exact("712345=900001"), `{"712345":[712345,"712345",1712345,712345.0,-712345]}`, `{"900001":[900001,"900001",1712345,712345.0,-712345]}`, ``},
		{"number of another length", exact("12=9e9", "1234=7"), `[12,1234,123,12345]`, `[9e9,7,123,12345]`, ``},
		{"number with a fake that is none", exact("712345=acct-1"), `[712345,"712345"]`, `[712345,"acct-1"]`, ``},
		{"fake that only looks like a number", exact("712345=007"), `[712345,"712345"]`, `[712345,"007"]`, ``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.fake == "" {
				test.fake = test.in
			}
			if test.back == "" {
				test.back = test.in
			}
			table := mustCompile(t, test.pairs...)
			in := []byte(test.in)
			got, n, err := table.Mask(in, Payload)
			if err != nil || string(got) != test.fake {
				t.Fatalf("Mask gave %s (%v)\nwant       %s", got, err, test.fake)
			}
			if same := test.in == test.fake; same != (n == 0) || same != (&got[0] == &in[0]) {
				t.Errorf("%d replacements, same slice %v", n, &got[0] == &in[0])
			}
			if string(in) != test.in {
				t.Errorf("the input became %s", in)
			}
			back, _, err := table.Restore(got)
			if err != nil || string(back) != test.back {
				t.Errorf("Restore gave %s (%v)\nwant          %s", back, err, test.back)
			}
		})
	}
}

func TestOneWay(t *testing.T) {
	table := mustCompile(t,
		Pair{Real: "sk_live_1", Fake: "KEY-A", OneWay: true},
		Pair{Real: "Olivares", Fake: "Company", OneWay: true, Placeholder: "<\"company\">"},
		Pair{Real: "4711", Fake: "1", OneWay: true, Placeholder: "0"},
		Pair{Real: "Zaragoza", Fake: "Zaragoza", OneWay: true, Placeholder: "CITY"},
	)
	got, n, err := table.Mask([]byte(`["sk_live_1","OLIVARES olivares",4711,"Zaragoza","KEY-A"]`), Payload)
	if want := `["***REDACTED***","<\"company\"> <\"company\">",0,"CITY","KEY-A"]`; err != nil || n != 5 || string(got) != want {
		t.Errorf("got %s, %d, %v\nwant %s", got, n, err, want)
	}
	got, _, err = table.Restore([]byte(`["KEY-A","***REDACTED***","company <\"company\">"]`))
	if want := `["sk_live_1","***REDACTED***","olivares <\"olivares\">"]`; err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestMaskText(t *testing.T) {
	table := mustCompile(t, append(exact(`C:\María=D:\Doe`, "Ann=Eve"), loose("cárdenas=smith")...)...)
	for in, want := range map[string]string{
		"":                        "",
		`C:\María\nAnn`:           `D:\Doe\nAnn`,
		"Ann:\nCÁRDENAS \"Ann\"":  "Eve:\nSMITH \"Eve\"",
		"\xffAnn\xff cárdenas":    "\xffEve\xff smith",
		`{"a":"Mar\u00eda", Anne`: `{"a":"Mar\u00eda", Anne`,
		"Ann":                     "Eve",
	} {
		if got := table.MaskText(in); got != want {
			t.Errorf("MaskText(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRestoreRefusesKeysThatMerge(t *testing.T) {
	table := mustCompile(t, exact("María=Johan")...)
	if got, _, err := table.Restore([]byte(`{"x":{"Johan":1,"María":2}}`)); err == nil || got != nil || !errors.Is(err, rawjson.ErrParams) {
		t.Errorf("got %s, %v", got, err)
	}
	if _, _, err := table.Restore([]byte(`{"Johan":1,"x":{"María":2}}`)); err != nil {
		t.Error(err)
	}
}

func TestBrokenInputIsWithheld(t *testing.T) {
	table := mustCompile(t, exact("María=Johan")...)
	for _, s := range []string{`María`, `{"a":"María"`, `"María" 1`, `{"María"}`} {
		if got, _, err := table.Mask([]byte(s), Payload); err == nil || got != nil || strings.Contains(err.Error(), "Mar") {
			t.Errorf("Mask(%s) = %s, %v", s, got, err)
		}
		if _, found := table.Leak([]byte(s), Payload); !found {
			t.Errorf("the gate lets %s pass", s)
		}
	}
}

func TestLeak(t *testing.T) {
	pairs := append(exact("María Cárdenas=John Doe", "4711=none", "John=Jane", "Ann=Eve", "Zoe=X\"y"), loose("olivares=company")...)
	pairs = append(pairs, Pair{Real: "REDACTED", Fake: "zzz", OneWay: true, CaseSensitive: true, Label: "pair 7"}, Pair{Real: "COMP", Fake: "q", CaseSensitive: true, Label: "pair 8"},
		Pair{Real: "OMPAN", Fake: "r", CaseSensitive: true, Label: "pair 9"}) // part of the fake COMPANY, as of OLIVARES
	table := mustCompile(t, pairs...)
	if got := fmt.Sprint(table.Ungated()); got != "[pair 3 pair 7 pair 9]" {
		t.Errorf("ungated: %s", got)
	}
	for in, want := range map[string]string{
		`{"a":"Mar\u00eda C\u00e1rdenas"}`: "pair 1",
		`{"María Cárdenas":1}`:             "pair 1",
		`["x",4711]`:                       "pair 2",
		`["x4711"]`:                        "pair 2",
		`[47110,"John","REDACTED"]`:        "",
		`["Ann"]`:                          "pair 4",
		`["Annual"]`:                       "",
		`["OLIVARES"]`:                     "pair 1",
		`["Zoe"]`:                          "pair 5",
		`["the COMP file"]`:                "pair 8",
		`["COMPANY"]`:                      "",
		`["John Doe"]`:                     "",
		`["company"]`:                      "",
	} {
		label, found := table.Leak([]byte(in), Payload)
		if label != want || found != (want != "") {
			t.Errorf("Leak(%s) = %q, %v, want %q", in, label, found, want)
		}
	}
	// What Mask leaves because no number can take its place is caught.
	masked, _, err := table.Mask([]byte(`{"account":4711}`), Payload)
	if _, found := table.Leak(masked, Payload); err != nil || !found {
		t.Errorf("%s passes the gate (%v)", masked, err)
	}
	// A fake and what stands beside it make up a real value.
	table = mustCompile(t, exact("secret=Peter", "Peter Pan=Other")...)
	masked, _, err = table.Mask([]byte(`"secret Pan"`), Payload)
	if label, found := table.Leak(masked, Payload); err != nil || !found || label != "pair 2" {
		t.Errorf("%s: %q, %v, %v", masked, label, found, err)
	}
}

func TestEmptyTable(t *testing.T) {
	for name, table := range map[string]*Table{"nil": nil, "zero": {}, "compiled": mustCompile(t)} {
		doc := []byte(`not even JSON`)
		masked, n, err := table.Mask(doc, Result)
		restored, m, err2 := table.Restore(doc)
		_, found := table.Leak(doc, Result)
		if &masked[0] != &doc[0] || &restored[0] != &doc[0] || n+m != 0 || err != nil || err2 != nil || found || table.MaskText("x") != "x" || table.Ungated() != nil {
			t.Errorf("%s: not a no-op", name)
		}
		if table.Digest([]byte("s")) != (*Table)(nil).Digest([]byte("s")) {
			t.Errorf("%s: another digest", name)
		}
	}
}

func TestCompileReportsEveryFault(t *testing.T) {
	_, err := Compile([]Pair{
		{Real: "", Fake: "x", Label: "line 1"}, {Real: "hunter2", Fake: " \t", Label: "line 2"}, {Real: "ok", Fake: "fine", Label: "line 3"},
		{Real: "hunter2\xff", Fake: "x", Label: "line 4"}, {Real: "hunter2", Fake: "x", OneWay: true, Placeholder: "\xff", Label: "line 5"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"line 1: the real value is empty", "line 2: the fake value is empty", "line 4", "line 5"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "line 3") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestDigest(t *testing.T) {
	base := []Pair{{Real: "ab", Fake: "c", CaseSensitive: true, Label: "1"}, {Real: "d", Fake: "e", Label: "2"}}
	salt := []byte("salt")
	want := mustCompile(t, base...).Digest(salt)
	relabelled := []Pair{base[0], base[1]}
	relabelled[0].Label = "elsewhere"
	if mustCompile(t, relabelled...).Digest(salt) != want {
		t.Error("the label counts")
	}
	if mustCompile(t, base...).Digest([]byte("other")) == want {
		t.Error("the salt does not count")
	}
	for name, change := range map[string]func(p []Pair){
		"real": func(p []Pair) { p[0].Real = "x" }, "fake": func(p []Pair) { p[0].Fake = "x" }, "case": func(p []Pair) { p[0].CaseSensitive = false },
		"one way": func(p []Pair) { p[0].OneWay = true }, "order": func(p []Pair) { p[0], p[1] = p[1], p[0] },
		"boundary": func(p []Pair) { p[0].Real, p[0].Fake = "b", "ca" },
	} {
		pairs := []Pair{base[0], base[1]}
		change(pairs)
		if mustCompile(t, pairs...).Digest(salt) == want {
			t.Errorf("%s does not count", name)
		}
	}
}

func TestValuesAreNotPrinted(t *testing.T) {
	p := Pair{Real: "hunter2", Fake: "password", Label: "replacement at portero.toml:31"}
	table := mustCompile(t, p)
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb, p)
		fmt.Fprintf(&b, verb, &p)
		fmt.Fprintf(&b, verb, table)
		fmt.Fprintf(&b, verb, []Pair{p})
	}
	encoded, _ := json.Marshal([]any{p, table})
	b.Write(encoded)
	log := slog.New(slog.NewJSONHandler(&b, nil))
	log.Info("x", "pair", p, "table", table)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "pair", p, "table", table)
	for _, secret := range []string{"hunter2", "password", "68756e74"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("%s is in %s", secret, b.String())
		}
	}
	if !strings.Contains(b.String(), "portero.toml:31") {
		t.Error("the label is not printed")
	}
}
