package child

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestBytesPassUnchanged(t *testing.T) {
	record := filepath.Join(t.TempDir(), "record")
	f := run(t, nil, "-record", record).up()
	args := `{"z":1.0,"a":9007199254740993,"u":"<\u0041>&\ud800","n":1e400,"a b" : [ ] }`
	has(t, f.tool("echo", args), `"structuredContent":{"args":`+args+`}`)

	// A line break between tokens would end the message on its way.
	has(t, f.tool("echo", "{\"a\":\r\n1}"), `{"args":{"a":  1}}`)

	got, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(got)), "\n")
	want := []string{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{},"clientInfo":{"name":"portero","version":"1.2.3"},"protocolVersion":"2025-11-25"}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`,
		`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":` + args + `}}`,
		`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"echo","arguments":{"a":  1}}}`,
	}
	for i, w := range want {
		if i >= len(lines) || lines[i] != w {
			t.Fatalf("the child read\n%s\nwant line %d to be\n%s", got, i+1, w)
		}
	}
}

func TestErrorsPassUnchanged(t *testing.T) {
	f := run(t, nil).up()
	r, err := f.Call(context.Background(), "tools/call", params("fail", `{"code":-32050,"message":"no <way>","data":{"k":1.0}}`))
	if err != nil || r.Result != nil || string(r.Error) != `{"code":-32050,"message":"no <way>","data":{"k":1.0}}` {
		t.Errorf("error %s, %v", r.Error, err)
	}
	r, err = f.Call(context.Background(), "tools/call", params("notool", `{}`))
	if err != nil || !bytes.Contains(r.Error, []byte("-32602")) {
		t.Errorf("error %s, %v", r.Error, err)
	}
	has(t, f.tool("toolerror", `{"message":"sorry"}`), `"isError":true`, "sorry")
	// A method's name cannot smuggle in a message of its own.
	r, err = f.Call(context.Background(), "x\"}\n{\"é", nil)
	if err != nil || !bytes.Contains(r.Error, []byte("-32601")) {
		t.Errorf("error %s, %v", r.Error, err)
	}
}

func TestRepliesInAnyOrder(t *testing.T) {
	f := run(t, nil).up()
	gate := filepath.Join(t.TempDir(), "gate")
	file := filepath.Join(t.TempDir(), "file")
	first := make(chan string, 1)
	go func() {
		first <- f.tool("append", fmt.Sprintf(`{"path":%q,"line":"x","wait_file":%q}`, file, gate))
	}()
	f.until("the first call is running", func() bool { _, err := os.Stat(file); return err == nil })
	has(t, f.tool("echo", `{"second":true}`), "second")
	select {
	case <-first:
		t.Fatal("the first call has ended too early")
	default:
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	has(t, <-first, "appended")
}

func TestManyCallsAtOnce(t *testing.T) {
	f := run(t, nil).up()
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			args := fmt.Sprintf(`{"i":%d,"fill":%q}`, i, strings.Repeat("x", i))
			if got := f.tool("echo", args); !strings.Contains(got, `{"args":`+args+`}`) {
				t.Errorf("call %d got %.100s", i, got)
			}
		})
	}
	all.Wait()
}

func TestLargeMessages(t *testing.T) {
	f := run(t, nil).up()
	var all sync.WaitGroup
	for _, n := range []int{30_000, 32 << 10, 70_000, 1 << 20, 5 << 20} {
		all.Go(func() {
			args := `{"fill":"` + strings.Repeat("y", n) + `"}`
			if got := f.tool("echo", args); !strings.HasSuffix(got, `{"args":`+args+`}}`) {
				t.Errorf("%d bytes came back wrong: %d bytes", n, len(got))
			}
		})
	}
	all.Wait()
}

// TestResultsAreTheCallers would see a buffer that is used for two messages.
func TestResultsAreTheCallers(t *testing.T) {
	f := run(t, nil).up()
	kept := map[int]string{}
	raw := map[int]json.RawMessage{}
	for i, n := range []int{10, 60_000, 70_000, 3 << 20, 10, 100_000, 20} {
		r, err := f.Call(context.Background(), "tools/call", params("big", fmt.Sprintf(`{"bytes":%d}`, n)))
		if err != nil {
			t.Fatal(err)
		}
		kept[i], raw[i] = string(r.Result), r.Result
	}
	for range 50 {
		f.tool("echo", `{"fill":"`+strings.Repeat("z", 10_000)+`"}`)
	}
	for i := range kept {
		if kept[i] != string(raw[i]) {
			t.Errorf("result %d changed after it was returned", i)
		}
	}
}

func TestCancel(t *testing.T) {
	record := filepath.Join(t.TempDir(), "record")
	f := run(t, nil, "-record", record).up()
	ctx, cancel := context.WithCancel(context.Background())
	recorded := func(part string) func() bool {
		return func() bool {
			text, _ := os.ReadFile(record)
			return bytes.Contains(text, []byte(part))
		}
	}
	failed := make(chan *CallError, 1)
	go func() { failed <- f.refused(ctx, params("slow", `{"ms":60000}`)) }()
	f.until("the call has arrived", recorded(`"id":3,"method":"tools/call"`))
	cancel()
	ce := <-failed
	if !errors.Is(ce, context.Canceled) || !ce.Sent {
		t.Errorf("%#v", ce)
	}
	has(t, ce.Error(), `child "kit" had not answered when the call was cancelled`, "may have run")
	f.until("the child was told", recorded(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}`))

	// A reply to what was given up concerns nobody.
	f.tool("raw", `{"lines":["{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}","{\"jsonrpc\":\"2.0\",\"id\":\"4\",\"result\":{}}","{\"jsonrpc\":\"2.0\",\"id\":99,\"error\":{}}"]}`)
	has(t, f.tool("echo", `{"still":"here"}`), "still")

	late, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if ce := f.refused(late, params("slow", `{"ms":60000}`)); !errors.Is(ce, context.DeadlineExceeded) {
		t.Errorf("%v", ce)
	}
	// One that is over before it begins is not sent.
	if ce := f.refused(late, params("echo", `{"never":"sent"}`)); !errors.Is(ce, context.DeadlineExceeded) || ce.Sent {
		t.Errorf("%#v", ce)
	}
	f.tool("echo", `{}`)
	if recorded("never")() {
		t.Error("a call was sent after its time was up")
	}
}

func TestNotificationsComeBeforeTheReply(t *testing.T) {
	f := run(t, nil).up()
	for range 20 {
		f.mu.Lock()
		f.notes = nil
		f.mu.Unlock()
		r, err := f.Call(context.Background(), "tools/call",
			json.RawMessage(`{"name":"progress","arguments":{"n":100},"_meta":{"progressToken":"t"}}`))
		if err != nil || r.Result == nil {
			t.Fatal(r, err)
		}
		got := f.notified()
		if len(got) != 100 {
			t.Fatalf("%d notifications came before the reply, want 100", len(got))
		}
		for i, n := range got {
			if want := fmt.Sprintf(`notifications/progress {"progressToken":"t","progress":%d,"total":100}`, i+1); n != want {
				t.Fatalf("notification %d is %s, want %s", i, n, want)
			}
		}
	}
	f.tool("log", `{"level":"warning","data":{"x":1.0}}`)
	if got := f.notified(); got[len(got)-1] != `notifications/message {"level":"warning","logger":"kit","data":{"x":1.0}}` {
		t.Errorf("got %s", got[len(got)-1])
	}
}

func TestRequestsOfTheChild(t *testing.T) {
	f := run(t, nil).up()
	has(t, f.tool("ask", `{"method":"ping"}`), `"structuredContent":{"result":{}}`)
	has(t, f.tool("ask", `{"method":"sampling/createMessage"}`), `"structuredContent":{"error":{"code":-32601,"message":"Method not found"}}`)
	// One whose id is a burden is not answered, and harms nobody.
	f.tool("raw", `{"lines":["{\"jsonrpc\":\"2.0\",\"id\":\"`+strings.Repeat("i", 5000)+`\",\"method\":\"ping\"}"]}`)
	has(t, f.log.String(), "id that is too long")
}

func TestJunkIsPassedOver(t *testing.T) {
	f := run(t, func(c *Child) {
		c.opt.LogLine = func(line string) string { return strings.ReplaceAll(line, "configuration", "FAKE") }
	}).up()
	pid := f.Status().PID
	has(t, f.tool("junk", `{"n":1000}`), "after junk")
	has(t, f.tool("echo", `{}`), "args")
	if f.Status().PID != pid {
		t.Error("junk has cost the process")
	}
	log := f.log.String()
	has(t, log, "Loading FAKE")
	if strings.Contains(log, "configuration") {
		t.Error("a line was logged as it was")
	}
	if n := strings.Count(log, "not JSON-RPC"); n > 60 {
		t.Errorf("%d lines were logged", n)
	}
	f.end() // the count may come only now
	has(t, f.log.String(), "suppressed=")
}

func TestReplyThatIsNone(t *testing.T) {
	f := run(t, nil).up()
	for name, line := range map[string]string{
		"neither": `{"jsonrpc":"2.0","id":$ID}`,
		"both":    `{"jsonrpc":"2.0","id":$ID,"result":{},"error":{}}`,
		"twice":   `{"jsonrpc":"2.0","id":$ID,"result":1,"result":2}`,
		"broken":  `{"jsonrpc":"2.0","id":$ID,"result":{]}`,
	} {
		t.Run(name, func(t *testing.T) {
			args, _ := json.Marshal(map[string]any{"lines": []string{line}, "silent": true})
			ce := f.refused(context.Background(), params("raw", string(args)))
			if !ce.Sent {
				t.Error("unsent")
			}
			has(t, ce.Error(), "wrote a line that is not JSON-RPC as its answer")
		})
	}
	has(t, f.tool("echo", `{}`), "args")
}

func TestOversize(t *testing.T) {
	f := run(t, func(c *Child) { c.opt.MaxMessage = 200_000 }).up()
	pid := f.Status().PID
	fill := strings.Repeat("x", 250_000)
	other := make(chan string, 1)
	go func() { other <- f.tool("slow", `{"ms":100}`) }()
	ce := f.refused(context.Background(), params("big", `{"bytes":10000000}`))
	has(t, ce.Error(), "over the limit of 200000", "ask it for less")
	if !ce.Sent {
		t.Error("unsent")
	}
	// Some write the id last.
	args, _ := json.Marshal(map[string]any{"silent": true, "lines": []string{`{"result":{"a":"` + fill + `"},"jsonrpc":"2.0","id":$ID}`}})
	has(t, f.refused(context.Background(), params("raw", string(args))).Error(), "over the limit")
	// A request of the child with the same id is no reply.
	args, _ = json.Marshal(map[string]any{"lines": []string{`{"jsonrpc":"2.0","id":$ID,"method":"x","params":{"a":"` + fill + `"}}`, fill}})
	has(t, f.tool("raw", string(args)), "written")
	has(t, <-other, "done")
	if f.Status().PID != pid {
		t.Error("a large answer has cost the process")
	}
}
