package conf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFile bounds the configuration file; ten thousand replacements fit.
const maxFile = 16 << 20

// Load reads the configuration file for one of the programs. The error is
// Problems when the file is wrong, and a *FileError when it cannot be read
// (errors.Is fs.ErrNotExist when it is missing). A nil getenv is the
// environment of the process.
func Load(path string, getenv Getenv, side Side) (*Config, error) {
	src, err := read(path)
	if err != nil {
		return nil, &FileError{path, err}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, &FileError{path, err}
	}
	if getenv == nil {
		getenv = os.LookupEnv
	}
	return load(path, abs, src, getenv, side)
}

func read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errors.New("larger than 16 MiB")
	}
	return string(b), err
}

// loader is one reading of a file.
type loader struct {
	file     string // as messages name it
	side     Side
	env      *environment
	lines    *lines
	problems []Problem
	cfg      *Config
}

func load(file, abs, src string, getenv Getenv, side Side) (*Config, error) {
	src = strings.TrimPrefix(src, "\ufeff")
	l := &loader{
		file:  file,
		side:  side,
		env:   &environment{getenv: getenv, dir: filepath.Dir(abs)},
		lines: newLines(src),
		cfg:   &Config{File: abs},
	}
	if i := badUTF8(src); i >= 0 {
		l.problem(i, "save it as UTF-8", "the file is not UTF-8")
		return nil, Problems(l.problems)
	}
	var vals map[string]any
	if err := decode(src, &vals); err != nil {
		var se *syntaxError
		if errors.As(err, &se) {
			l.problem(se.off, se.hint, "%s", se.msg)
		}
		return nil, Problems(l.problems)
	}
	l.sections(&table{l: l, vals: vals, at: locate(src), mine: true})
	if len(l.problems) > 0 {
		order(l.problems)
		return nil, Problems(l.problems)
	}
	order(l.cfg.Warnings)
	return l.cfg, nil
}

// badUTF8 is where src first is not UTF-8, or -1.
func badUTF8(src string) int {
	for i, r := range src {
		if _, n := utf8.DecodeRuneInString(src[i:]); r == utf8.RuneError && n == 1 {
			return i
		}
	}
	return -1
}

func order(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}

func (l *loader) newProblem(off int, hint, format string, args ...any) Problem {
	line, col := l.lines.at(off)
	return Problem{File: l.file, Line: line, Col: col, Msg: printable(fmt.Sprintf(format, args...)), Hint: hint}
}

func (l *loader) problem(off int, hint, format string, args ...any) {
	l.problems = append(l.problems, l.newProblem(off, hint, format, args...))
}

// printable keeps a message on one line: keys may hold any character.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// sections reads the whole file into l.cfg.
func (l *loader) sections(t *table) {
	proxy, relay := l.side == ProxySide, l.side == RelaySide
	l.envFile(t)
	l.proxy(t.section("proxy", proxy))
	l.link(t.section("link", proxy))
	l.children(t.tables("mcp", proxy))
	l.policy(t.section("policy", true))
	l.approvals(t.section("approvals", true))
	l.replacements(t.tables("replacement", proxy))
	if t.has("detect") && proxy {
		t.refuse("the values it should find would reach the client as they are", "detect")
	}
	l.relay(t.section("relay", relay))
	l.telegram(t.section("telegram", relay))
	t.done()
	l.cfg.only(l.side)
}

// only drops the other program's sections, which hold what could be read
// without its environment.
func (c *Config) only(side Side) {
	if side == ProxySide {
		c.Relay, c.Telegram = Relay{}, nil
	} else {
		c.Proxy, c.Link, c.MCP, c.Replacements, c.Skipped = Proxy{}, nil, nil, nil, nil
	}
}

func (l *loader) envFile(t *table) {
	x, ok := t.str("env_file")
	if !ok || x.s == "" {
		return
	}
	vars, err := l.env.readDotenv(x.s)
	if errors.Is(err, os.ErrNotExist) {
		l.problem(x.at.val, "create it, or remove the line", "env_file %q does not exist", x.raw)
	} else if err != nil {
		l.problem(x.at.val, "", "read env_file %q: %v", x.raw, err)
	}
	l.env.dotenv = vars
}
