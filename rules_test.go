package portero_test

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// maxLines keeps files readable in one sitting; a longer one has two jobs.
const maxLines = 450

// forbidden are imports that a part of the tree must not have.
var forbidden = []struct {
	in      string
	imports *regexp.Regexp
	why     string
	tests   bool // tests must not either
}{
	{"shared/", regexp.MustCompile(`^portero/(proxy|relay)(/|$)`), "shared code knows neither side", true},
	{"proxy/", regexp.MustCompile(`^portero/relay(/|$)`), "the sides meet on the link, in shared/wire", true},
	{"relay/", regexp.MustCompile(`^portero/proxy(/|$)`), "the sides meet on the link, in shared/wire", false},
	{"cmd/portero-stdio/", regexp.MustCompile(`^portero/relay(/|$)`), "a program has one side", true},
	{"cmd/portero-relay/", regexp.MustCompile(`^portero/proxy(/|$)`), "a program has one side", true},
	{"", regexp.MustCompile(`^log$`), "log/slog, so that nothing prints past the logger", false},
	{"", regexp.MustCompile(`^portero/shared/porterotest(/|$)|^testing$|^net/http/httptest$`), "for tests only", false},
}

type source struct {
	path string
	text []byte
	file *ast.File
}

// sources parses every Go file of the tree, without tests.
func sources(t *testing.T, fset *token.FileSet) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "node_modules" || e.Name() == "testdata" || strings.HasPrefix(e.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.ToSlash(path), text, file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d files found", len(all))
	}
	return all
}

func isTest(path string) bool {
	return strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "shared/porterotest/") || strings.HasPrefix(path, "e2e/")
}

func TestImports(t *testing.T) {
	for _, s := range sources(t, token.NewFileSet()) {
		for _, spec := range s.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range forbidden {
				if strings.HasPrefix(s.path, f.in) && f.imports.MatchString(path) && (f.tests || !isTest(s.path)) {
					t.Errorf("%s imports %s: %s", s.path, path, f.why)
				}
			}
		}
	}
}

func TestFileLength(t *testing.T) {
	for _, s := range sources(t, token.NewFileSet()) {
		if n := bytes.Count(s.text, []byte("\n")); n > maxLines && !generated(s.text) {
			t.Errorf("%s has %d lines, more than %d: it wants a second idea about its job", s.path, n, maxLines)
		}
	}
}

var generatedLine = regexp.MustCompile(`^// Code generated .* DO NOT EDIT\.$`)

func generated(text []byte) bool {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if generatedLine.MatchString(lines.Text()) {
			return true
		}
	}
	return false
}

func TestOnePackageComment(t *testing.T) {
	comments := map[string][]string{}
	for _, s := range sources(t, token.NewFileSet()) {
		dir := filepath.Dir(s.path)
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		if _, ok := comments[dir]; !ok {
			comments[dir] = nil
		}
		if s.file.Doc != nil {
			comments[dir] = append(comments[dir], s.path)
		}
	}
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments %v, want one", dir, len(files), files)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	fset := token.NewFileSet()
	for _, s := range sources(t, fset) {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		for _, decl := range s.file.Decls {
			for _, name := range undocumented(decl) {
				t.Errorf("%s: %s has no doc comment", fset.Position(name.Pos()), name.Name)
			}
		}
	}
}

// undocumented returns the exported names that decl introduces without a word.
// The members of a documented group need none of their own.
func undocumented(decl ast.Decl) (names []*ast.Ident) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						names = append(names, name)
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}
