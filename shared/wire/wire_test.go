package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"portero/shared/task"
)

// fill sets every field of a message to something that is not its zero value.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("tëxt %d <&> \u2028 \"\\", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(1<<40 + int64(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.SetBytes([]byte(`{"n":1.0e+3,"dup":[],"esc":"\u0041<&>","big":12345678901234567890}`))
	default:
		t.Fatalf("a field of kind %s: teach fill about it", v.Kind())
	}
}

// samples returns one full message of every type, by type name.
func samples(t *testing.T) map[string]Message {
	t.Helper()
	all := map[string]Message{}
	for _, m := range []Message{Hello{}, Welcome{}, Synced{}, Task{}, Open{}, Cancel{}, Claim{}, Grant{}, Refused{}, Release{},
		Started{}, Finished{}, Lost{}, Ack{}, Err{}, Bye{}} {
		v, n := reflect.New(reflect.TypeOf(m)).Elem(), 0
		fill(t, v, &n)
		all[m.kind()] = v.Interface().(Message)
	}
	if len(all) != len(readers) {
		t.Fatalf("%d messages tried, %d can be read", len(all), len(readers))
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	for kind, m := range samples(t) {
		frame, err := Encode(m)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		var head struct{ Type string }
		if err := json.Unmarshal(frame, &head); err != nil || head.Type != kind {
			t.Errorf("%s: frame %s, %v", kind, frame, err)
		}
		if got, err := Decode(frame); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: came back as\n%#v, %v; sent\n%#v", kind, got, err, m)
		}
		zero := reflect.Zero(reflect.TypeOf(m)).Interface().(Message)
		if frame, err = Encode(zero); err != nil || !json.Valid(frame) {
			t.Errorf("%s: empty message gives %s, %v", kind, frame, err)
		}
	}
}

func TestArgumentsKeepTheirBytes(t *testing.T) {
	args := `{"b":1.50,"a":"<b>&\u00e9é\u2028","a ":[{}],"n":1e400}`
	frame, err := Encode(Open{Args: json.RawMessage(args)})
	if err != nil || !bytes.Contains(frame, []byte(args)) {
		t.Fatalf("%s, %v", frame, err)
	}
	m, err := Decode(frame)
	if err != nil || string(m.(Open).Args) != args {
		t.Errorf("%s, %v", m, err)
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	for kind, m := range samples(t) {
		frame, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		more := append([]byte(`{"x_new":{"deep":[1,2]},`), frame[1:]...)
		more = append(more[:len(more)-1], `,"later":null}`...)
		if got, err := Decode(more); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s with unknown fields: %#v, %v", kind, got, err)
		}
	}
}

func TestBadFrames(t *testing.T) {
	for _, tc := range []struct {
		frame       string
		unsupported bool
	}{
		{`{"type":"x-grease","n":1}`, true},
		{`{"type":"hello2"}`, true},
		{`{"type":"Hello"}`, true},
		{`{"type":""}`, true},
		{`{}`, true},
		{`null`, true},
		{`{"type":"` + strings.Repeat("a", 5000) + `"}`, true},
		{``, false},
		{`[]`, false},
		{`"hello"`, false},
		{`{"type":1}`, false},
		{`{"type":"bye"`, false},
		{`{"type":"bye"} {"type":"bye"}`, false},
		{`{"type":"bye","reconnect_ms":"soon"}`, false},
		{`{"type":"claim","task":7}`, false},
		{`{"type":"hello","rev":1.5}`, false},
		{strings.Repeat(`[`, 100_000), false},
	} {
		m, err := Decode([]byte(tc.frame))
		if err == nil || errors.Is(err, ErrUnsupported) != tc.unsupported {
			t.Errorf("%.60s: %v, %v; unsupported should be %v", tc.frame, m, err, tc.unsupported)
		} else if len(err.Error()) > 200 {
			t.Errorf("%.60s: the error repeats what came: %d bytes", tc.frame, len(err.Error()))
		}
	}
}

func TestOversize(t *testing.T) {
	for _, c := range []string{"a", "<"} {
		args, err := json.Marshal(map[string]string{"text": ""})
		if err != nil {
			t.Fatal(err)
		}
		args = bytes.Replace(args, []byte(`""`), []byte(`"`+strings.Repeat(c, MaxArgs-len(args))+`"`), 1)
		if frame, err := Encode(Open{Args: args}); err != nil || len(frame) > MaxFrame {
			t.Errorf("arguments of %d times %q: %d bytes, %v", MaxArgs, c, len(frame), err)
		}
	}
	exact := Err{}
	frame, err := Encode(exact)
	if err != nil {
		t.Fatal(err)
	}
	exact.Msg = strings.Repeat("m", MaxFrame-len(frame))
	if frame, err = Encode(exact); err != nil || len(frame) != MaxFrame {
		t.Errorf("a frame of the largest size: %d bytes, %v", len(frame), err)
	}
	exact.Msg += "m"
	if _, err := Encode(exact); err == nil || !strings.Contains(err.Error(), "err") || !strings.Contains(err.Error(), fmt.Sprint(MaxFrame)) {
		t.Errorf("one byte more: %v", err)
	}
	if _, err := Encode(Open{Args: json.RawMessage(`{"a":`)}); err == nil {
		t.Error("broken arguments were encoded")
	}
}

// TestNamesOnTheLink pins what other builds rely on: type names and codes are
// only ever added.
func TestNamesOnTheLink(t *testing.T) {
	frame, err := Encode(Refused{Re: "c", Task: Task{Task: "t", Rev: 7, State: task.Denied, Binding: "b", By: "Ana"}, Msg: "no"})
	want := `{"type":"refused","re":"c","task":{"task":"t","rev":7,"state":"denied","binding":"b","by":"Ana"},"msg":"no"}`
	if err != nil || string(frame) != want {
		t.Errorf("got %s, %v\nwant %s", frame, err, want)
	}
	frame, err = Encode(Hello{Proto: [2]int{1, 2}, Machine: "m", Proc: "p", Journal: "j", App: "a", Epoch: "e", Rev: 9})
	want = `{"type":"hello","proto":[1,2],"machine":"m","proc":"p","journal":"j","app":"a","epoch":"e","rev":9}`
	if err != nil || string(frame) != want {
		t.Errorf("got %s, %v\nwant %s", frame, err, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"type":"open","args":{"a":[1,"\ud800",{"b":null}]},"ttl_ms":9007199254740993,"x":1}`))
	f.Add([]byte("{\"type\":\"err\",\"msg\":\"\xff\u2028<\",\"fatal\":true}"))
	f.Add([]byte(`{"TYPE":"bye","type":"hello","proto":[1,2,3]}`))
	f.Add([]byte(`{"type":"hello","proto":[1]}`))
	f.Add([]byte(`{"type":"ack","task":{"rev":-1,"state":"nonsense"}}`))
	f.Add([]byte(`{"type":"x-grease"}`))
	f.Add([]byte(`{"type":"open"}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Decode(frame)
		if err != nil {
			return
		}
		again, err := Encode(m)
		if err != nil {
			// Text that is not UTF-8 grows when it is made so.
			if len(frame) < MaxFrame/6 {
				t.Fatalf("%#v decodes and does not encode: %v", m, err)
			}
			return
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("%s does not decode again: %v", again, err)
		}
		if open, ok := m.(Open); ok {
			// Spaces between tokens mean nothing, no arguments mean null.
			var args bytes.Buffer
			if open.Args == nil {
				open.Args = json.RawMessage("null")
			}
			if err := json.Compact(&args, open.Args); err != nil {
				t.Fatal(err)
			}
			open.Args = args.Bytes()
			m = open
		}
		if !reflect.DeepEqual(m, back) {
			t.Fatalf("%s\nwas %#v\nnow %#v", again, m, back)
		}
	})
}
