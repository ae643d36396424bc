// Command kit is a scripted MCP server over stdio: the child that unit tests
// and end-to-end tests run in place of a real one, so that every way in which
// a server can misbehave can be had on demand.
//
// Flags say what the process does as a whole, tools say what one call does;
// `kit -h` lists the flags and tools.go documents the tools. Each flag can
// also be set in the environment: KIT_HANG_INIT=true is -hang-init. It uses
// the standard library only and keeps the raw bytes of arguments, so that a
// test can compare what arrived with what was sent.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// options is how the process as a whole behaves.
type options struct {
	tools       string
	hangInit    bool
	exitNow     int
	garbage     bool
	pages       int
	cursor      string
	listChanged bool
	deaf        bool
	grandchild  string
	toolsJSON   string
	desc        string
	versionTag  string
	noTools     bool
	stubborn    bool
	record      string
	revision    string
	initDelay   time.Duration
	sleep       bool
}

func (o *options) register(fs *flag.FlagSet) {
	fs.StringVar(&o.tools, "tools", "", "comma-separated `names` of the tools to serve; empty = all")
	fs.BoolVar(&o.hangInit, "hang-init", false, "never answer initialize")
	fs.IntVar(&o.exitNow, "exit-now", -1, "exit with this `code` at once, after a line on stderr")
	fs.BoolVar(&o.garbage, "garbage", false, "print garbage instead of answering")
	fs.IntVar(&o.pages, "pages", 0, "list tools in pages of this `size`; 0 = one page")
	fs.StringVar(&o.cursor, "cursor", "", "`same`: each page repeats its cursor; endless: pages never end")
	fs.BoolVar(&o.listChanged, "list-changed", false, "add the tool `late` after the first call and say so")
	fs.BoolVar(&o.deaf, "deaf", false, "stop reading stdin once the tools have been listed")
	fs.StringVar(&o.grandchild, "grandchild", "", "start a process that ignores every polite signal and write its id to `file`")
	fs.StringVar(&o.toolsJSON, "tools-json", "", "serve the tool definitions of `file` verbatim; calls to them echo")
	fs.StringVar(&o.desc, "desc", "Returns its arguments.", "description of the tool echo")
	fs.StringVar(&o.versionTag, "version-tag", "1", "version in serverInfo and in what the tool env returns")
	fs.BoolVar(&o.noTools, "no-tools", false, "declare no tools capability")
	fs.BoolVar(&o.stubborn, "stubborn", false, "ignore SIGTERM, SIGINT and the end of stdin")
	fs.StringVar(&o.record, "record", "", "append every line read from stdin to `file`")
	fs.StringVar(&o.revision, "revision", "2025-11-25", "protocol revision answered to initialize")
	fs.DurationVar(&o.initDelay, "init-delay", 0, "wait this long before answering initialize")
	fs.BoolVar(&o.sleep, "sleep", false, "be the grandchild: hold the inherited files and never end by itself")
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, in io.Reader, out, errw io.Writer) int {
	var opt options
	fs := flag.NewFlagSet("kit", flag.ContinueOnError)
	fs.SetOutput(errw)
	opt.register(fs)
	var env error
	fs.VisitAll(func(f *flag.Flag) {
		key := "KIT_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(key); ok {
			if err := fs.Set(f.Name, v); err != nil {
				env = fmt.Errorf("%s=%s: %w", key, v, err)
			}
		}
	})
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if env != nil {
		fmt.Fprintln(errw, "kit:", env)
		return 2
	}
	if opt.sleep || opt.stubborn {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	if opt.sleep {
		forever()
	}
	if opt.exitNow >= 0 {
		fmt.Fprintln(errw, "kit: told to exit")
		return opt.exitNow
	}
	s := &server{opt: opt, out: out, errw: errw, cancelled: map[string]chan struct{}{}, answers: map[string]chan message{}}
	if err := s.serve(in); err != nil {
		fmt.Fprintln(errw, "kit:", err)
		return 1
	}
	return 0
}

// message is one line in either direction.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// server is one run of the program.
type server struct {
	opt  options
	errw io.Writer

	write sync.Mutex // one line at a time
	out   io.Writer

	mu        sync.Mutex
	cancelled map[string]chan struct{} // by request id, while a call runs
	answers   map[string]chan message  // by id of the server's own requests
	asked     int
	late      bool // the tool `late` exists

	defs []json.RawMessage // of -tools-json
}

func (s *server) serve(in io.Reader) error {
	if s.opt.grandchild != "" {
		if err := startGrandchild(s.opt.grandchild); err != nil {
			return err
		}
	}
	if err := s.loadTools(); err != nil {
		return err
	}
	if s.opt.garbage {
		s.print("Welcome to the server!\n\x00\xff not json\n{\"half\": \n[]\n42\n")
	}
	var record io.Writer = io.Discard
	if s.opt.record != "" {
		f, err := os.OpenFile(s.opt.record, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		record = f
	}
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if _, err := record.Write(line); err != nil {
				return err
			}
			var m message
			if err := json.Unmarshal(line, &m); err != nil {
				fmt.Fprintf(s.errw, "kit: cannot read a line of %d bytes: %v\n", len(line), err)
			} else if !s.opt.garbage && s.handle(m) {
				forever() // deaf from here on
			}
		}
		if err != nil {
			if s.opt.stubborn {
				forever()
			}
			return nil
		}
	}
}

// handle answers one message and reports whether reading stops after it.
func (s *server) handle(m message) (deaf bool) {
	switch m.Method {
	case "":
		s.mu.Lock()
		ch := s.answers[string(m.ID)]
		delete(s.answers, string(m.ID))
		s.mu.Unlock()
		if ch != nil {
			ch <- m
		}
	case "initialize":
		if s.opt.hangInit {
			return false
		}
		time.Sleep(s.opt.initDelay)
		capabilities := `{"tools":{"listChanged":true},"logging":{}}`
		if s.opt.noTools {
			capabilities = `{"logging":{}}`
		}
		s.answer(m.ID, fmt.Sprintf(`{"protocolVersion":%s,"capabilities":%s,"serverInfo":{"name":"kit","version":%s}}`,
			quote(s.opt.revision), capabilities, quote(s.opt.versionTag)))
	case "ping":
		s.answer(m.ID, `{}`)
	case "tools/list":
		s.list(m)
		return s.opt.deaf
	case "tools/call":
		stop := make(chan struct{})
		s.mu.Lock()
		s.cancelled[string(m.ID)] = stop
		s.mu.Unlock()
		go s.call(m, stop)
	case "notifications/cancelled":
		var p struct {
			RequestID json.RawMessage `json:"requestId"`
		}
		_ = json.Unmarshal(m.Params, &p)
		s.mu.Lock()
		if stop := s.cancelled[string(p.RequestID)]; stop != nil {
			close(stop)
			delete(s.cancelled, string(p.RequestID))
		}
		s.mu.Unlock()
	default:
		if m.ID != nil {
			s.fail(m.ID, -32601, "method not found", nil)
		}
	}
	return false
}

// print writes text to stdout as it is, in one piece.
func (s *server) print(text string) {
	s.write.Lock()
	defer s.write.Unlock()
	if _, err := io.WriteString(s.out, text); err != nil {
		os.Exit(1)
	}
}

func (s *server) answer(id json.RawMessage, result string) {
	s.print(`{"jsonrpc":"2.0","id":` + string(id) + `,"result":` + result + "}\n")
}

func (s *server) notify(method, params string) {
	s.print(`{"jsonrpc":"2.0","method":` + quote(method) + `,"params":` + params + "}\n")
}

func (s *server) fail(id json.RawMessage, code int, text string, data json.RawMessage) {
	e := `{"code":` + strconv.Itoa(code) + `,"message":` + quote(text)
	if data != nil {
		e += `,"data":` + string(data)
	}
	s.print(`{"jsonrpc":"2.0","id":` + string(id) + `,"error":` + e + "}}\n")
}

// forever never returns; unlike an empty select it is no deadlock to Go.
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// quote is a JSON string that holds text without escaping more than it must.
func quote(text string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// startGrandchild leaves a process behind that holds this one's stdout and
// stderr, as the real server under npx or a shell does.
func startGrandchild(file string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-sleep")
	cmd.Env = []string{}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	// A reader that polls for the file must never see half of the number.
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
