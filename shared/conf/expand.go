package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/joho/godotenv"
)

// maxSecretFile bounds what ${file:} and env_file read.
const maxSecretFile = 1 << 20

var varName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// environment is what references in the file are looked up in.
type environment struct {
	getenv Getenv
	dotenv map[string]string // of env_file; what getenv knows wins
	dir    string            // relative paths start here
}

func (e *environment) lookup(name string) (string, bool) {
	if v, ok := e.getenv(name); ok {
		return v, true
	}
	v, ok := e.dotenv[name]
	return v, ok
}

// abs is a path of the configuration: ~ is the home directory, and relative
// ones start at the configuration file, never at the working directory.
func (e *environment) abs(path string) (string, error) {
	path, err := expandHome(path, e.getenv)
	if err != nil || filepath.IsAbs(path) {
		return path, err
	}
	return filepath.Join(e.dir, path), nil
}

// expansion is a string with its references replaced.
type expansion struct {
	text  string
	lack  []string // references without a value: "variable X is not set"
	empty []string // variables that are set, but to nothing
}

// expand replaces ${VAR}, ${VAR:-default} and ${file:PATH} in s. What they
// stand for is not expanded again. $${ is a literal ${. The error is a
// reference that is written wrongly or a file that cannot be read.
func (e *environment) expand(s string) (x expansion, err error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			x.text = b.String()
			return x, nil
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		body, rest, ok := strings.Cut(s[i+2:], "}")
		if !ok {
			return x, errors.New("${ without a closing }")
		}
		if strings.Contains(body, "${") {
			return x, errors.New("a reference within a reference is not supported")
		}
		s = rest
		v, err := e.resolve(body, &x)
		if err != nil {
			return x, err
		}
		b.WriteString(v)
	}
}

func (e *environment) resolve(body string, x *expansion) (string, error) {
	name, def, hasDefault := strings.Cut(body, ":-")
	if varName.MatchString(name) {
		v, ok := e.lookup(name)
		switch {
		case v != "":
			return v, nil
		case hasDefault:
			return def, nil
		case !ok:
			x.lack = append(x.lack, "variable "+name+" is not set")
		default:
			x.empty = append(x.empty, "variable "+name+" is empty")
		}
		return "", nil
	}
	path, ok := strings.CutPrefix(body, "file:")
	if !ok {
		return "", errors.New("unknown reference: there are ${NAME}, ${NAME:-default} and ${file:PATH}")
	}
	b, err := e.readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		x.lack = append(x.lack, fmt.Sprintf("file %q does not exist", path))
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read file %q: %w", path, reason(err))
	}
	v := strings.TrimRight(string(b), "\r\n")
	if v == "" {
		x.empty = append(x.empty, fmt.Sprintf("file %q is empty", path))
	}
	return v, nil
}

// readFile reads a small regular file; a pipe could block the start for ever.
func (e *environment) readFile(path string) ([]byte, error) {
	path, err := e.abs(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err == nil && len(b) > maxSecretFile {
		err = errors.New("larger than 1 MiB")
	}
	return b, err
}

// readDotenv reads an env_file. Its error does not quote the file, which the
// parser's own would: it names the line.
func (e *environment) readDotenv(path string) (map[string]string, error) {
	src, err := e.readFile(path)
	if err != nil {
		return nil, reason(err)
	}
	if !utf8.Valid(src) {
		return nil, errors.New("not valid UTF-8")
	}
	vars, err := godotenv.UnmarshalBytes(src)
	if _, nameless := vars[""]; err == nil && !nameless {
		return vars, nil
	}
	if len(src) > 64<<10 { // Looking for the line takes the square of the size.
		return nil, errors.New("a line is not of the form NAME=value")
	}
	// The last line up to which the file is well-formed comes before the bad one.
	line, good := 1, 0
	for end := 0; end < len(src); line++ {
		next := bytes.IndexByte(src[end:], '\n') + 1
		if next == 0 {
			next = len(src) - end
		}
		end += next
		if vars, err := godotenv.UnmarshalBytes(src[:end]); err == nil {
			if _, nameless := vars[""]; !nameless {
				good = line
			}
		}
	}
	return nil, fmt.Errorf("line %d is not of the form NAME=value", good+1)
}
